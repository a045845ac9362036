//! Setting a value that has parts: all of them or none, and on the way back as many as can be.

use super::KnobError;
use crate::tune::Value;

/// A part that is to be changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Change<P> {
    pub(super) part: P,
    pub(super) now: Value,
    pub(super) wanted: Value,
}

/// Changes every part; where one refuses, those before it get back what they had.
pub(super) fn all_or_none<P>(
    changes: &[Change<P>],
    set: impl Fn(&P, &Value) -> Result<(), KnobError>,
) -> Result<(), KnobError> {
    for (index, change) in changes.iter().enumerate() {
        if let Err(refused) = set(&change.part, &change.wanted) {
            let back = each(changes[..index].iter().rev().map(|done| (&done.part, &done.now)), &set);
            return Err(refused.after(back));
        }
    }
    Ok(())
}

/// Changes every part that can be, and names the others.
pub(super) fn as_many_as_can_be<P>(
    changes: &[Change<P>],
    set: impl Fn(&P, &Value) -> Result<(), KnobError>,
) -> Result<(), KnobError> {
    each(changes.iter().map(|change| (&change.part, &change.wanted)), set)
}

fn each<'a, P: 'a>(
    values: impl ExactSizeIterator<Item = (&'a P, &'a Value)>,
    set: impl Fn(&P, &Value) -> Result<(), KnobError>,
) -> Result<(), KnobError> {
    let of = values.len();
    let refused: Vec<KnobError> = values.filter_map(|(part, value)| set(part, value).err()).collect();
    if refused.is_empty() { Ok(()) } else { Err(KnobError::Parts { refused, of }) }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::collections::BTreeMap;

    use super::*;

    /// Three parts of a kernel, of which the second refuses 1.
    fn kernel() -> RefCell<BTreeMap<&'static str, i64>> {
        RefCell::new([("a", 0), ("b", 0), ("c", 0)].into())
    }

    fn changes(from: i64, to: i64) -> Vec<Change<&'static str>> {
        ["a", "b", "c"]
            .map(|part| Change { part, now: Value::Integer(from), wanted: Value::Integer(to) })
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
    fn a_part_that_refuses_leaves_none_changed() {
        let kernel = kernel();
        let error = all_or_none(&changes(0, 1), |part, value| set(&kernel, part, value)).expect_err("b refuses");
        assert!(matches!(error, KnobError::Refused { .. }), "{error}");
        assert!(kernel.borrow().values().all(|now| *now == 0), "{kernel:?}");
    }

    #[test]
    fn a_part_that_refuses_keeps_no_other_from_its_value_and_is_named() {
        let kernel = kernel();
        let error = as_many_as_can_be(&changes(0, 1), |part, value| set(&kernel, part, value)).expect_err("b refuses");
        let said = error.to_string();
        assert!(said.starts_with("1 of 3 could not be set: b does not take `1`"), "{said}");
        assert_eq!(kernel.borrow().values().copied().collect::<Vec<_>>(), [1, 0, 1]);
    }

    #[test]
    fn what_cannot_be_put_back_is_said_beside_the_first_refusal() {
        let kernel = kernel();
        let refuses_twice = |part: &&'static str, value: &Value| match (*part, value) {
            ("a", Value::Integer(0)) => Err(KnobError::Unknown),
            (part, value) => set(&kernel, part, value),
        };
        let error = all_or_none(&changes(0, 1), refuses_twice).expect_err("b refuses").to_string();
        assert!(error.starts_with("b does not take `1`") && error.contains("stays"), "{error}");
    }
}
