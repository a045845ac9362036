//! What undoing has left of all transactions.

use std::collections::{BTreeMap, BTreeSet};

use super::journal::Transaction;
use super::{Step, Target, Value};

/// A value that was not put back when its transaction was undone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leftover<'a> {
    /// The transaction.
    pub transaction: &'a Transaction,
    /// The step.
    pub step: &'a Step,
    /// What the value was before, and is to be again: of one with parts, those that no earlier transaction has left.
    pub before: Value,
    /// Why it was not put back.
    pub why: &'a str,
}

/// What was not put back, each value once, by the first transaction that left it: what it was before that is what it is to be again. A
/// rule may have left other processes each time.
#[must_use]
pub fn leftovers(transactions: &[Transaction]) -> Vec<Leftover<'_>> {
    let mut known: BTreeMap<(&str, &Target), BTreeSet<&str>> = BTreeMap::new();
    let mut left = Vec::new();
    for transaction in transactions {
        for (step, before, why) in transaction.left() {
            let place = (step.knob.as_str(), &step.target);
            let is_known = known.contains_key(&place);
            let parts = known.entry(place).or_default();
            let Some(own) = before.parts() else {
                if !is_known {
                    left.push(Leftover { transaction, step, before: before.clone(), why });
                }
                continue;
            };
            let fresh: BTreeSet<&str> = own.keys().map(String::as_str).filter(|part| !parts.contains(part)).collect();
            if !fresh.is_empty() {
                let before = before.of_parts(&|part| fresh.contains(part));
                left.push(Leftover { transaction, step, before, why });
            }
            parts.extend(fresh);
        }
    }
    left
}
