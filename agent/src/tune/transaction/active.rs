//! The values in force from all transactions of a host.

use std::collections::BTreeMap;

use super::boot_time::BootTime;
use super::journal::{Phase, StepState, Transaction, TransactionId};
use crate::tune::knob::{self, SMT_ID};
use crate::tune::plan::Step;
use crate::tune::value::{KnobTarget, Value};

/// A value that a transaction set, or that already was as desired.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActiveValue<'a> {
    /// The transaction.
    pub transaction: &'a Transaction,
    /// The step.
    pub step: &'a Step,
    /// The value that was read back after the step, or that already was as desired.
    pub after: &'a Value,
}

/// The identity of a value that several knobs may set.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Location<'a> {
    /// A file that a knob uses, and that `sysctl` or `sysfs` may name too.
    File(String),
    /// A knob and a target.
    Knob(&'a str, &'a KnobTarget),
}

impl<'a> Location<'a> {
    fn of(step: &'a Step) -> Self {
        let file = knob::by_id(&step.knob).and_then(|knob| knob.file_path(&step.target));
        file.map_or(Self::Knob(&step.knob, &step.target), Self::File)
    }
}

/// The values that complete transactions set, or that already were as desired, each from the last transaction that contains it.
/// A value that a reboot has reset is still listed until its profile is applied again.
#[must_use]
pub fn active_values<'a>(transactions: &'a [Transaction], boot: &str) -> Vec<ActiveValue<'a>> {
    let complete = |transaction: &&Transaction| matches!(transaction.phase, Phase::Complete { .. });
    let is_reapplied = |profile: &str| {
        transactions.iter().filter(complete).any(|later| later.boot == boot && later.profile == profile)
    };
    let mut last: BTreeMap<Location<'_>, ActiveValue<'_>> = BTreeMap::new();
    for transaction in transactions.iter().filter(complete) {
        let is_replaced = transaction.boot != boot && is_reapplied(&transaction.profile);
        let unchanged = transaction.unchanged.iter().filter(|step| !went_offline(transaction, step));
        let unchanged = unchanged.map(|step| (step, &step.current));
        let done = transaction.steps.iter().filter_map(|(step, state)| match state {
            StepState::Done { after, .. } => Some((step, after)),
            _ => None,
        });
        let values = unchanged.chain(done).filter(|(step, _)| !is_replaced || step.lifetime.survives_reboot());
        for (step, after) in values {
            last.insert(Location::of(step), ActiveValue { transaction, step, after });
        }
    }
    let mut values: Vec<_> = last.into_values().collect();
    values.sort_by_key(|value| (&value.step.knob, &value.step.target));
    values
}

/// Whether the CPU of a step may have gone offline because the transaction turned SMT off.
fn went_offline(transaction: &Transaction, step: &Step) -> bool {
    let turned_off = |(step, state): &(Step, StepState)| step.knob == SMT_ID && matches!(state, StepState::Done { .. });
    matches!(step.target, KnobTarget::Cpu(_)) && transaction.steps.iter().any(turned_off)
}

/// The transactions that must be recovered first: interrupted ones, and those that were not confirmed in time.
#[must_use]
pub fn needs_recovery(transactions: &[Transaction], boot: &str, now: BootTime) -> Vec<TransactionId> {
    let needs = |transaction: &&Transaction| transaction.is_unfinished() || transaction.is_overdue(boot, now);
    transactions.iter().filter(needs).map(|transaction| transaction.id).collect()
}
