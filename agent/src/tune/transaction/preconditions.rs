//! The conditions that must be met before a host is changed.

use super::journal::{JournalError, TransactionId, Transactions};

/// A transaction that must be resolved before another one is applied: otherwise a rollback would restore wrong values.
#[derive(Debug, thiserror::Error)]
pub enum PreconditionError {
    /// A journal cannot be read, so the changes of its transaction are unknown.
    #[error("nothing was changed because an earlier transaction cannot be read: {0}")]
    Unreadable(JournalError),
    /// A transaction was interrupted.
    #[error("transaction {0} was interrupted\nhint: `quell tune recover` rolls it back")]
    Unfinished(TransactionId),
    /// A transaction is not confirmed yet, and may be rolled back at any time.
    #[error(
        "transaction {0} is not confirmed yet\nhint: keep it with `quell tune confirm`, or undo it with `quell tune rollback`"
    )]
    Unconfirmed(TransactionId),
}

/// Checks that no earlier transaction prevents a new one. The caller holds the lock if it is about to change the host.
///
/// # Errors
/// An earlier transaction prevents it.
pub fn check_preconditions(transactions: Transactions) -> Result<(), PreconditionError> {
    if let Some((_, error)) = transactions.unreadable.into_iter().next() {
        return Err(PreconditionError::Unreadable(error));
    }
    for transaction in &transactions.readable {
        if transaction.is_unfinished() {
            return Err(PreconditionError::Unfinished(transaction.id));
        }
        if transaction.confirm_by().is_some() {
            return Err(PreconditionError::Unconfirmed(transaction.id));
        }
    }
    Ok(())
}
