//! Rollback of a transaction: its steps are undone in reverse order.

use std::collections::BTreeMap;
use std::fmt;

use super::background::stop_holder;
use super::conflict::{Decision, OnConflict, decide};
use super::journal::{AppliedStep, Journal, JournalError, Parts, Record, StepState, TransactionId};
use super::signals::BlockedSignals;
use crate::host::Host;
use crate::text::shown;
use crate::tune::knob::{self, Reading};
use crate::tune::plan::Step;
use crate::tune::value::{KnobTarget, Value};

/// The result of a rollback.
#[derive(Debug, Default)]
pub struct RollbackReport {
    /// The number of values that were restored.
    pub restored: usize,
    /// The number of values that already were the original ones.
    pub unchanged: usize,
    /// The number of values that a reboot had reset.
    pub reset_by_reboot: usize,
    /// The values that were not restored.
    pub not_restored: Vec<NotRestored>,
    /// Effects of the transaction that restoring the values does not undo, as messages.
    pub side_effects: Vec<String>,
    /// The error because of which the journal lacks results, if there was one. The rollback will be repeated in this case, and
    /// change nothing.
    pub journal_error: Option<JournalError>,
    /// The values that are the original ones now.
    pub(super) restored_values: Vec<RestoredValue>,
}

/// A value that is the original one again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RestoredValue {
    knob: String,
    target: KnobTarget,
    before: Value,
}

impl RestoredValue {
    /// Whether this value includes another value: the same knob and target, and all of its parts. A process rule may match
    /// other processes each time it is applied.
    pub(super) fn includes(&self, knob: &str, target: &KnobTarget, value: &Value) -> bool {
        let has_parts = match (self.before.parts(), value.parts()) {
            (Some(own), Some(parts)) => parts.keys().all(|part| own.contains_key(part)),
            _ => true,
        };
        self.knob == knob && self.target == *target && has_parts
    }
}

/// A value that was not restored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotRestored {
    /// The id of the knob.
    pub knob: String,
    /// The target.
    pub target: KnobTarget,
    /// The value before the transaction. The value before the step may differ, because an earlier step may have changed it.
    pub before: Value,
    /// Why it was not restored.
    pub reason: String,
    /// The kind of reason.
    pub cause: Cause,
}

/// Why a value was not restored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The value was modified externally, and the modification is kept.
    ModifiedExternally,
    /// Restoring the value failed. A retry may succeed.
    Failed,
}

impl fmt::Display for NotRestored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = format!("{} on {}, originally {}", self.knob, self.target, self.before.complete());
        f.write_str(&shown(&text))
    }
}

impl RollbackReport {
    /// The values that were not restored, grouped by reason: the failure of one program may affect all boot parameters.
    #[must_use]
    pub fn not_restored_by_reason(&self) -> Vec<(&str, Vec<&NotRestored>)> {
        let mut reasons: Vec<(&str, Vec<&NotRestored>)> = Vec::new();
        for value in &self.not_restored {
            match reasons.iter_mut().find(|(reason, _)| *reason == value.reason) {
                Some((_, values)) => values.push(value),
                None => reasons.push((&value.reason, vec![value])),
            }
        }
        reasons
    }

    /// What the user can do about values that were not restored, if anything.
    #[must_use]
    pub fn hint(&self, id: TransactionId) -> Option<String> {
        let is_modified = self.not_restored.iter().any(|value| value.cause == Cause::ModifiedExternally);
        let id = id.0;
        is_modified
            .then(|| format!("`quell tune rollback --to {id} --force` restores values that were modified externally"))
    }

    /// Records that the value of a step could not be restored and is unchanged.
    fn fail(&mut self, journal: &mut Journal, applied: AppliedStep, reason: String) {
        let record =
            Record::NotRestored { step: applied.index, reason: reason.clone(), current: None, parts: Parts::new() };
        journal.append_best_effort(record);
        self.add(applied, reason, Cause::Failed);
    }

    fn add(&mut self, applied: AppliedStep, reason: String, cause: Cause) {
        let Step { knob, target, current: before, .. } = applied.step;
        self.not_restored.push(NotRestored { knob, target, before, reason, cause });
    }
}

/// Rolls back the executed steps of a transaction. The caller holds the lock. An interrupted rollback is continued, and values
/// that could not be restored are tried again.
///
/// A journal that cannot be written does not stop the rollback: repeating it changes nothing.
pub(super) fn roll_back_transaction(
    host: &Host,
    journal: &mut Journal,
    reason: &str,
    on_conflict: OnConflict,
) -> RollbackReport {
    // Best effort: an interrupted rollback is continued by the next recovery.
    let _blocked = BlockedSignals::block().ok();
    let mut report = RollbackReport::default();
    let mut applied = journal.transaction().applied_steps();
    applied.reverse();
    // All decisions are made first: restoring a value may change others, which must not count as conflicts.
    let decisions: Vec<Decision> =
        applied.iter().map(|applied| decide(host, applied, journal.transaction(), on_conflict)).collect();
    journal.append_best_effort(rolling_back(reason, &applied, &decisions));
    let stopped = stop_holder(&host.root, journal.transaction().id).map_err(|error| error.to_string());
    let is_in_this_boot = |(applied, decision): (&AppliedStep, &Decision)| {
        (*decision != Decision::ResetByReboot).then_some(applied.index)
    };
    let in_this_boot: Vec<usize> = applied.iter().zip(&decisions).filter_map(is_in_this_boot).collect();
    let (mut to_restore, mut conflicts) = (Vec::new(), Vec::new());
    for (applied, decision) in applied.into_iter().zip(decisions) {
        match (decision, &stopped) {
            (Decision::ResetByReboot, _) => {
                report.reset_by_reboot += 1;
                journal.append_best_effort(Record::Restored { step: applied.index });
            }
            (Decision::EndHolder, Err(reason)) => report.fail(journal, applied, reason.clone()),
            // The value is no longer in force, because its holder was stopped. The current value depends on other processes
            // that hold it.
            (Decision::EndHolder, Ok(())) if host.root.is_host() => {
                report.restored += 1;
                journal.append_best_effort(Record::Restored { step: applied.index });
            }
            (Decision::Conflict(reason), _) => conflicts.push(Conflict { applied, parts: Parts::new(), reason }),
            (Decision::PartialConflict(parts, reason), _) => {
                to_restore.push(applied.filter_parts(&|part| !parts.contains(part)));
                conflicts.push(Conflict { applied: applied.filter_parts(&|part| parts.contains(part)), parts, reason });
            }
            (Decision::EndHolder | Decision::Restore, _) => to_restore.push(applied),
        }
    }
    report.side_effects = to_restore.iter().flat_map(|applied| side_effects(host, applied)).collect();
    let results = restore_in_two_passes(
        &to_restore,
        host.clone(),
        // The first pass may bring CPUs online, and the restored value of an unrestricted thread depends on the online CPUs.
        |host| Host::read(host.root.clone()).unwrap_or(host),
        |host, applied, pass| match pass {
            Pass::Unwind => restore(host, journal, applied, &applied.before, on_conflict),
            Pass::Start => restore(host, journal, applied, &applied.step.current, on_conflict),
        },
    );
    let inherited = revoke_privileges(host, journal, &in_this_boot);
    let (mut to_activate, mut failed) = (Vec::new(), Vec::new());
    for (applied, result) in to_restore.into_iter().zip(results) {
        match result {
            Ok(Restored::Written) => report.restored += 1,
            Ok(Restored::Unchanged) => report.unchanged += 1,
            Err(reason) => {
                failed.push(applied.index);
                record_failure(host, journal, &applied, &reason);
                report.add(applied, reason, Cause::Failed);
                continue;
            }
        }
        if conflicts.iter().any(|conflict| conflict.applied.index == applied.index) {
            continue;
        }
        if let Some(reason) = inherited.get(&applied.index) {
            report.fail(journal, applied, reason.clone());
            continue;
        }
        if applied.step.lifetime.survives_reboot() {
            // The value counts as restored only after it is activated, even if it was unchanged: a crash may have occurred
            // between the two.
            to_activate.push(applied);
            continue;
        }
        journal.append_best_effort(Record::Restored { step: applied.index });
    }
    activate(host, journal, to_activate, &mut report);
    for conflict in conflicts {
        let has_failed = failed.contains(&conflict.applied.index);
        let inherited = inherited.get(&conflict.applied.index);
        keep_conflict(host, journal, conflict, inherited, has_failed, &mut report);
    }
    journal.append_best_effort(Record::Closed);
    report.restored_values = restored_values(journal, in_this_boot);
    report.journal_error = journal.take_error();
    report
}

fn rolling_back(reason: &str, applied: &[AppliedStep], decisions: &[Decision]) -> Record {
    let (mut conflicts, mut conflicting_parts) = (Vec::new(), Vec::new());
    for (applied, decision) in applied.iter().zip(decisions) {
        match decision {
            Decision::Conflict(_) => conflicts.push(applied.index),
            Decision::PartialConflict(parts, _) => conflicting_parts.push((applied.index, parts.clone())),
            Decision::Restore | Decision::EndHolder | Decision::ResetByReboot => {}
        }
    }
    Record::RollingBack { reason: reason.to_owned(), conflicts, conflicting_parts }
}

/// A value that was modified externally.
struct Conflict {
    applied: AppliedStep,
    /// If this is not empty, only these parts were modified externally, and the others are restored.
    parts: Parts,
    reason: String,
}

/// Records a conflict, unless the value now is the original one.
fn keep_conflict(
    host: &Host,
    journal: &mut Journal,
    conflict: Conflict,
    inherited: Option<&String>,
    has_failed: bool,
    report: &mut RollbackReport,
) {
    let Conflict { applied, parts, mut reason } = conflict;
    let mut cause = Cause::ModifiedExternally;
    if let Some(inherited) = inherited {
        // A retry may revoke the privilege.
        reason = format!("{reason}; {inherited}");
        cause = Cause::Failed;
    } else if is_original(host, &applied) {
        // An interrupted step of this transaction had changed the value, and restoring that step has restored this value too.
        report.unchanged += 1;
        if !has_failed {
            journal.append_best_effort(Record::Restored { step: applied.index });
        }
        return;
    }
    if !has_failed {
        let record = Record::NotRestored { step: applied.index, reason: reason.clone(), current: None, parts };
        journal.append_best_effort(record);
    }
    report.add(applied, reason, cause);
}

/// Records that restoring a value failed. If the rollback has written the value, the current value is recorded too, so that the
/// next rollback does not regard it as an external modification.
fn record_failure(host: &Host, journal: &mut Journal, applied: &AppliedStep, reason: &str) {
    let is_written = journal.transaction().is_restoring(applied.index);
    let current = if is_written { current_value(host, applied) } else { None };
    let is_own = |part: &str| applied.before.parts().is_none_or(|parts| parts.contains_key(part));
    let current = current.map(|current| current.filter_parts(&is_own));
    // Includes all parts, also conflicting ones: the next rollback detects those again.
    let record = Record::NotRestored { step: applied.index, reason: reason.to_owned(), current, parts: Parts::new() };
    journal.append_best_effort(record);
}

fn restored_values(journal: &Journal, steps: Vec<usize>) -> Vec<RestoredValue> {
    let steps = steps.into_iter().filter_map(|index| journal.transaction().steps.get(index));
    let restored = steps.filter(|(_, state)| *state == StepState::Restored).map(|(step, _)| RestoredValue {
        knob: step.knob.clone(),
        target: step.target.clone(),
        before: step.current.clone(),
    });
    restored.collect()
}

/// Revokes the privileges that steps granted from all processes that inherited them. Returns messages, by step, that name the
/// processes that still have them.
fn revoke_privileges(host: &Host, journal: &Journal, steps: &[usize]) -> BTreeMap<usize, String> {
    let applied = journal.transaction().applied_steps();
    let applied = applied.iter().filter(|applied| steps.contains(&applied.index));
    let inherited = applied.filter_map(|AppliedStep { index, step, before, .. }| {
        let knob = knob::by_id(&step.knob)?;
        let message = match knob.revoke_privileges(host, before, &step.desired, &step.processes) {
            Ok(inherited) => inherited?,
            Err(error) => format!("could not determine which processes inherited it: {error}"),
        };
        Some((*index, message))
    });
    inherited.collect()
}

/// Effects that are not undone by restoring a value, as messages.
fn side_effects(host: &Host, applied: &AppliedStep) -> Vec<String> {
    let Step { knob: id, target, desired, .. } = &applied.step;
    let Some(knob) = knob::by_id(id) else { return Vec::new() };
    match knob.side_effects(host, target, &applied.before, desired) {
        Ok(effects) => {
            effects.into_iter().map(|effect| shown(&format!("{id} on {target}: {effect}")).into_owned()).collect()
        }
        Err(error) => vec![format!("{id} on {target}: could not determine the side effects: {error}")],
    }
}

/// Whether the current value equals the value before the transaction.
fn is_original(host: &Host, applied: &AppliedStep) -> bool {
    let original = &applied.step.current;
    // Parts that were added since the transaction began have no original value.
    let has_all_parts = match (original.parts(), applied.before.parts()) {
        (Some(original), Some(before)) => before.keys().all(|part| original.contains_key(part)),
        _ => true,
    };
    let equals_original =
        |current: &Value| knob::by_id(&applied.step.knob).is_some_and(|knob| knob.equals(current, original));
    has_all_parts && current_value(host, applied).as_ref().is_some_and(equals_original)
}

/// The current value, if it can be determined.
fn current_value(host: &Host, applied: &AppliedStep) -> Option<Value> {
    let reading = knob::by_id(&applied.step.knob)?.current_since(host, &applied.step.target, &applied.before);
    reading.ok()?.value().cloned()
}

/// Activates restored values, once for each knob.
fn activate(host: &Host, journal: &mut Journal, applied: Vec<AppliedStep>, report: &mut RollbackReport) {
    let mut results: BTreeMap<String, Result<(), String>> = BTreeMap::new();
    for applied in applied {
        let id = &applied.step.knob;
        let result = results.entry(id.clone()).or_insert_with(|| {
            let result = knob::by_id(id).map_or(Ok(()), |knob| knob.activate(host));
            result.map_err(|error| error.to_string())
        });
        match result {
            Ok(()) => journal.append_best_effort(Record::Restored { step: applied.index }),
            Err(reason) => report.fail(journal, applied, reason.clone()),
        }
    }
}

/// A pass over the steps, in reverse order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pass {
    /// Each value is restored to the value right before its step, after earlier steps may have changed it.
    Unwind,
    /// Each value is restored to the value before the first step.
    Start,
}

/// Restores all values twice. A kernel may refuse a value while another one is not restored (an energy preference under the
/// governor `performance`, EBUSY). In addition, restoring a value may change another one (removing a partition gives kernel
/// threads all CPUs; more channels bring back queues that had values).
///
/// The error of a value is the reason why it was not restored. The second pass uses the host as the first pass left it.
fn restore_in_two_passes<S, H>(
    steps: &[S],
    host: H,
    reread: impl FnOnce(H) -> H,
    mut restore: impl FnMut(&H, &S, Pass) -> Result<Restored, String>,
) -> Vec<Result<Restored, String>> {
    let first: Vec<_> = steps.iter().map(|step| restore(&host, step, Pass::Unwind)).collect();
    let host = reread(host);
    let second = |(step, first)| match (restore(&host, step, Pass::Start), first) {
        (Ok(Restored::Unchanged), Ok(first)) => Ok(first),
        (second, _) => second,
    };
    steps.iter().zip(first).map(second).collect()
}

/// How the original value was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Restored {
    Written,
    /// The value already was the original one.
    Unchanged,
}

fn restore(
    host: &Host,
    journal: &mut Journal,
    applied: &AppliedStep,
    before: &Value,
    on_conflict: OnConflict,
) -> Result<Restored, String> {
    let step = &applied.step;
    let unknown = || knob::KnobError::Unknown.to_string();
    let knob = knob::by_id(&step.knob).ok_or_else(unknown)?;
    let read = || knob.current_since(host, &step.target, before).map_err(|error| error.to_string());
    match read() {
        // A value may be unreadable if a crash interrupted its write.
        Err(reason) if !applied.is_interrupted && on_conflict == OnConflict::Keep => return Err(reason),
        Ok(Reading::Absent(_)) if knob.spec().target_may_end => return Ok(Restored::Unchanged),
        Ok(Reading::Absent(reason)) => return Err(does_not_exist(&reason)),
        Ok(Reading::Value(current)) if knob.equals(&current, before) => return Ok(Restored::Unchanged),
        Err(_) | Ok(Reading::Value(_)) => {}
    }
    journal.append_best_effort(Record::Restoring { step: applied.index });
    knob.roll_back(host, &step.target, before).map_err(|error| error.to_string())?;
    match read()? {
        Reading::Value(current) if knob.equals(&current, before) => Ok(Restored::Written),
        Reading::Value(current) => Err(format!("wrote {}, but read back {}", before.brief(), current.brief())),
        Reading::Absent(reason) => Err(does_not_exist(&reason)),
    }
}

fn does_not_exist(reason: &str) -> String {
    format!("it does not exist any more: {}", shown(reason))
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};

    use super::*;

    /// A kernel with two values. It refuses to change the first one while the second one is `performance`, and changing the
    /// second one also changes the first.
    struct Kernel {
        preference: &'static str,
        governor: &'static str,
    }

    impl Kernel {
        fn restore(&mut self, step: &str) -> Result<Restored, String> {
            match step {
                "preference" if self.preference == "balanced" => return Ok(Restored::Unchanged),
                "preference" if self.governor == "performance" => return Err("EBUSY".to_owned()),
                "preference" => self.preference = "balanced",
                _ if self.governor == "powersave" => return Ok(Restored::Unchanged),
                _ => (self.governor, self.preference) = ("powersave", "power"),
            }
            Ok(Restored::Written)
        }
    }

    #[test]
    fn values_that_depend_on_each_other_are_restored_in_any_order() {
        // The preference is either refused in the first pass, or unchanged at first and changed by the governor after that.
        for preference in ["fast", "balanced"] {
            for order in [["preference", "governor"], ["governor", "preference"]] {
                let mut kernel = Kernel { preference, governor: "performance" };
                let results = restore_in_two_passes(&order, (), |()| (), |(), step, _| kernel.restore(step));
                assert_eq!(results, [Ok(Restored::Written), Ok(Restored::Written)], "from {preference}, {order:?}");
                assert_eq!((kernel.preference, kernel.governor), ("balanced", "powersave"));
            }
        }
    }

    /// A partition takes CPUs from kernel threads, and returns them when it is removed: the values of the threads between the
    /// two steps were not the original ones.
    #[test]
    fn a_value_is_restored_to_that_before_the_first_step() {
        let threads = RefCell::new("0");
        let partition = RefCell::new(true);
        let restore = |(): &(), step: &&str, pass: Pass| {
            if *step == "partition" {
                if partition.replace(false) {
                    threads.replace("0-3");
                    return Ok(Restored::Written);
                }
                return Ok(Restored::Unchanged);
            }
            let before = if pass == Pass::Unwind { "0-1" } else { "0-3" };
            Ok(if threads.replace(before) == before { Restored::Unchanged } else { Restored::Written })
        };
        let results = restore_in_two_passes(&["threads", "partition"], (), |()| (), restore);
        assert_eq!(results, [Ok(Restored::Written), Ok(Restored::Written)]);
        assert_eq!(*threads.borrow(), "0-3");
    }

    /// A thread that may use the first four of eight CPUs gets all CPUs while only these four are online, because
    /// sched_setaffinity(2) is called as for an unrestricted thread.
    #[test]
    fn the_second_pass_uses_the_cpus_that_the_first_brought_online() {
        let (online, thread) = (Cell::new(4), Cell::new(2));
        let restore = |seen: &u32, step: &&str, _: Pass| {
            match *step {
                "cpus" if online.get() == 8 => return Ok(Restored::Unchanged),
                "cpus" => online.set(8),
                _ if thread.get().min(online.get()) == 4 => return Ok(Restored::Unchanged),
                _ => thread.set(if *seen == 4 { 8192 } else { 4 }),
            }
            Ok(Restored::Written)
        };
        let results = restore_in_two_passes(&["thread", "cpus"], online.get(), |_| online.get(), restore);
        assert_eq!(results, [Ok(Restored::Written), Ok(Restored::Written)]);
        assert_eq!(thread.get(), 4);
    }
}
