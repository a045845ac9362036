//! What a boot gave, by what it left behind.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::accelerator::Accelerator;
use super::console::{self, Complaint};
use super::programs::Test;
use crate::verdict::{Event, Verdict};

/// What there is to see of a guest that has ended, or was ended.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) fate: Fate,
    /// Whether it came as far as its job.
    pub(super) started: bool,
    /// What its tests' harness ended with, as a shell says it.
    pub(super) status: Option<String>,
    /// What its tests told.
    pub(super) events: Vec<Event>,
    /// What its kernel said.
    pub(super) console: String,
}

/// How a guest ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It restarted, as it does when its job is done, and when its kernel panics.
    Restarted,
    /// QEMU ended otherwise.
    Otherwise(String),
    /// It was ended, after so long without news.
    Hung(Duration),
}

impl fmt::Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Restarted => f.write_str("it restarted or powered off"),
            Self::Otherwise(how) => f.write_str(how),
            Self::Hung(patience) => write!(f, "nothing for {} s", patience.as_secs()),
        }
    }
}

/// What a boot gave.
#[derive(Clone, Debug)]
pub(super) struct Attempt {
    /// How its tests ended, as far as they did.
    pub(super) verdicts: BTreeMap<String, Verdict>,
    /// The tests that go on after a reboot.
    pub(super) rebooting: Vec<Test>,
    /// What became of the guest, where it did not end as it should.
    pub(super) death: Option<Death>,
}

/// A guest that hung, panicked, vanished, or whose kernel complained.
#[derive(Clone, Debug)]
pub(super) struct Death {
    /// In one line.
    pub(super) how: String,
    pub(super) when: When,
    /// Where its console is.
    console: PathBuf,
    /// The last lines of that.
    last_lines: String,
}

/// When a guest died.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum When {
    /// Before there was a test.
    Booting,
    /// While a test ran, or because of what it left for the next boot.
    In(String),
    /// Between tests, or after them.
    Outside,
    /// Not at all: but it stood still for so long that no verdict is worth anything, which TCG may do to it.
    Stalled,
}

impl When {
    /// Whether tests and quell had no part in it, as far as one can tell.
    pub(super) fn is_excused(&self) -> bool {
        matches!(self, Self::Booting | Self::Stalled)
    }
}

impl Attempt {
    /// Judges what was seen of a guest that was to run the `wanted` tests; its console is a file.
    pub(super) fn of(seen: &Seen, wanted: &[Test], accelerator: Accelerator, console: PathBuf) -> Self {
        let known = |name: &str| wanted.iter().find(|test| test.name == name);
        let mut verdicts = BTreeMap::new();
        let (mut running, mut rebooting) = (None, Vec::new());
        for event in &seen.events {
            match event {
                Event::Started { test } => running = Some(test.clone()),
                Event::Reboots { test } => {
                    running = None;
                    rebooting.extend(known(test).cloned());
                }
                Event::Ended { test, verdict, .. } => {
                    running = None;
                    if known(test).is_some() {
                        verdicts.insert(test.clone(), verdict.clone());
                    }
                }
            }
        }
        let ended = |test: &&Test| verdicts.contains_key(&test.name) || rebooting.iter().any(|it| it.name == test.name);
        let lacking = wanted.iter().find(|test| !ended(test)).map(|test| test.name.as_str());
        let failed = verdicts.values().any(|verdict| matches!(verdict, Verdict::Failed { .. }));
        let death = what_ended(seen, failed, lacking).map(|how| {
            let (how, when) = match running {
                Some(test) => (format!("{how}, in {test}"), When::In(test)),
                None if seen.started => (how, When::Outside),
                None => (format!("{how}, while it booted"), When::Booting),
            };
            (how, when)
        });
        let death = death.or_else(|| complained(&seen.console, accelerator));
        let last_lines = || console::last_lines(&seen.console);
        let death = death.map(|(how, when)| Death { how, when, console, last_lines: last_lines() });
        Self { verdicts, rebooting, death }
    }

    /// Adds what the boot gave in which tests of this one went on.
    pub(super) fn went_on(&mut self, again: Self) {
        self.verdicts.extend(again.verdicts);
        self.death = again.death.map(|death| match (&death.when, self.rebooting.first()) {
            // It was booted as a test wanted it.
            (When::Booting, Some(test)) => Death { when: When::In(test.name.clone()), ..death },
            _ => death,
        });
    }
}

/// Why a guest has not ended as one whose job is done.
fn what_ended(seen: &Seen, failed: bool, lacking: Option<&str>) -> Option<String> {
    if let Some(said) = console::panic(&seen.console) {
        return Some(said);
    }
    // What libtest ends with: 0, or 101 where a test failed.
    match (&seen.fate, seen.status.as_deref().map(str::trim)) {
        (Fate::Restarted, Some("0")) if !failed => {}
        (Fate::Restarted, Some("101")) if failed => {}
        (Fate::Restarted, Some(status)) => {
            let told = if failed { "told of failures" } else { "told of no failure" };
            return Some(format!("its tests {told}, and ended with `{status}`"));
        }
        (fate, _) => return Some(fate.to_string()),
    }
    lacking.map(|test| format!("it gave no result of {test}"))
}

fn complained(console: &str, accelerator: Accelerator) -> Option<(String, When)> {
    match (console::complaint(console)?, accelerator) {
        (Complaint::Stall(said), Accelerator::Tcg) => Some((format!("it stood still: {said}"), When::Stalled)),
        (Complaint::Stall(said) | Complaint::Fault(said), _) => {
            Some((format!("its kernel complained: {said}"), When::Outside))
        }
    }
}

impl Death {
    /// What became of the guest, and where to read more.
    pub(super) fn brief(&self) -> String {
        format!("{} (console: {})", self.how, self.console.display())
    }
}

impl fmt::Display for Death {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; it ends with\n{}", self.brief(), self.last_lines)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vm::results::tests::{passed, test};

    const PANIC: &str = "[    9.1] Kernel panic - not syncing: sysrq triggered crash\n";

    /// A guest that ran its two tests and ended as it should.
    fn well() -> Seen {
        Seen {
            fate: Fate::Restarted,
            started: true,
            status: Some("0\n".to_owned()),
            events: vec![started("a"), ended("a", Verdict::Passed), started("b"), ended("b", Verdict::Passed)],
            console: "[    0.0] Linux version 6.1.0\n[    9.0] sysrq: Resetting\n".to_owned(),
        }
    }

    fn started(test: &str) -> Event {
        Event::Started { test: test.to_owned() }
    }

    fn ended(test: &str, verdict: Verdict) -> Event {
        Event::Ended { test: test.to_owned(), verdict, seconds: 1.0 }
    }

    fn judged(seen: &Seen) -> Attempt {
        judged_under(seen, Accelerator::Tcg)
    }

    fn judged_under(seen: &Seen, accelerator: Accelerator) -> Attempt {
        Attempt::of(seen, &[test("a"), test("b")], accelerator, PathBuf::from("console"))
    }

    fn died(seen: &Seen) -> (String, When) {
        let death = judged(seen).death.expect("a death");
        (death.how, death.when)
    }

    #[test]
    fn a_guest_whose_tests_all_ended_has_not_died() {
        let attempt = judged(&well());
        assert!(attempt.death.is_none(), "{:?}", attempt.death);
        assert_eq!(attempt.verdicts, [passed("a"), passed("b")].into());
        let failed = Verdict::Failed { why: "no".to_owned() };
        let events = vec![ended("a", Verdict::Passed), ended("b", failed)];
        let attempt = judged(&Seen { events, status: Some("101\n".to_owned()), ..well() });
        assert!(attempt.death.is_none(), "{:?}", attempt.death);
    }

    #[test]
    fn a_guest_dies_while_it_boots_in_a_test_or_outside_of_them() {
        let nothing = Seen { started: false, status: None, events: Vec::new(), console: PANIC.to_owned(), ..well() };
        assert_eq!(died(&nothing).1, When::Booting);
        let hung = Fate::Hung(Duration::from_secs(120));
        let hangs = Seen { fate: hung, status: None, events: well().events[..3].to_vec(), ..well() };
        assert_eq!(died(&hangs), ("nothing for 120 s, in b".to_owned(), When::In("b".to_owned())));
        let between = Seen { status: None, events: well().events[..2].to_vec(), ..well() };
        assert_eq!(died(&between), ("it restarted or powered off".to_owned(), When::Outside));
    }

    #[test]
    fn a_guest_that_panics_when_all_tests_have_ended_has_died() {
        let late = Seen { status: None, console: PANIC.to_owned(), ..well() };
        assert_eq!(died(&late).1, When::Outside);
        assert_eq!(judged(&late).verdicts.len(), 2);
        // ... and when their harness has.
        assert_eq!(died(&Seen { console: PANIC.to_owned(), ..well() }).1, When::Outside);
    }

    #[test]
    fn what_tests_end_with_is_what_they_told() {
        let failed = vec![ended("a", Verdict::Passed), ended("b", Verdict::Failed { why: "no".to_owned() })];
        for (events, status) in [(well().events, "101"), (well().events, "134"), (failed, "0"), (well().events, "")] {
            let seen = Seen { events, status: Some(status.to_owned()), ..well() };
            assert!(died(&seen).0.contains(&format!("`{status}`")), "{seen:?}");
        }
        let seen = Seen { fate: Fate::Otherwise("QEMU was killed by signal 6: assertion".to_owned()), ..well() };
        assert!(died(&seen).0.contains("signal 6"));
        assert_eq!(died(&Seen { events: well().events[..2].to_vec(), ..well() }).0, "it gave no result of b");
    }

    #[test]
    fn a_kernel_that_complains_has_died_though_all_tests_passed() {
        let console =
            "[    3.1] WARNING: CPU: 1 PID: 77 at kernel/workqueue.c:3037 __flush_work+0x20/0x30\n".to_owned();
        assert_eq!(died(&Seen { console, ..well() }).1, When::Outside);
    }

    #[test]
    fn standing_still_is_excused_where_the_emulator_may_do_it() {
        let console = "[   30.1] rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:\n".to_owned();
        let seen = Seen { console, ..well() };
        assert_eq!(died(&seen).1, When::Stalled);
        assert_eq!(judged_under(&seen, Accelerator::Kvm).death.expect("a death").when, When::Outside);
    }

    #[test]
    fn only_tests_that_were_wanted_are_taken() {
        let mut seen = well();
        seen.events.push(ended("c", Verdict::Passed));
        assert_eq!(judged(&seen).verdicts, [passed("a"), passed("b")].into());
    }

    #[test]
    fn a_guest_that_does_not_come_up_again_died_of_the_test_that_rebooted_it() {
        let mut seen = well();
        seen.events = vec![started("a"), Event::Reboots { test: "a".to_owned() }, ended("b", Verdict::Passed)];
        let mut attempt = judged(&seen);
        assert!(attempt.death.is_none(), "{:?}", attempt.death);
        assert_eq!(attempt.rebooting.len(), 1);
        let again = Seen { started: false, status: None, events: Vec::new(), ..well() };
        attempt.went_on(judged(&again));
        assert_eq!(attempt.death.expect("a death").when, When::In("a".to_owned()));
    }
}
