//! Journals: each action of a transaction is recorded before it is carried out.
//!
//! A transaction is a file of records, one per line: a checksum and JSON. Records are only appended. If a crash or a full disk
//! truncates the last line, the action of that record was not carried out yet. At any time, the file is a prefix of the
//! actions.

mod error;
mod line;
mod record;
mod store;
mod transaction;
mod writer;

pub use error::JournalError;
pub use record::{Begin, Parts, Record, TransactionId};
#[cfg(feature = "fuzzing")]
pub(crate) use store::DIRECTORY;
pub use store::{Store, Transactions};
pub use transaction::{AppliedStep, Phase, StepState, Transaction};
pub use writer::Journal;
