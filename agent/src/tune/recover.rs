//! Finishing what a crash cut short.

use super::in_force::to_recover;
use super::journal::{JournalError, Store, TransactionId};
use super::undo::{Undone, Unless, undo};
use crate::host::Host;

/// Undoes every transaction that was cut short or not confirmed in time, the newest first. Who calls this holds the lock: so
/// nobody is at work on one.
///
/// # Errors
/// The journal's.
pub fn recover(
    host: &Host,
    store: &Store,
    now: u64,
    unless: Unless,
) -> Result<Vec<(TransactionId, Undone)>, JournalError> {
    let mut recovered = Vec::new();
    for id in to_recover(&store.transactions()?, now).into_iter().rev() {
        let mut journal = store.resume(id)?;
        recovered.push((id, undo(host, &mut journal, "it was cut short, or not confirmed in time", unless)?));
    }
    Ok(recovered)
}

/// Undoes complete transactions, the newest first, back to `to` and with it; the newest where none is named.
///
/// # Errors
/// The journal's.
pub fn rollback(
    host: &Host,
    store: &Store,
    to: Option<TransactionId>,
    unless: Unless,
) -> Result<Vec<(TransactionId, Undone)>, JournalError> {
    let transactions = store.transactions()?;
    let undoable = transactions.iter().rev().filter(|transaction| transaction.to_undo().next().is_some());
    let chosen: Vec<TransactionId> = match to {
        Some(to) => undoable.map(|transaction| transaction.id).take_while(|id| *id >= to).collect(),
        None => undoable.map(|transaction| transaction.id).take(1).collect(),
    };
    let mut undone = Vec::new();
    for id in chosen {
        let mut journal = store.resume(id)?;
        undone.push((id, undo(host, &mut journal, "rollback", unless)?));
    }
    Ok(undone)
}
