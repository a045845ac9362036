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
const OTHERS: [&str; 2] = ["doctor", "machine"];

/// Each probe has tests, and each test belongs to a probe or another known group.
pub(crate) fn every_probe_is_tested(tests: &[KernelTest]) -> Result<()> {
    let groups: BTreeSet<&str> = tests.iter().map(group).collect();
    let probes = PROBES.iter().map(|probe| probe.spec().name);
    let expected: BTreeSet<&str> = probes.chain(OTHERS).collect();
    ensure!(groups == expected, "tests of {groups:?}, and there are {expected:?}");
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

/// No test of a probe failed on a kernel that the probe is said to work on.
pub(crate) fn what_probes_claim_holds(_: &[KernelTest]) -> Result<()> {
    let support = read()?;
    for kernel in &support.kernels {
        let release: KernelVersion =
            kernel.release.parse().with_context(|| format!("a kernel `{}`", kernel.release))?;
        for (test, verdicts) in &support.tests {
            let Some(probe) = test.split("::").next().and_then(by_name) else { continue };
            let from: KernelVersion = probe.spec().kernel.parse().context("the probe's first kernel")?;
            let failed = matches!(verdicts.get(&kernel.name), Some(Verdict::Failed { .. }));
            ensure!(
                !failed || release < from,
                "{test} failed on {}, and `quell list probes` says from {from} on",
                kernel.release
            );
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
