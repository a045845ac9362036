//! Detection of values that were modified externally after a transaction set them.

use super::journal::{AppliedStep, Parts, Transaction};
use crate::host::Host;
use crate::tune::knob::{self, Lifetime, Reading, RetainedBy};
use crate::tune::value::Value;

/// How a rollback handles values that were modified externally.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnConflict {
    /// Keep the external modification.
    Keep,
    /// Restore the original value.
    Overwrite,
}

/// What a rollback does with the value of a step. All decisions are made before the first value is restored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    /// The original value is restored.
    Restore,
    /// A process keeps the value in force, and is stopped.
    EndHolder,
    /// The value was reset by a reboot, and is left as it is.
    ResetByReboot,
    /// The value was modified externally and is kept, for this reason.
    Conflict(String),
    /// These parts of the value were modified externally and are kept, for this reason. The other parts are restored.
    PartialConflict(Parts, String),
}

pub(super) fn decide(
    host: &Host,
    applied: &AppliedStep,
    transaction: &Transaction,
    on_conflict: OnConflict,
) -> Decision {
    let same_boot = transaction.boot == host.boot;
    let step = &applied.step;
    let knob = knob::by_id(&step.knob);
    let reading = knob.and_then(|knob| knob.current_since(host, &step.target, &applied.before).ok());
    let current = reading.as_ref().and_then(Reading::value).map(|current| parts_of_step(applied, current));
    let current = current.as_ref();
    let equals = |current: &Value, expected: &Value| knob.is_some_and(|knob| knob.equals(current, expected));
    let is_granted =
        |current: &Value| knob.is_some_and(|knob| knob.is_granted_privilege(current, &applied.before, &step.desired));
    match (step.lifetime, current) {
        (Lifetime::WhileHeld, _) if same_boot => Decision::EndHolder,
        (Lifetime::WhileHeld, _) => Decision::ResetByReboot,
        // A value that the kernel retained is lost at a reboot. If the value is the same, the new boot has set it, by
        // `isolcpus=` or sysctl.d(5).
        (Lifetime::Runtime, current) if !same_boot => {
            let is_retained = knob.is_some_and(|knob| knob.spec().retained_by == RetainedBy::Hardware);
            let survived = |current| {
                equals(current, applied.after.as_ref().unwrap_or(&step.desired)) && !equals(current, &applied.before)
            };
            if is_retained && current.is_some_and(survived) { Decision::Restore } else { Decision::ResetByReboot }
        }
        _ if on_conflict == OnConflict::Overwrite => Decision::Restore,
        // A conflict that an interrupted rollback found, unless the value is a granted privilege now.
        (_, current) if applied.is_conflict && !current.is_some_and(&is_granted) => {
            Decision::Conflict(modified_externally(current))
        }
        (_, None) if !applied.conflicting_parts.is_empty() => {
            Decision::PartialConflict(applied.conflicting_parts.clone(), modified_externally(None))
        }
        // A value that cannot be read or does not exist does not count as modified. Restoring it reports the error.
        (_, None) => Decision::Restore,
        (_, Some(current)) => match provenance(applied, current, equals, is_granted) {
            Provenance::Transaction => Decision::Restore,
            Provenance::External => Decision::Conflict(modified_externally(Some(current))),
            Provenance::PartlyExternal(parts) => {
                let external = current.filter_parts(&|part| parts.contains(part));
                Decision::PartialConflict(parts, modified_externally(Some(&external)))
            }
        },
    }
}

fn modified_externally(current: Option<&Value>) -> String {
    match current {
        Some(current) => format!("modified externally to {current}"),
        None => "modified externally".to_owned(),
    }
}

/// The value without parts that the step did not have: they were added since, or were restored before.
fn parts_of_step(applied: &AppliedStep, current: &Value) -> Value {
    match applied.before.parts() {
        Some(parts) if applied.step.lifetime != Lifetime::NextBoot => {
            current.filter_parts(&|part| parts.contains_key(part))
        }
        _ => current.clone(),
    }
}

/// The origin of the current value.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Provenance {
    /// The transaction set the value, or it is the original value.
    Transaction,
    /// The value was modified externally.
    External,
    /// These parts were modified externally.
    PartlyExternal(Parts),
}

/// A value originates from the transaction if it is known from the journal, or if it is the remainder of a privilege that the
/// transaction granted. Each part of a value is evaluated separately.
fn provenance(
    applied: &AppliedStep,
    current: &Value,
    equals: impl Fn(&Value, &Value) -> bool,
    is_granted: impl Fn(&Value) -> bool,
) -> Provenance {
    let known = [
        Some(&applied.before),
        applied.after.as_ref(),
        applied.after_rollback.as_ref(),
        Some(&applied.step.current),
        Some(&applied.step.desired),
    ];
    let known = || known.into_iter().flatten();
    let is_interrupted = applied.is_interrupted;
    if applied.conflicting_parts.is_empty() && (is_interrupted || known().any(|known| equals(current, known))) {
        return Provenance::Transaction;
    }
    let parts = match (current.parts(), applied.before.parts()) {
        // The files of a boot loader form one command line, so their parts are not evaluated separately.
        _ if applied.step.lifetime == Lifetime::NextBoot => None,
        (Some(current), Some(before)) => Some(current.keys().filter(|part| before.contains_key(*part))),
        _ => None,
    };
    let Some(parts) = parts else { return Provenance::External };
    let only = |value: &Value, part: &str| value.filter_parts(&|name| name == part);
    let is_known = |part: &str| {
        let has_part = |known: &&Value| known.parts().is_some_and(|parts| parts.contains_key(part));
        is_interrupted || known().filter(has_part).any(|known| equals(&only(current, part), &only(known, part)))
    };
    let is_modified = |part: &str| applied.conflicting_parts.contains(part) || !is_known(part);
    let is_external = |part: &&String| is_modified(part) && !is_granted(&only(current, part));
    let (external, own): (Vec<&String>, Vec<&String>) = parts.partition(is_external);
    match (external.is_empty(), own.is_empty()) {
        (true, _) => Provenance::Transaction,
        (_, true) => Provenance::External,
        _ => Provenance::PartlyExternal(external.into_iter().cloned().collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tune::knob::Stage;
    use crate::tune::plan::Step;
    use crate::tune::value::KnobTarget;

    fn applied(after: Option<i64>, is_interrupted: bool) -> AppliedStep {
        let step = Step {
            knob: "memory.swappiness".to_owned(),
            target: KnobTarget::Host,
            current: Value::Integer(60),
            desired: Value::Integer(10),
            lifetime: Lifetime::Runtime,
            stage: Stage::Setting,
            reason: String::new(),
            optional: false,
            processes: Vec::new(),
        };
        AppliedStep {
            index: 0,
            step,
            before: Value::Integer(50),
            after: after.map(Value::Integer),
            after_rollback: None,
            is_interrupted,
            is_conflict: false,
            conflicting_parts: Parts::new(),
        }
    }

    fn parts(names: &[&str]) -> Parts {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn a_value_that_the_journal_does_not_have_was_modified_externally() {
        let provenance =
            |applied: &AppliedStep, current| provenance(applied, &Value::Integer(current), Value::eq, |_| false);
        for known in [60, 50, 10, 9] {
            assert_eq!(provenance(&applied(Some(9), false), known), Provenance::Transaction, "{known}");
        }
        assert_eq!(provenance(&applied(Some(9), false), 33), Provenance::External);
        assert_eq!(provenance(&applied(None, false), 33), Provenance::External, "pending, but not started");
        assert_eq!(provenance(&applied(None, true), 33), Provenance::Transaction, "a write may have been interrupted");
    }

    fn per_part(values: &[(&str, i64)]) -> Value {
        let values = values.iter().map(|(part, value)| ((*part).to_owned(), Value::Integer(*value)));
        Value::OnDevice { device: "a card".to_owned(), value: Box::new(Value::PerPart(values.collect())) }
    }

    fn applied_parts() -> AppliedStep {
        let mut applied = applied(None, false);
        applied.step.current = per_part(&[("a", 0), ("b", 0), ("c", 0)]);
        applied.before = applied.step.current.clone();
        applied.after = Some(per_part(&[("a", 1), ("b", 1), ("c", 1)]));
        applied
    }

    #[test]
    fn a_modified_part_does_not_make_the_others_external() {
        let provenance = |applied: &AppliedStep, current: &[(&str, i64)]| {
            provenance(applied, &per_part(current), Value::matches, |_| false)
        };
        let applied = applied_parts();
        let partly = |names: &[&str]| Provenance::PartlyExternal(parts(names));
        assert_eq!(provenance(&applied, &[("a", 1), ("b", 7), ("c", 1)]), partly(&["b"]));
        assert_eq!(provenance(&applied, &[("a", 0), ("b", 1), ("c", 1)]), Provenance::Transaction, "partly restored");
        assert_eq!(provenance(&applied, &[("b", 1), ("d", 7)]), Provenance::Transaction, "two ended, one was added");
        assert_eq!(provenance(&applied, &[("a", 7), ("b", 7), ("c", 7)]), Provenance::External);
    }

    #[test]
    fn the_rest_of_a_granted_privilege_is_not_external() {
        let current = per_part(&[("a", 5), ("b", 7), ("c", 8)]);
        let is_granted =
            |value: &Value| value.parts().is_some_and(|parts| parts.values().any(|value| *value == Value::Integer(7)));
        let mut applied = applied_parts();
        let expected = Provenance::PartlyExternal(parts(&["a", "c"]));
        assert_eq!(provenance(&applied, &current, Value::matches, is_granted), expected);
        applied.conflicting_parts = parts(&["b"]);
        assert_eq!(
            provenance(&applied, &current, Value::matches, is_granted),
            expected,
            "after an interrupted rollback"
        );
    }

    #[test]
    fn conflicts_of_an_interrupted_rollback_are_kept() {
        let mut applied = applied_parts();
        applied.is_interrupted = true;
        applied.conflicting_parts = parts(&["b"]);
        let current = per_part(&[("a", 5), ("b", 1), ("c", 1)]);
        let expected = Provenance::PartlyExternal(parts(&["b"]));
        assert_eq!(provenance(&applied, &current, Value::matches, |_| false), expected);
    }

    #[test]
    fn the_files_of_a_boot_loader_are_judged_together() {
        let mut applied = applied_parts();
        applied.step.lifetime = Lifetime::NextBoot;
        let current = per_part(&[("a", 1), ("b", 7), ("c", 1)]);
        assert_eq!(provenance(&applied, &current, Value::matches, |_| false), Provenance::External);
    }
}
