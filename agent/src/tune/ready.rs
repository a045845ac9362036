//! Whether a host may be changed on top of what was changed.

use super::journal::{JournalError, TransactionId, Transactions};

/// What must be dealt with before a host is changed again: what is changed on top of it would be undone wrongly.
#[derive(Debug, thiserror::Error)]
pub enum Blocked {
    /// It cannot be told what was changed.
    #[error("nothing is applied while it cannot be told what was: {0}")]
    Broken(#[from] JournalError),
    /// Something was cut short.
    #[error("transaction {0} was cut short: `quell tune recover` undoes it")]
    Unfinished(TransactionId),
    /// Something may be undone any moment, to what it found.
    #[error(
        "transaction {0} waits to be confirmed: first `quell tune confirm` keeps it, or `quell tune rollback` undoes it"
    )]
    Waiting(TransactionId),
}

/// Whether nothing stands in the way. Who calls this to change something holds the lock.
///
/// # Errors
/// Something does.
pub fn ready(transactions: Transactions) -> Result<(), Blocked> {
    if let Some((_, error)) = transactions.broken.into_iter().next() {
        return Err(Blocked::Broken(error));
    }
    for transaction in &transactions.readable {
        if transaction.is_unfinished() {
            return Err(Blocked::Unfinished(transaction.id));
        }
        if transaction.confirm_by().is_some() {
            return Err(Blocked::Waiting(transaction.id));
        }
    }
    Ok(())
}
