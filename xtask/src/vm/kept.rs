//! The verdicts that the docs show: keeping new ones, and holding a run against them.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};

use super::accelerator::Accelerator;
use super::kernel::Kernel;
use super::matrix;
use super::results::Results;
use crate::support::{FILE, Support, TestedKernel};
use crate::verdict::Verdict;
use crate::{docs, output_of};

/// When and with what verdicts were come by.
struct Circumstances {
    date: String,
    commit: Option<String>,
    accelerator: Accelerator,
}

/// Keeps the verdicts of all tests, of each kernel with which nothing is wrong.
pub(super) fn write(root: &Path, kernels: &[Kernel], accelerator: Accelerator, results: &Results) -> Result<()> {
    let date = output_of(Command::new("date").args(["--utc", "+%F"])).context("`date` fails")?;
    // Of sources without their history there is none.
    let commit = output_of(Command::new("git").args(["describe", "--always", "--dirty"]).current_dir(root));
    // The first time there is nothing.
    let mut support = docs::read(root)?.unwrap_or_default();
    for kernel in kernels {
        if let Some(why) = results.what_is_wrong_with(&kernel.name) {
            println!("not kept: {}, of which the docs could promise nothing: {why}", kernel.name);
        }
    }
    take(&mut support, kernels, &Circumstances { date, commit, accelerator }, results);
    docs::write(root, &support)?;
    println!("kept: {FILE}; `cargo xtask docs` draws the table");
    Ok(())
}

/// Puts the verdicts of the kernels with which nothing is wrong in place of those that are kept.
fn take(support: &mut Support, kernels: &[Kernel], circumstances: &Circumstances, results: &Results) {
    for kernel in kernels.iter().filter(|kernel| results.what_is_wrong_with(&kernel.name).is_none()) {
        for verdicts in support.tests.values_mut() {
            verdicts.remove(&kernel.name);
        }
        for (test, by_kernel) in results.verdicts() {
            if let Some(verdict) = by_kernel.get(&kernel.name) {
                support.tests.entry(test.clone()).or_default().insert(kernel.name.clone(), verdict.clone());
            }
        }
        let Circumstances { date, commit, accelerator } = circumstances;
        let tested = TestedKernel {
            name: kernel.name.clone(),
            release: kernel.release.clone(),
            date: date.clone(),
            quell: env!("CARGO_PKG_VERSION").to_owned(),
            commit: commit.clone(),
            accelerator: accelerator.to_string(),
        };
        match support.kernels.iter_mut().find(|known| known.name == kernel.name) {
            Some(known) => *known = tested,
            None => support.kernels.push(tested),
        }
    }
    // Tests that are no more.
    support.tests.retain(|_, verdicts| !verdicts.is_empty());
    let order = |kernel: &TestedKernel| matrix::MATRIX.iter().position(|name| *name == kernel.name);
    support.kernels.sort_by_key(|kernel| (order(kernel).is_none(), order(kernel)));
}

/// Something that a run gave otherwise than the docs have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Difference {
    test: String,
    kernel: String,
    /// `None` where the docs do not have the test.
    kept: Option<Verdict>,
    /// `None` where the run did not have it.
    seen: Option<Verdict>,
}

impl Difference {
    /// Whether a test that the docs have came out otherwise; else it is new, or is no more.
    pub(super) fn is_of_verdicts(&self) -> bool {
        self.kept.is_some() && self.seen.is_some()
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { test, kernel, kept, seen } = self;
        match (kept, seen) {
            (Some(kept), Some(seen)) => write!(f, "{test} on {kernel}: {}, now {}", words(kept), words(seen)),
            (None, Some(seen)) => write!(f, "{test} on {kernel}: not there, now {}", words(seen)),
            (kept, None) => write!(f, "{test} on {kernel}: {}, now not run", kept.as_ref().map_or("", word)),
        }
    }
}

/// How much of the tests a run had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extent {
    Everything,
    /// Those that filters chose: of others it can say nothing.
    Chosen,
}

/// Where a run gave something else than what is kept.
pub(super) fn differences(kept: &Support, kernels: &[Kernel], results: &Results, extent: Extent) -> Vec<Difference> {
    let mut differences = Vec::new();
    for kernel in kernels {
        let Some(known) = known(kept, kernel) else { continue };
        let kept = of_kernel(&kept.tests, &known.name);
        let seen = of_kernel(results.verdicts(), &kernel.name);
        let not_seen = kept.keys().filter(|test| extent == Extent::Everything && !seen.contains_key(*test));
        for &test in seen.keys().chain(not_seen) {
            let (kept, seen) = (kept.get(test).copied(), seen.get(test).copied());
            if kept != seen {
                let (test, kernel) = (test.clone(), kernel.name.clone());
                differences.push(Difference { test, kernel, kept: kept.cloned(), seen: seen.cloned() });
            }
        }
    }
    differences
}

/// The kernels of a run of which nothing is kept.
pub(super) fn not_kept<'a>(kept: &Support, kernels: &'a [Kernel]) -> Vec<&'a str> {
    let unknown = kernels.iter().filter(|kernel| known(kept, kernel).is_none());
    unknown.map(|kernel| kernel.name.as_str()).collect()
}

/// A kernel as it is kept: under its name, else under that of a series whose newest it was.
fn known<'a>(kept: &'a Support, kernel: &Kernel) -> Option<&'a TestedKernel> {
    let by = |is: &dyn Fn(&TestedKernel) -> bool| kept.kernels.iter().find(|known| is(known));
    by(&|known| known.name == kernel.name).or_else(|| by(&|known| known.release == kernel.release))
}

/// The verdicts of one kernel, by test.
fn of_kernel<'a>(
    tests: &'a BTreeMap<String, BTreeMap<String, Verdict>>,
    kernel: &str,
) -> BTreeMap<&'a String, &'a Verdict> {
    tests.iter().filter_map(|(test, by_kernel)| Some((test, by_kernel.get(kernel)?))).collect()
}

fn word(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Passed => "passed",
        Verdict::Failed { .. } => "failed",
        Verdict::Skipped { .. } => "skipped",
    }
}

fn words(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Skipped { why } => format!("{} ({why})", word(verdict)),
        _ => word(verdict).to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vm::attempt::Attempt;
    use crate::vm::results::Added;
    use crate::vm::results::tests::{guest, test};

    fn skipped(why: &str) -> Verdict {
        Verdict::Skipped { why: why.to_owned() }
    }

    /// What a run of a kernel gave.
    fn results(kernel: &str, verdicts: &[(&str, Verdict)]) -> Results {
        let tests: Vec<_> = verdicts.iter().map(|(name, _)| test(name)).collect();
        let verdicts = verdicts.iter().map(|(test, verdict)| ((*test).to_owned(), verdict.clone())).collect();
        let mut results = Results::default();
        results.add(Added::of(guest(kernel), &tests, Attempt { verdicts, rebooting: Vec::new(), death: None }));
        results
    }

    fn kept(kernel: &str, verdicts: &[(&str, Verdict)]) -> Support {
        let mut support = Support::default();
        take(&mut support, &[Kernel::example(kernel)], &circumstances(), &results(kernel, verdicts));
        support
    }

    fn circumstances() -> Circumstances {
        Circumstances { date: "2026-11-21".to_owned(), commit: None, accelerator: Accelerator::Tcg }
    }

    fn compared(kept: &Support, results: &Results, extent: Extent) -> Vec<String> {
        let differences = differences(kept, &[Kernel::example("6.1")], results, extent);
        differences.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_run_is_held_against_what_is_kept_by_verdict_and_by_reason() {
        let kept = kept("6.1", &[("a", Verdict::Passed), ("b", skipped("no disk")), ("c", Verdict::Passed)]);
        let same = results("6.1", &[("a", Verdict::Passed), ("b", skipped("no disk"))]);
        assert_eq!(compared(&kept, &same, Extent::Chosen), [""; 0]);
        assert_eq!(compared(&kept, &same, Extent::Everything), ["c on 6.1: passed, now not run"]);
        let other = results("6.1", &[("a", skipped("no PMU")), ("b", skipped("no time")), ("d", Verdict::Passed)]);
        let found = [
            "a on 6.1: passed, now skipped (no PMU)",
            "b on 6.1: skipped (no disk), now skipped (no time)",
            "d on 6.1: not there, now passed",
        ];
        assert_eq!(compared(&kept, &other, Extent::Chosen), found);
    }

    #[test]
    fn a_kernel_is_known_by_its_release_too() {
        let kept = kept("6.1", &[("a", Verdict::Passed)]);
        let mut release = Kernel::example("6.1");
        release.name = "6.1.0-1-amd64".to_owned();
        let seen = results(&release.name, &[("a", skipped("no PMU"))]);
        assert_eq!(differences(&kept, std::slice::from_ref(&release), &seen, Extent::Chosen).len(), 1);
        assert_eq!(not_kept(&kept, &[release, Kernel::example("7.1")]), ["7.1"]);
    }

    #[test]
    fn a_kernel_with_which_something_is_wrong_stays_as_it_was_kept() {
        let before = kept("6.1", &[("a", Verdict::Passed)]);
        let mut after = before.clone();
        let failed = results("6.1", &[("a", Verdict::Failed { why: "no".to_owned() }), ("b", Verdict::Passed)]);
        take(&mut after, &[Kernel::example("6.1")], &circumstances(), &failed);
        assert_eq!(after, before);
    }
}
