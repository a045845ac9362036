//! What the guests gave, all together.

use std::collections::{BTreeMap, BTreeSet};

use super::attempt::{Attempt, Death, When};
use super::programs::Test;
use crate::verdict::Verdict;

/// Verdicts of tests by kernel, and what else became of the kernels.
#[derive(Debug, Default)]
pub(super) struct Results {
    verdicts: BTreeMap<String, BTreeMap<String, Verdict>>,
    retried: Vec<Retried>,
    faults: Vec<Fault>,
}

/// A guest that was booted a second time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Retried {
    pub(super) guest: Name,
    /// What became of the first boot.
    pub(super) how: String,
    /// Whether quell and its tests had no part in that, as far as one can tell. If not, something is wrong,
    /// whatever the second boot gave.
    pub(super) is_excused: bool,
    /// The tests whose verdicts are of the second boot.
    pub(super) tests: BTreeSet<String>,
}

/// A kernel that is not well, though no test of it says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) guest: Name,
    pub(super) how: String,
}

/// A guest, by its kernel and machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Name {
    pub(super) kernel: String,
    pub(super) machine: &'static str,
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.kernel, self.machine)
    }
}

/// What one guest gave, with its second boot where it needed one.
#[derive(Debug)]
pub(super) struct Added {
    guest: Name,
    verdicts: BTreeMap<String, Verdict>,
    lacking: Vec<Test>,
    death: Option<Death>,
    retried: Option<Retried>,
    fault: Option<Fault>,
}

impl Added {
    /// What a guest's first boot gave.
    pub(super) fn of(guest: Name, wanted: &[Test], first: Attempt) -> Self {
        let mut verdicts = first.verdicts;
        if first.death.as_ref().is_some_and(|death| death.when == When::Stalled) {
            verdicts.clear();
        }
        let mut lacking = wanted.to_vec();
        lacking.retain(|test| !verdicts.contains_key(&test.name));
        let mut added = Self { guest, verdicts, lacking, death: first.death, retried: None, fault: None };
        if added.lacking.is_empty() {
            // There is nothing to boot once more for.
            added.fault = added.death.take().map(|death| Fault { guest: added.guest.clone(), how: death.brief() });
        }
        added
    }

    /// A guest that this host could not boot.
    pub(super) fn of_no_boot(guest: Name, wanted: &[Test], why: &str) -> Self {
        let failed = |test: &Test| (test.name.clone(), Verdict::Failed { why: format!("no guest: {why}") });
        let verdicts = wanted.iter().map(failed).collect();
        Self { guest, verdicts, lacking: Vec::new(), death: None, retried: None, fault: None }
    }

    /// What became of the guest, where it is to be booted once more.
    pub(super) fn death(&self) -> Option<&Death> {
        self.death.as_ref()
    }

    /// What is wrong with the kernel.
    pub(super) fn fault(&self) -> Option<&Fault> {
        self.fault.as_ref()
    }

    /// The tests without a verdict.
    pub(super) fn lacking(&self) -> &[Test] {
        &self.lacking
    }

    /// Adds what the second boot gave to the tests that lack a verdict, or why this host could not boot it. What still
    /// lacks one has failed.
    pub(super) fn retry(&mut self, again: Result<Attempt, String>) {
        let (mut verdicts, how) = match again {
            Ok(again) => (again.verdicts, again.death.map(|death| death.brief())),
            Err(why) => (BTreeMap::new(), Some(why)),
        };
        let lacking = std::mem::take(&mut self.lacking);
        self.retried = self.death.take().map(|death| Retried {
            guest: self.guest.clone(),
            how: death.brief(),
            is_excused: death.when.is_excused(),
            tests: lacking.iter().map(|test| test.name.clone()).collect(),
        });
        let mut all_ended = true;
        for test in lacking {
            let verdict = verdicts.remove(&test.name).unwrap_or_else(|| {
                all_ended = false;
                let how = how.as_deref().unwrap_or("no result");
                Verdict::Failed { why: format!("in two boots the guest did not end it: {how}") }
            });
            self.verdicts.insert(test.name, verdict);
        }
        self.fault = how.filter(|_| all_ended).map(|how| Fault { guest: self.guest.clone(), how });
    }

    /// In words.
    pub(super) fn summary(&self) -> String {
        let count = |chosen: fn(&Verdict) -> bool| self.verdicts.values().filter(|verdict| chosen(verdict)).count();
        let (passed, failed) =
            (count(|verdict| *verdict == Verdict::Passed), count(|verdict| matches!(verdict, Verdict::Failed { .. })));
        let skipped = self.verdicts.len() - passed - failed;
        let retried = if self.retried.is_some() { ", in two boots" } else { "" };
        let fault = if self.fault.is_some() { ", and the kernel is not well" } else { "" };
        format!("{passed} passed, {failed} failed, {skipped} skipped{retried}{fault}")
    }
}

impl Results {
    /// Takes in what a guest gave.
    pub(super) fn add(&mut self, added: Added) {
        for (test, verdict) in added.verdicts {
            self.verdicts.entry(test).or_default().insert(added.guest.kernel.clone(), verdict);
        }
        self.retried.extend(added.retried);
        self.faults.extend(added.fault);
    }

    /// Verdicts by test and kernel.
    pub(super) fn verdicts(&self) -> &BTreeMap<String, BTreeMap<String, Verdict>> {
        &self.verdicts
    }

    /// The guests that were booted a second time.
    pub(super) fn retried(&self) -> &[Retried] {
        &self.retried
    }

    /// The kernels that are not well, though no test says so.
    pub(super) fn faults(&self) -> &[Fault] {
        &self.faults
    }

    /// Whether a verdict is of a second boot.
    pub(super) fn is_of_second_boot(&self, test: &str, kernel: &str) -> bool {
        self.retried.iter().any(|retried| retried.guest.kernel == kernel && retried.tests.contains(test))
    }

    /// Whether anything is wrong: a test failed, a kernel is not well, or died of a test that passed the second time.
    pub(super) fn failed(&self) -> bool {
        let kernels: BTreeSet<&String> = self.verdicts.values().flat_map(BTreeMap::keys).collect();
        kernels.into_iter().any(|kernel| self.what_is_wrong_with(kernel).is_some())
    }

    /// Why nothing may be promised of a kernel.
    pub(super) fn what_is_wrong_with(&self, kernel: &str) -> Option<String> {
        let failed = |by_kernel: &BTreeMap<_, _>| matches!(by_kernel.get(kernel), Some(Verdict::Failed { .. }));
        if self.verdicts.values().any(failed) {
            return Some("tests failed".to_owned());
        }
        if let Some(fault) = self.faults.iter().find(|fault| fault.guest.kernel == kernel) {
            return Some(fault.how.clone());
        }
        let retried = self.retried.iter().find(|retried| retried.guest.kernel == kernel && !retried.is_excused);
        retried.map(|retried| format!("it was booted twice: {}", retried.how))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::machine::PLAIN;
    use crate::verdict::Event;
    use crate::vm::accelerator::Accelerator;
    use crate::vm::attempt::{Fate, Seen};
    use crate::vm::table;

    pub(in crate::vm) fn test(name: &str) -> Test {
        Test { name: name.to_owned(), machine: &PLAIN }
    }

    pub(in crate::vm) fn passed(test: &str) -> (String, Verdict) {
        (test.to_owned(), Verdict::Passed)
    }

    pub(in crate::vm) fn guest(kernel: &str) -> Name {
        Name { kernel: kernel.to_owned(), machine: PLAIN.name }
    }

    /// The results of one guest of 6.1 with the tests `a`, `b` and `c`.
    fn results(first: Attempt, second: Option<Attempt>) -> Results {
        let mut added = Added::of(guest("6.1"), &wanted(), first);
        assert_eq!(added.death().is_some(), second.is_some());
        if let Some(second) = second {
            added.retry(Ok(second));
        }
        let mut results = Results::default();
        results.add(added);
        results
    }

    fn wanted() -> [Test; 3] {
        ["a", "b", "c"].map(test)
    }

    /// A boot in which these tests passed, and that one ran at its end.
    fn boot(ended: &[&str], running: Option<&str>, console: &str) -> Attempt {
        let of = |test: &&str| Event::Ended { test: (*test).to_owned(), verdict: Verdict::Passed, seconds: 1.0 };
        let mut events: Vec<Event> = ended.iter().map(of).collect();
        events.extend(running.map(|test| Event::Started { test: test.to_owned() }));
        let status = (ended.len() == 3).then(|| "0".to_owned());
        let started = !events.is_empty();
        let seen = Seen { fate: Fate::Restarted, started, status, events, console: console.to_owned() };
        Attempt::of(&seen, &wanted(), Accelerator::Tcg, PathBuf::from("console"))
    }

    /// A second boot in which these tests passed.
    fn second(ended: &[&str]) -> Attempt {
        Attempt { death: None, ..boot(ended, None, "") }
    }

    const PANIC: &str = "[ 9.1] Kernel panic - not syncing: Fatal exception\n";
    const STALL: &str = "[ 9.1] watchdog: BUG: soft lockup - CPU#2 stuck for 26s! [kernels:77]\n";

    #[test]
    fn a_test_that_passes_only_after_a_panic_in_it_is_shown_as_such_and_the_kernel_is_not_kept() {
        let results = results(boot(&["a"], Some("b"), PANIC), Some(second(&["b", "c"])));
        assert_eq!(results.verdicts()["b"]["6.1"], Verdict::Passed);
        assert!(results.is_of_second_boot("b", "6.1") && !results.is_of_second_boot("a", "6.1"));
        assert!(results.failed());
        let why = results.what_is_wrong_with("6.1").expect("a reason");
        assert!(why.contains("Kernel panic") && why.contains("in b"), "{why}");
        let text = table::render(&["6.1"], &results);
        for line in ["a     passed", "b     passed*", "*FAILED, and booted twice: 6.1 plain: "] {
            assert!(text.lines().any(|shown| shown.starts_with(line)), "{line}: {text}");
        }
        assert_eq!(results.what_is_wrong_with("5.10"), None);
    }

    #[test]
    fn a_guest_that_died_while_it_booted_or_stood_still_is_told_of_and_excused() {
        for first in [boot(&[], None, PANIC), boot(&["a", "b", "c"], None, STALL)] {
            let results = results(first, Some(second(&["a", "b", "c"])));
            assert!(!results.failed(), "{:?}", results.what_is_wrong_with("6.1"));
            let text = table::render(&["6.1"], &results);
            assert!(text.contains("\n*booted twice: 6.1 plain: ") && !text.contains("FAILED"), "{text}");
            assert_eq!(results.retried().len(), 1);
            assert!(results.is_of_second_boot("a", "6.1"));
        }
    }

    #[test]
    fn a_guest_that_stands_still_twice_is_not_excused() {
        let results = results(boot(&["a", "b", "c"], None, STALL), Some(boot(&["a", "b", "c"], None, STALL)));
        assert!(results.failed());
    }

    #[test]
    fn a_death_after_all_verdicts_is_a_failure_of_the_kernel() {
        let results = results(boot(&["a", "b", "c"], None, PANIC), None);
        assert_eq!(results.verdicts().len(), 3);
        assert!(results.failed());
        assert_eq!(results.faults().len(), 1);
        let text = table::render(&["6.1"], &results);
        assert!(text.contains("\nFAILED: the kernel of 6.1 plain: "), "{text}");
    }

    #[test]
    fn a_second_boot_gives_verdicts_only_to_tests_that_lack_them_and_the_rest_has_failed() {
        let failed = Verdict::Failed { why: "no".to_owned() };
        let mut again = boot(&["b"], Some("c"), PANIC);
        again.verdicts.insert("a".to_owned(), failed);
        let results = results(boot(&["a"], Some("b"), PANIC), Some(again));
        assert_eq!(results.verdicts()["a"]["6.1"], Verdict::Passed);
        assert_eq!(results.verdicts()["b"]["6.1"], Verdict::Passed);
        assert!(matches!(&results.verdicts()["c"]["6.1"], Verdict::Failed { why } if why.contains("in c")));
    }

    #[test]
    fn a_guest_that_the_host_cannot_boot_fails_its_tests_and_no_others() {
        let mut results = results(boot(&["a", "b", "c"], None, ""), None);
        results.add(Added::of_no_boot(guest("5.10"), &[test("a")], "cannot run QEMU"));
        assert!(matches!(&results.verdicts()["a"]["5.10"], Verdict::Failed { why } if why.contains("cannot run QEMU")));
        assert_eq!(results.verdicts()["a"]["6.1"], Verdict::Passed);
        assert_eq!((results.failed(), results.what_is_wrong_with("6.1")), (true, None));
    }
}
