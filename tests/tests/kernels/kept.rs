//! The verdicts that the docs show are those of these tests, and bear out what quell claims. On the host only.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use quell::host::KernelVersion;
use quell::probe::{PROBES, by_name};
use quell_tests::support::{FILE, Support};
use quell_tests::verdict::Verdict;

use crate::harness::KernelTest;

/// What brings the file up to date.
const SAVE: &str = "run `cargo xtask vm --all --save`";

/// Groups of tests that are of no probe.
const OTHERS: [&str; 3] = ["doctor", "machine", "tune"];

/// Each probe has tests, and each test belongs to a probe or another known group.
pub(crate) fn every_probe_is_tested(tests: &[KernelTest]) -> Result<()> {
    let groups: BTreeSet<&str> = tests.iter().map(group).collect();
    let probes = PROBES.iter().map(|probe| probe.spec().name);
    let expected: BTreeSet<&str> = probes.chain(OTHERS).collect();
    ensure!(groups == expected, "tests of {groups:?}, and there are {expected:?}");
    Ok(())
}

/// No two tests have one name: a verdict is of a name.
pub(crate) fn every_test_has_a_name_of_its_own(tests: &[KernelTest]) -> Result<()> {
    let mut names = BTreeSet::new();
    for test in tests {
        ensure!(names.insert(test.name), "two tests are called {}", test.name);
    }
    Ok(())
}

/// The file has every test and no other, on each of its kernels.
pub(crate) fn every_test_has_verdicts(tests: &[KernelTest]) -> Result<()> {
    let support = read()?;
    let kernels: BTreeSet<&str> = support.kernels.iter().map(|kernel| kernel.name.as_str()).collect();
    ensure!(!kernels.is_empty(), "{FILE} has no kernels: {SAVE}");
    let kept: BTreeSet<&str> = support.tests.keys().map(String::as_str).collect();
    let tests: BTreeSet<&str> = tests.iter().map(|test| test.name).collect();
    let (new, gone): (Vec<_>, Vec<_>) = (tests.difference(&kept).collect(), kept.difference(&tests).collect());
    ensure!(new.is_empty() && gone.is_empty(), "{FILE} lacks {new:?}, and there are no tests {gone:?}: {SAVE}");
    for (test, verdicts) in &support.tests {
        let on: BTreeSet<&str> = verdicts.keys().map(String::as_str).collect();
        ensure!(on == kernels, "{FILE} has {test} on {on:?}, not on {kernels:?}: {SAVE}");
    }
    Ok(())
}

/// What a kernel may lack: the tests that may be skipped, and what they then say. Everything else that is kept has passed.
const MAY_LACK: &[(&str, &str)] = &[
    ("machine::idle_states", "this kernel makes no idle states of the machine's table"),
    ("cpu::no_ipis", "this kernel has no event csd_queue_cpu"),
    ("cpu::tick_stays_off", "this kernel is built without CONFIG_NO_HZ_FULL"),
];

/// Every test passed on every kernel that is kept, but for what kernels may lack, and for tests of a probe on kernels that
/// it is not said to work on.
pub(crate) fn what_probes_claim_holds(_: &[KernelTest]) -> Result<()> {
    let support = read()?;
    for kernel in &support.kernels {
        let release: KernelVersion =
            kernel.release.parse().with_context(|| format!("a kernel `{}`", kernel.release))?;
        for (test, verdicts) in &support.tests {
            if let Some(probe) = test.split("::").next().and_then(by_name) {
                let from: KernelVersion = probe.spec().kernel.parse().context("the probe's first kernel")?;
                if release < from {
                    continue;
                }
            }
            let holds = match verdicts.get(&kernel.name) {
                Some(Verdict::Passed) => true,
                Some(Verdict::Skipped { why }) => MAY_LACK.contains(&(test.as_str(), why.as_str())),
                Some(Verdict::Failed { .. }) | None => false,
            };
            ensure!(holds, "{test} on {}: {:?}", kernel.release, verdicts.get(&kernel.name));
        }
    }
    Ok(())
}

fn read() -> Result<Support> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(FILE);
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {FILE}: {SAVE}"))?;
    serde_json::from_str(&text).with_context(|| format!("{FILE} is not as it should be: {SAVE}"))
}

fn group(test: &KernelTest) -> &'static str {
    test.name.split_once("::").map_or(test.name, |(group, _)| group)
}
