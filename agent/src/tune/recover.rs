//! Undoing whole transactions: those that something cut short, and those that are not wanted any more.

use super::in_force::to_recover;
use super::journal::{JournalError, Phase, Record, Store, Transaction, TransactionId, Transactions};
use super::namespaces::Namespaces;
use super::undo::{PutBack, Undone, Unless, undo};
use super::{BootTime, Target, Value};
use crate::host::Host;

/// A transaction that was not undone.
#[derive(Debug, thiserror::Error)]
pub enum UndoError {
    /// Its journal cannot be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// Its values are not those that are seen from here.
    #[error(
        "transaction {id} was applied in other namespaces ({its}) than these ({own}): enter them, as by `nsenter --net \
         --mount --target PID` with a process that is in them, or --force to undo it here"
    )]
    Elsewhere {
        /// The transaction.
        id: TransactionId,
        /// Where it was applied.
        its: Namespaces,
        /// Where this process is.
        own: Namespaces,
    },
}

/// What became of each transaction that was to be undone, or cannot be read.
pub type Unwound = Vec<(TransactionId, Result<Undone, UndoError>)>;

/// Undoes every transaction that was cut short or not confirmed in time, the newest first, and before each those that came after
/// it: what they found is what it made. Who calls this holds the lock: so nobody is at work on one.
///
/// # Errors
/// Transactions cannot be listed.
pub fn recover(host: &Host, store: &Store, now: BootTime, unless: Unless) -> Result<Unwound, JournalError> {
    let transactions = store.transactions()?;
    let first = to_recover(&transactions.readable, &host.boot, now).into_iter().min();
    let is_due = |transaction: &Transaction| {
        first.is_some_and(|first| transaction.id >= first) && transaction.phase != Phase::Closed
    };
    Ok(unwind(host, store, transactions, is_due, "it was cut short, or not confirmed in time", unless))
}

/// Undoes transactions, the newest first, back to `to` and with it; where none is named the newest that is in force, or where none is
/// what was left of all: of a value that several left, what it was before the first.
///
/// # Errors
/// Transactions cannot be listed.
pub fn rollback(
    host: &Host,
    store: &Store,
    to: Option<TransactionId>,
    unless: Unless,
) -> Result<Unwound, JournalError> {
    let transactions = store.transactions()?;
    let in_force = |transaction: &&Transaction| transaction.phase != Phase::Closed;
    let newest = transactions.readable.iter().rev().find(in_force).map(|newest| newest.id);
    let is_due = |transaction: &Transaction| match (to, newest) {
        (Some(to), _) => transaction.id >= to && is_undoable(transaction),
        (None, Some(newest)) => transaction.id == newest,
        (None, None) => is_undoable(transaction),
    };
    Ok(unwind(host, store, transactions, is_due, "rollback", unless))
}

/// Undoes once more what of these transactions was left when they were undone, unless something has been applied since: to put
/// it back would be to undo that.
///
/// # Errors
/// Transactions cannot be listed.
pub fn again(host: &Host, store: &Store, of: &[TransactionId], unless: Unless) -> Result<Unwound, JournalError> {
    let transactions = store.transactions()?;
    let since = |transaction: &&Transaction| of.iter().any(|id| transaction.id > *id);
    let is_free = transactions.readable.iter().filter(since).all(|transaction| transaction.phase == Phase::Closed);
    let is_due = |transaction: &Transaction| is_free && of.contains(&transaction.id) && is_undoable(transaction);
    Ok(unwind(host, store, transactions, is_due, "it could not be put back before", unless))
}

fn is_undoable(transaction: &Transaction) -> bool {
    transaction.phase != Phase::Closed || transaction.left().next().is_some()
}

/// Undoes what is due, one after another: one that cannot be undone does not keep another from it.
fn unwind(
    host: &Host,
    store: &Store,
    transactions: Transactions,
    is_due: impl Fn(&Transaction) -> bool,
    why: &str,
    unless: Unless,
) -> Unwound {
    let own = Namespaces::own();
    let one = |transaction: &Transaction| {
        if let (Some(its), Some(own), Unless::Changed) = (transaction.namespaces, own, unless)
            && its != own
            && transaction.boot == host.boot
        {
            return Err(UndoError::Elsewhere { id: transaction.id, its, own });
        }
        // As the one before has left it, with the CPUs that it has brought back.
        let host = Host::read(host.root.clone()).unwrap_or_else(|_| host.clone());
        Ok(undo(&host, &mut store.resume(transaction.id)?, why, unless))
    };
    let mut unwound = Unwound::new();
    for transaction in transactions.readable.iter().rev().filter(|transaction| is_due(transaction)) {
        let result = one(transaction);
        if let Ok(undone) = &result {
            goes_with(store, transaction.id, &undone.back, &mut unwound);
        }
        unwound.push((transaction.id, result));
    }
    unwound.extend(transactions.broken.into_iter().map(|(id, error)| (id, Err(error.into()))));
    unwound
}

/// Forgets what later transactions had left where this one has put values back: what they found was of its making, and is not to
/// come back.
fn goes_with(store: &Store, undone: TransactionId, back: &[PutBack], unwound: &mut Unwound) {
    if back.is_empty() {
        return;
    }
    let is_back = |knob: &str, target: &Target, value: &Value| back.iter().any(|back| back.covers(knob, target, value));
    // What cannot be read or written stays as it is, and is said to be left.
    for later in store.transactions().map(|known| known.readable).unwrap_or_default() {
        let left: Vec<usize> = later
            .left_steps()
            .filter(|(_, step)| is_back(&step.knob, &step.target, &step.now))
            .map(|(index, _)| index)
            .collect();
        if later.id <= undone || left.is_empty() {
            continue;
        }
        let Ok(mut journal) = store.resume(later.id) else { continue };
        left.into_iter().for_each(|step| journal.note(Record::Undone { step }));
        if journal.take_unrecorded().is_some() {
            continue;
        }
        let told = unwound.iter_mut().filter(|(id, _)| *id == later.id).filter_map(|(_, result)| result.as_mut().ok());
        for told in told {
            let before = told.left.len();
            told.left.retain(|left| !is_back(&left.knob, &left.target, &left.before));
            told.restored += before - told.left.len();
        }
    }
}
