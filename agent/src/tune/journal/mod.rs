//! What was done, and what was before: written down before anything is changed.
//!
//! A transaction is a file of records, a line each: a checksum and JSON. Records are only added. What a crash or a full disk
//! leaves of the last line is no record, and what it would have said was not done yet.

mod file;
mod state;

use serde::{Deserialize, Serialize};

use super::{Step, Value};

pub use file::{Journal, JournalError, Store};
pub use state::{Phase, StepState, Transaction};

/// The number of a transaction, from 1 in the order of their beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TransactionId(pub u32);

impl std::fmt::Display for TransactionId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:04}", self.0)
    }
}

/// A line of a transaction's file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Record {
    /// It begins. Nothing was changed before this is on disk.
    Begin {
        /// The profile.
        profile: String,
        /// The boot that it happens in.
        boot: String,
        /// When, in seconds since 1970.
        time: u64,
        /// The version of quell.
        quell: String,
        /// What is to be done.
        steps: Vec<Step>,
    },
    /// Steps are about to be done. None of them was before this is on disk.
    Intent {
        /// Their numbers in [`Record::Begin`], and what each value is before.
        before: Vec<(usize, Value)>,
    },
    /// A step was done.
    Done {
        /// Its number.
        step: usize,
        /// What was read back.
        after: Value,
    },
    /// A step that could be left out was refused, and the value is as before.
    Refused {
        /// Its number.
        step: usize,
        /// Why.
        why: String,
    },
    /// Every step was done, or refused where it may be.
    Complete {
        /// Until when it must be confirmed not to be undone, in seconds since 1970.
        confirm_by: Option<u64>,
    },
    /// It was confirmed.
    Confirmed,
    /// It is about to be undone.
    Undoing {
        /// Why.
        why: String,
    },
    /// A step was undone, or needed no undoing.
    Undone {
        /// Its number.
        step: usize,
    },
    /// A step was not undone.
    Left {
        /// Its number.
        step: usize,
        /// Why.
        why: String,
    },
    /// It has been undone, as far as the records before say.
    Closed,
}
