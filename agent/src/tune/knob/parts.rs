//! Writing values that have parts: all or none when they are set, best effort when they are restored.

use crate::tune::knob::error::KnobError;
use crate::tune::value::Value;

/// A part that has to be changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Change<P> {
    pub(super) part: P,
    pub(super) current: Value,
    pub(super) desired: Value,
}

/// Changes all parts. If one part refuses, the parts before it are restored.
pub(super) fn all_or_none<P>(
    changes: &[Change<P>],
    set: impl Fn(&P, &Value) -> Result<(), KnobError>,
) -> Result<(), KnobError> {
    for (index, change) in changes.iter().enumerate() {
        if let Err(refused) = set(&change.part, &change.desired) {
            let restored = set_each(changes[..index].iter().rev().map(|done| (&done.part, &done.current)), &set);
            return Err(refused.after_restore(restored));
        }
    }
    Ok(())
}

/// Changes every part that accepts its value. The error names the other parts.
pub(super) fn best_effort<P>(
    changes: &[Change<P>],
    set: impl Fn(&P, &Value) -> Result<(), KnobError>,
) -> Result<(), KnobError> {
    set_each(changes.iter().map(|change| (&change.part, &change.desired)), set)
}

fn set_each<'a, P: 'a>(
    values: impl ExactSizeIterator<Item = (&'a P, &'a Value)>,
    set: impl Fn(&P, &Value) -> Result<(), KnobError>,
) -> Result<(), KnobError> {
    let total = values.len();
    let refused: Vec<KnobError> = values.filter_map(|(part, value)| set(part, value).err()).collect();
    if refused.is_empty() { Ok(()) } else { Err(KnobError::Parts { refused, total }) }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::collections::BTreeMap;

    use super::*;

    /// Three parts. The second refuses the value 1.
    fn kernel() -> RefCell<BTreeMap<&'static str, i64>> {
        RefCell::new([("a", 0), ("b", 0), ("c", 0)].into())
    }

    fn changes(from: i64, to: i64) -> Vec<Change<&'static str>> {
        ["a", "b", "c"]
            .map(|part| Change { part, current: Value::Integer(from), desired: Value::Integer(to) })
            .into_iter()
            .collect()
    }

    fn set(kernel: &RefCell<BTreeMap<&'static str, i64>>, part: &'static str, value: &Value) -> Result<(), KnobError> {
        let Value::Integer(number) = value else { return Err(KnobError::Unknown) };
        if part == "b" && *number == 1 {
            let source = std::io::Error::from_raw_os_error(libc::EINVAL);
            return Err(KnobError::from_write(part.into(), number.to_string(), source));
        }
        kernel.borrow_mut().insert(part, *number);
        Ok(())
    }

    #[test]
    fn if_a_part_refuses_none_is_changed() {
        let kernel = kernel();
        let error = all_or_none(&changes(0, 1), |part, value| set(&kernel, part, value)).expect_err("b refuses");
        assert!(matches!(error, KnobError::Refused { .. }), "{error}");
        assert!(kernel.borrow().values().all(|value| *value == 0), "{kernel:?}");
    }

    #[test]
    fn best_effort_changes_the_other_parts_and_names_those_that_refused() {
        let kernel = kernel();
        let error = best_effort(&changes(0, 1), |part, value| set(&kernel, part, value)).expect_err("b refuses");
        let error = error.to_string();
        assert!(error.starts_with("1 of 3 could not be set: b rejected `1`"), "{error}");
        assert_eq!(kernel.borrow().values().copied().collect::<Vec<_>>(), [1, 0, 1]);
    }

    #[test]
    fn a_failed_restore_is_reported_with_the_refusal() {
        let kernel = kernel();
        let refuses_twice = |part: &&'static str, value: &Value| match (*part, value) {
            ("a", Value::Integer(0)) => Err(KnobError::Unknown),
            (part, value) => set(&kernel, part, value),
        };
        let error = all_or_none(&changes(0, 1), refuses_twice).expect_err("b refuses").to_string();
        assert!(error.starts_with("b rejected `1`") && error.contains("could not be restored"), "{error}");
    }
}
