//! What the transactions of a host come to together.

use std::collections::BTreeMap;

use super::journal::{Phase, StepState, Transaction, TransactionId};
use super::knob;
use super::planned::SMT;
use super::{BootTime, Step, Target, Value};

/// A value that a transaction made, or found to be as it wanted it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InForce<'a> {
    /// The transaction.
    pub transaction: &'a Transaction,
    /// The step.
    pub step: &'a Step,
    /// What was read back when it was done, or found.
    pub after: &'a Value,
}

/// What is one value, whatever it is called.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Place<'a> {
    /// In a file, which a knob may have and `sysctl` or `sysfs` name.
    File(String),
    /// Of a knob, on a target.
    Knob(&'a str, &'a Target),
}

impl<'a> Place<'a> {
    fn of(step: &'a Step) -> Self {
        let file = knob::by_id(&step.knob).and_then(|knob| knob.file(&step.target));
        file.map_or(Self::Knob(&step.knob, &step.target), Self::File)
    }
}

/// The values that complete transactions made or found as they wanted them, each by the last that did. What went with an earlier
/// boot is one of them until its profile is applied again: then it is as that has found fit for this boot.
#[must_use]
pub fn in_force<'a>(transactions: &'a [Transaction], boot: &str) -> Vec<InForce<'a>> {
    let complete = |transaction: &&Transaction| matches!(transaction.phase, Phase::Complete { .. });
    let again = |profile: &str| {
        transactions.iter().filter(complete).any(|later| later.boot == boot && later.profile == profile)
    };
    let mut last: BTreeMap<Place<'_>, InForce<'_>> = BTreeMap::new();
    for transaction in transactions.iter().filter(complete) {
        let replaced = transaction.boot != boot && again(&transaction.profile);
        let found = transaction.unchanged.iter().filter(|step| !went_with_smt(transaction, step));
        let found = found.map(|step| (step, &step.now));
        let done = transaction.steps.iter().filter_map(|(step, state)| match state {
            StepState::Done { after, .. } => Some((step, after)),
            _ => None,
        });
        for (step, after) in found.chain(done).filter(|(step, _)| !replaced || step.lifetime.outlives_boot()) {
            last.insert(Place::of(step), InForce { transaction, step, after });
        }
    }
    let mut values: Vec<_> = last.into_values().collect();
    values.sort_by_key(|value| (&value.step.knob, &value.step.target));
    values
}

/// Whether a value may have gone with the CPU that it was of, when the transaction turned SMT off: of others nothing was found so.
fn went_with_smt(transaction: &Transaction, step: &Step) -> bool {
    let turned_off = |(step, state): &(Step, StepState)| step.knob == SMT && matches!(state, StepState::Done { .. });
    matches!(step.target, Target::Cpu(_)) && transaction.steps.iter().any(turned_off)
}

/// Transactions that must be dealt with before anything else is done: cut short, or not confirmed in time.
#[must_use]
pub fn to_recover(transactions: &[Transaction], boot: &str, now: BootTime) -> Vec<TransactionId> {
    let needs = |transaction: &&Transaction| transaction.is_unfinished() || transaction.is_overdue(boot, now);
    transactions.iter().filter(needs).map(|transaction| transaction.id).collect()
}
