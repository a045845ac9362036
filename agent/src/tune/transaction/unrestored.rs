//! The values that rollbacks of all transactions could not restore.

use std::collections::{BTreeMap, BTreeSet};

use super::journal::Transaction;
use crate::tune::plan::Step;
use crate::tune::value::{KnobTarget, Value};

/// A value that was not restored when its transaction was rolled back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnrestoredValue<'a> {
    /// The transaction.
    pub transaction: &'a Transaction,
    /// The step.
    pub step: &'a Step,
    /// The original value, without the parts that are already listed with an earlier transaction.
    pub before: Value,
    /// Why it was not restored.
    pub reason: &'a str,
}

/// The values that were not restored. If several transactions did not restore a value, it is listed once, with the first of
/// them, which has the original value. A process rule may match different processes each time.
#[must_use]
pub fn unrestored_values(transactions: &[Transaction]) -> Vec<UnrestoredValue<'_>> {
    let mut known: BTreeMap<(&str, &KnobTarget), BTreeSet<&str>> = BTreeMap::new();
    let mut values = Vec::new();
    for transaction in transactions {
        for (step, before, reason) in transaction.not_restored() {
            let key = (step.knob.as_str(), &step.target);
            let is_known = known.contains_key(&key);
            let known_parts = known.entry(key).or_default();
            let Some(parts) = before.parts() else {
                if !is_known {
                    values.push(UnrestoredValue { transaction, step, before: before.clone(), reason });
                }
                continue;
            };
            let new: BTreeSet<&str> =
                parts.keys().map(String::as_str).filter(|part| !known_parts.contains(part)).collect();
            if !new.is_empty() {
                let before = before.filter_parts(&|part| new.contains(part));
                values.push(UnrestoredValue { transaction, step, before, reason });
            }
            known_parts.extend(new);
        }
    }
    values
}
