//! What the transactions of a host come to together.

use std::collections::BTreeMap;

use super::journal::{Phase, StepState, Transaction, TransactionId};
use super::{BootTime, Step, Target, Value};

/// A value that a transaction made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InForce<'a> {
    /// The transaction.
    pub transaction: &'a Transaction,
    /// The step.
    pub step: &'a Step,
    /// What was read back when it was done.
    pub after: &'a Value,
}

/// The values that complete transactions made, each knob of each target by the last that set it. What went with an earlier
/// boot is one of them until its profile is applied again: then it is as that has found fit for this boot.
#[must_use]
pub fn in_force<'a>(transactions: &'a [Transaction], boot: &str) -> Vec<InForce<'a>> {
    let complete = |transaction: &&Transaction| matches!(transaction.phase, Phase::Complete { .. });
    let again = |profile: &str| {
        transactions.iter().filter(complete).any(|later| later.boot == boot && later.profile == profile)
    };
    let mut last: BTreeMap<(&str, &Target), InForce<'_>> = BTreeMap::new();
    for transaction in transactions.iter().filter(complete) {
        let replaced = transaction.boot != boot && again(&transaction.profile);
        for (step, state) in &transaction.steps {
            if replaced && !step.lifetime.outlives_boot() {
                continue;
            }
            if let StepState::Done { after, .. } = state {
                last.insert((&step.knob, &step.target), InForce { transaction, step, after });
            }
        }
    }
    last.into_values().collect()
}

/// Transactions that must be dealt with before anything else is done: cut short, or not confirmed in time.
#[must_use]
pub fn to_recover(transactions: &[Transaction], boot: &str, now: BootTime) -> Vec<TransactionId> {
    let needs = |transaction: &&Transaction| transaction.is_unfinished() || transaction.is_overdue(boot, now);
    transactions.iter().filter(needs).map(|transaction| transaction.id).collect()
}
