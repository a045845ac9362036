//! Whose a value is that is to be undone.

use super::journal::{Parts, ToUndo, Transaction};
use super::knob::{self, KeptBy, Lifetime, Reading};
use super::{Unless, Value};
use crate::host::Host;

/// What is to become of a value, decided before any is put back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is the transaction's, and is put back.
    Ours,
    /// It is in force as long as a process holds it.
    Held,
    /// It went with the boot that it was set in, and is what the new boot made it.
    Gone,
    /// Somebody set it since, and it is left, for this reason.
    Theirs(String),
    /// Somebody set these parts of it since, which are left, for this reason; the others are put back.
    Partly(Parts, String),
}

pub(super) fn fate(host: &Host, undo: &ToUndo, transaction: &Transaction, unless: Unless) -> Fate {
    let same_boot = transaction.boot == host.boot;
    let knob = knob::by_id(&undo.step.knob);
    let now = knob.and_then(|knob| knob.read_back(host, &undo.step.target, &undo.before).ok());
    let now = now.as_ref().and_then(Reading::value).map(|now| of_the_step(undo, now));
    let now = now.as_ref();
    let meets = |now: &Value, wanted: &Value| knob.is_some_and(|knob| knob.meets(now, wanted));
    let granted = |now: &Value| knob.is_some_and(|knob| knob.is_granted(now, &undo.before, &undo.step.wanted));
    let since = |now: Option<&Value>| {
        let to = now.map_or_else(String::new, |now| format!(" to {now}"));
        let id = transaction.id.0;
        format!("somebody has set it{to} since; `quell tune rollback --to {id} --force` puts it back all the same")
    };
    match (undo.step.lifetime, now) {
        (Lifetime::WhileHeld, _) if same_boot => Fate::Held,
        (Lifetime::WhileHeld, _) => Fate::Gone,
        // What the kernel kept is gone, and a value that is the same was set by this boot: CPUs of `isolcpus=`, sysctl.d(5).
        (Lifetime::Runtime, now) if !same_boot => {
            let kept = knob.is_some_and(|knob| knob.spec().kept_by == KeptBy::Hardware);
            let survived =
                |now| meets(now, undo.after.as_ref().unwrap_or(&undo.step.wanted)) && !meets(now, &undo.before);
            if kept && now.is_some_and(survived) { Fate::Ours } else { Fate::Gone }
        }
        _ if unless == Unless::Never => Fate::Ours,
        // Before an earlier undoing: what it found to be somebody's was no privilege, or is one since.
        (_, now) if undo.theirs && !now.is_some_and(&granted) => Fate::Theirs(since(now)),
        (_, None) if !undo.their_parts.is_empty() => Fate::Partly(undo.their_parts.clone(), since(None)),
        // What cannot be read, or is not there now, is nobody's value; putting it back says what is wrong.
        (_, None) => Fate::Ours,
        (_, Some(now)) => match whose(undo, now, meets, granted) {
            Whose::Ours => Fate::Ours,
            Whose::Theirs => Fate::Theirs(since(Some(now))),
            Whose::Partly(parts) => {
                let theirs = now.of_parts(&|part| parts.contains(part));
                Fate::Partly(parts, since(Some(&theirs)))
            }
        },
    }
}

/// Of a value the parts that the step had: others have come since, or were undone before.
fn of_the_step(undo: &ToUndo, now: &Value) -> Value {
    match undo.before.parts() {
        Some(parts) if undo.step.lifetime != Lifetime::NextBoot => now.of_parts(&|part| parts.contains_key(part)),
        _ => now.clone(),
    }
}

/// Whose a value is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Whose {
    Ours,
    Theirs,
    /// These parts are somebody's.
    Partly(Parts),
}

/// Whether the transaction made it so, or it is as before, or it is what is left of a privilege that the transaction granted: of a
/// value with parts, each.
fn whose(
    undo: &ToUndo,
    now: &Value,
    meets: impl Fn(&Value, &Value) -> bool,
    granted: impl Fn(&Value) -> bool,
) -> Whose {
    let known =
        [Some(&undo.before), undo.after.as_ref(), undo.left.as_ref(), Some(&undo.step.now), Some(&undo.step.wanted)];
    let known = || known.into_iter().flatten();
    if undo.their_parts.is_empty() && (undo.half_written || known().any(|known| meets(now, known))) {
        return Whose::Ours;
    }
    let parts = match (now.parts(), undo.before.parts()) {
        // The files of a boot loader make one line together.
        _ if undo.step.lifetime == Lifetime::NextBoot => None,
        (Some(now), Some(before)) => Some(now.keys().filter(|part| before.contains_key(*part))),
        _ => None,
    };
    let Some(parts) = parts else { return Whose::Theirs };
    let is_known = |part: &str| {
        let one = |value: &Value| value.of_parts(&|name| name == part);
        let of_parts = known().filter(|known| known.parts().is_some_and(|parts| parts.contains_key(part)));
        undo.half_written || of_parts.map(one).any(|known| meets(&one(now), &known))
    };
    let is_granted = |part: &str| granted(&now.of_parts(&|name| name == part));
    let is_changed = |part: &str| undo.their_parts.contains(part) || !is_known(part);
    let is_theirs = |part: &&String| is_changed(part) && !is_granted(part);
    let (theirs, ours): (Vec<&String>, Vec<&String>) = parts.partition(is_theirs);
    match (theirs.is_empty(), ours.is_empty()) {
        (true, _) => Whose::Ours,
        (_, true) => Whose::Theirs,
        _ => Whose::Partly(theirs.into_iter().cloned().collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tune::knob::Stage;
    use crate::tune::{Step, Target};

    fn undo(after: Option<i64>, half_written: bool) -> ToUndo {
        let step = Step {
            knob: "memory.swappiness".to_owned(),
            target: Target::Host,
            now: Value::Integer(60),
            wanted: Value::Integer(10),
            lifetime: Lifetime::Runtime,
            stage: Stage::Setting,
            reason: String::new(),
            optional: false,
            processes: Vec::new(),
        };
        ToUndo {
            index: 0,
            step,
            before: Value::Integer(50),
            after: after.map(Value::Integer),
            left: None,
            half_written,
            theirs: false,
            their_parts: Parts::new(),
        }
    }

    #[test]
    fn a_value_is_the_transactions_only_where_it_made_it_or_found_it() {
        let whose = |undo: &ToUndo, now| whose(undo, &Value::Integer(now), Value::eq, |_| false);
        for known in [60, 50, 10, 9] {
            assert_eq!(whose(&undo(Some(9), false), known), Whose::Ours, "{known}");
        }
        assert_eq!(whose(&undo(Some(9), false), 33), Whose::Theirs);
        assert_eq!(whose(&undo(None, false), 33), Whose::Theirs, "intended, and not yet its turn");
        assert_eq!(whose(&undo(None, true), 33), Whose::Ours, "a write to it may have been cut short");
    }

    /// A value of so many threads.
    fn each(parts: &[(&str, i64)]) -> Value {
        let each = parts.iter().map(|(part, value)| ((*part).to_owned(), Value::Integer(*value)));
        Value::Of { what: "a card".to_owned(), value: Box::new(Value::Each(each.collect())) }
    }

    fn undo_of_parts() -> ToUndo {
        let mut undo = undo(None, false);
        undo.step.now = each(&[("a", 0), ("b", 0), ("c", 0)]);
        undo.before = undo.step.now.clone();
        undo.after = Some(each(&[("a", 1), ("b", 1), ("c", 1)]));
        undo
    }

    #[test]
    fn a_part_that_somebody_set_makes_no_other_theirs() {
        let whose = |undo: &ToUndo, now: &[(&str, i64)]| whose(undo, &each(now), Value::meets, |_| false);
        let theirs = |parts: &[&str]| Whose::Partly(parts.iter().map(|part| (*part).to_owned()).collect());
        let undo = undo_of_parts();
        assert_eq!(whose(&undo, &[("a", 1), ("b", 7), ("c", 1)]), theirs(&["b"]));
        assert_eq!(whose(&undo, &[("a", 0), ("b", 1), ("c", 1)]), Whose::Ours, "put back in part");
        assert_eq!(whose(&undo, &[("b", 1), ("d", 7)]), Whose::Ours, "two have gone, and one has come since");
        assert_eq!(whose(&undo, &[("a", 7), ("b", 7), ("c", 7)]), Whose::Theirs);
    }

    #[test]
    fn what_is_left_of_a_privilege_is_the_transactions_whoever_has_lowered_it() {
        let theirs = each(&[("a", 5), ("b", 7), ("c", 8)]);
        let is_granted =
            |now: &Value| now.parts().is_some_and(|parts| parts.values().any(|now| *now == Value::Integer(7)));
        let mut undo = undo_of_parts();
        let others = Whose::Partly(["a".to_owned(), "c".to_owned()].into());
        assert_eq!(whose(&undo, &theirs, Value::meets, is_granted), others);
        undo.their_parts = ["b".to_owned()].into();
        assert_eq!(whose(&undo, &theirs, Value::meets, is_granted), others, "whatever an earlier undoing found");
    }

    #[test]
    fn parts_that_an_undoing_found_to_be_somebodys_stay_theirs() {
        let mut undo = undo_of_parts();
        undo.half_written = true;
        undo.their_parts = ["b".to_owned()].into();
        let whose = whose(&undo, &each(&[("a", 5), ("b", 1), ("c", 1)]), Value::meets, |_| false);
        assert_eq!(whose, Whose::Partly(undo.their_parts.clone()));
    }

    #[test]
    fn files_of_a_boot_loader_are_judged_together() {
        let mut undo = undo_of_parts();
        undo.step.lifetime = Lifetime::NextBoot;
        let now = each(&[("a", 1), ("b", 7), ("c", 1)]);
        assert_eq!(whose(&undo, &now, Value::meets, |_| false), Whose::Theirs);
    }
}
