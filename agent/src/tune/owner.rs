//! Whose a value is that is to be undone.

use super::journal::{ToUndo, Transaction};
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
}

pub(super) fn fate(host: &Host, undo: &ToUndo, transaction: &Transaction, unless: Unless) -> Fate {
    let same_boot = transaction.boot == host.boot;
    let all_the_same = || format!("`quell tune rollback --to {} --force` puts it back all the same", transaction.id.0);
    let knob = knob::by_id(&undo.step.knob);
    let now = knob.and_then(|knob| knob.read_back(host, &undo.step.target, &undo.before).ok());
    let now = now.as_ref().and_then(Reading::value);
    let meets = |now: &Value, wanted: &Value| knob.is_some_and(|knob| knob.meets(now, wanted));
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
        (_, Some(now)) if undo.theirs || !is_ours(undo, now, meets) => {
            Fate::Theirs(format!("somebody has set it to {now} since; {}", all_the_same()))
        }
        (_, None) if undo.theirs => Fate::Theirs(format!("somebody has set it since; {}", all_the_same())),
        // What cannot be read, or is not there now, is nobody's value; putting it back says what is wrong.
        _ => Fate::Ours,
    }
}

/// Whether the transaction made it so, or it is as before.
fn is_ours(undo: &ToUndo, now: &Value, meets: impl Fn(&Value, &Value) -> bool) -> bool {
    let known =
        [Some(&undo.before), undo.after.as_ref(), undo.left.as_ref(), Some(&undo.step.now), Some(&undo.step.wanted)];
    undo.half_written || known.into_iter().flatten().any(|known| meets(now, known))
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
        };
        let (before, after) = (Value::Integer(50), after.map(Value::Integer));
        ToUndo { index: 0, step, before, after, left: None, half_written, theirs: false }
    }

    #[test]
    fn a_value_is_the_transactions_only_where_it_made_it_or_found_it() {
        let ours = |undo: &ToUndo, now| is_ours(undo, &Value::Integer(now), Value::eq);
        for known in [60, 50, 10, 9] {
            assert!(ours(&undo(Some(9), false), known), "{known}");
        }
        assert!(!ours(&undo(Some(9), false), 33));
        assert!(!ours(&undo(None, false), 33), "intended, and not yet its turn");
        assert!(ours(&undo(None, true), 33), "a write to it may have been cut short");
    }
}
