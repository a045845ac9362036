//! Rollback of several transactions: interrupted ones, and those that the user names.

use super::active::needs_recovery;
use super::boot_time::BootTime;
use super::conflict::OnConflict;
use super::journal::{JournalError, Phase, Record, Store, Transaction, TransactionId, Transactions};
use super::namespaces::Namespaces;
use super::rollback::{RestoredValue, RollbackReport, roll_back_transaction};
use crate::host::Host;
use crate::tune::value::{KnobTarget, Value};

/// A transaction that was not rolled back.
#[derive(Debug, thiserror::Error)]
pub enum RollbackError {
    /// Its journal cannot be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The transaction was applied in other namespaces, to which its values belong.
    #[error(
        "transaction {id} was applied in other namespaces ({applied}) than the current ones ({own})\n\
         hint: enter them with `nsenter --net --mount --target PID` and a process in them, or use --force"
    )]
    OtherNamespaces {
        /// The transaction.
        id: TransactionId,
        /// The namespaces in which it was applied.
        applied: Namespaces,
        /// The namespaces of this process.
        own: Namespaces,
    },
}

/// The result for each transaction that had to be rolled back, or that cannot be read.
pub type RollbackResults = Vec<(TransactionId, Result<RollbackReport, RollbackError>)>;

/// Rolls back every transaction that was interrupted or not confirmed in time, the newest first. Later transactions are rolled
/// back before: their original values are the values that it had set. The caller holds the lock, so that no process is working
/// on a transaction.
///
/// # Errors
/// The transactions cannot be listed.
pub fn recover(
    host: &Host,
    store: &Store,
    now: BootTime,
    on_conflict: OnConflict,
) -> Result<RollbackResults, JournalError> {
    let transactions = store.transactions()?;
    let first = needs_recovery(&transactions.readable, &host.boot, now).into_iter().min();
    let is_due = |transaction: &Transaction| {
        first.is_some_and(|first| transaction.id >= first) && transaction.phase != Phase::RolledBack
    };
    Ok(roll_back_all(host, store, transactions, is_due, "interrupted, or not confirmed in time", on_conflict))
}

/// Rolls back transactions, the newest first, down to and including `to`. Without `to`, only the newest active transaction; if
/// there is none, all values that were not restored, to the values before the first transaction that changed them.
///
/// # Errors
/// The transactions cannot be listed.
pub fn roll_back(
    host: &Host,
    store: &Store,
    to: Option<TransactionId>,
    on_conflict: OnConflict,
) -> Result<RollbackResults, JournalError> {
    let transactions = store.transactions()?;
    let is_active = |transaction: &&Transaction| transaction.phase != Phase::RolledBack;
    let newest = transactions.readable.iter().rev().find(is_active).map(|newest| newest.id);
    let is_due = |transaction: &Transaction| match (to, newest) {
        (Some(to), _) => transaction.id >= to && has_values(transaction),
        (None, Some(newest)) => transaction.id == newest,
        (None, None) => has_values(transaction),
    };
    Ok(roll_back_all(host, store, transactions, is_due, "rollback", on_conflict))
}

/// Tries again to restore the values that rollbacks of these transactions could not restore. If another transaction was applied
/// since, nothing is done, because its values would change.
///
/// # Errors
/// The transactions cannot be listed.
pub fn retry(
    host: &Host,
    store: &Store,
    ids: &[TransactionId],
    on_conflict: OnConflict,
) -> Result<RollbackResults, JournalError> {
    let transactions = store.transactions()?;
    let is_later = |transaction: &&Transaction| ids.iter().any(|id| transaction.id > *id);
    let mut later = transactions.readable.iter().filter(is_later);
    let is_last = later.all(|transaction| transaction.phase == Phase::RolledBack);
    let is_due = |transaction: &Transaction| is_last && ids.contains(&transaction.id) && has_values(transaction);
    Ok(roll_back_all(host, store, transactions, is_due, "retry", on_conflict))
}

/// Whether there is something to restore.
fn has_values(transaction: &Transaction) -> bool {
    transaction.phase != Phase::RolledBack || transaction.not_restored().next().is_some()
}

/// Rolls back transactions one after another. An error in one does not stop the others.
fn roll_back_all(
    host: &Host,
    store: &Store,
    transactions: Transactions,
    is_due: impl Fn(&Transaction) -> bool,
    reason: &str,
    on_conflict: OnConflict,
) -> RollbackResults {
    let mut results = RollbackResults::new();
    for transaction in transactions.readable.iter().rev().filter(|transaction| is_due(transaction)) {
        let result = roll_back_one(host, store, transaction, reason, on_conflict);
        if let Ok(report) = &result {
            forget_restored(store, transaction.id, &report.restored_values, &mut results);
        }
        results.push((transaction.id, result));
    }
    results.extend(transactions.unreadable.into_iter().map(|(id, error)| (id, Err(error.into()))));
    results
}

fn roll_back_one(
    host: &Host,
    store: &Store,
    transaction: &Transaction,
    reason: &str,
    on_conflict: OnConflict,
) -> Result<RollbackReport, RollbackError> {
    if let (Some(applied), Some(own), OnConflict::Keep) = (transaction.namespaces, Namespaces::own(), on_conflict)
        && applied != own
        && transaction.boot == host.boot
    {
        return Err(RollbackError::OtherNamespaces { id: transaction.id, applied, own });
    }
    // The previous rollback may have brought CPUs online.
    let host = Host::read(host.root.clone()).unwrap_or_else(|_| host.clone());
    Ok(roll_back_transaction(&host, &mut store.resume(transaction.id)?, reason, on_conflict))
}

/// Removes unrestored values of later transactions if the rollback has restored the same values: the original values of the
/// later transactions were set by the transaction that was rolled back, and must not be restored again.
fn forget_restored(
    store: &Store,
    rolled_back: TransactionId,
    restored: &[RestoredValue],
    results: &mut RollbackResults,
) {
    if restored.is_empty() {
        return;
    }
    let is_restored = |knob: &str, target: &KnobTarget, value: &Value| {
        restored.iter().any(|restored| restored.includes(knob, target, value))
    };
    // If a journal cannot be read or written, it stays unchanged, and its values are still reported.
    for later in store.transactions().map(|transactions| transactions.readable).unwrap_or_default() {
        let steps: Vec<usize> = later
            .not_restored_steps()
            .filter(|(_, step)| is_restored(&step.knob, &step.target, &step.current))
            .map(|(index, _)| index)
            .collect();
        if later.id <= rolled_back || steps.is_empty() {
            continue;
        }
        let Ok(mut journal) = store.resume(later.id) else { continue };
        steps.into_iter().for_each(|step| journal.append_best_effort(Record::Restored { step }));
        if journal.take_error().is_some() {
            continue;
        }
        let reports =
            results.iter_mut().filter(|(id, _)| *id == later.id).filter_map(|(_, result)| result.as_mut().ok());
        for report in reports {
            let before = report.not_restored.len();
            report.not_restored.retain(|value| !is_restored(&value.knob, &value.target, &value.before));
            report.restored += before - report.not_restored.len();
        }
    }
}
