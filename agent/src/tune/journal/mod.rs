//! What was done, and what was before: written down before anything is changed.
//!
//! A transaction is a file of records, a line each: a checksum and JSON. Records are only added. What a crash or a full disk
//! leaves of the last line is no record, and what it would have said was not done yet. What is on disk is at any time the
//! beginning of what happened, never something with a hole in it.

mod error;
mod file;
mod line;
mod state;
mod store;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::namespaces::Namespaces;
use super::{BootTime, Request, Step, Value};

pub use error::JournalError;
pub use file::Journal;
pub use state::{Phase, StepState, ToUndo, Transaction};
#[cfg(feature = "fuzzing")]
pub(crate) use store::DIRECTORY;
pub use store::{Store, Transactions};

/// How records are written: 0 had wall-clock times in `confirm_by`.
const FORMAT: u32 = 1;

/// The number of a transaction, from 1 in the order of their beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TransactionId(pub u32);

impl std::fmt::Display for TransactionId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:04}", self.0)
    }
}

/// How a transaction begins. Nothing was changed before this is on disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Begin {
    /// How the records are written.
    #[serde(default)]
    pub format: u32,
    /// The profile.
    pub profile: String,
    /// What it was asked for by, where that was written down.
    #[serde(default)]
    pub request: Option<Request>,
    /// The boot that it happens in.
    pub boot: String,
    /// When, in seconds since 1970.
    pub time: u64,
    /// The version of quell.
    pub quell: String,
    /// The namespaces that it happens in, where they can be told.
    #[serde(default)]
    pub namespaces: Option<Namespaces>,
    /// What is to be done.
    pub steps: Vec<Step>,
    /// What is as wanted already.
    #[serde(default)]
    pub unchanged: Vec<Step>,
}

impl Begin {
    /// As this version writes it.
    #[must_use]
    pub fn new(profile: &str, boot: &str, time: u64, steps: Vec<Step>) -> Self {
        Self {
            format: FORMAT,
            profile: profile.to_owned(),
            request: None,
            boot: boot.to_owned(),
            time,
            quell: env!("CARGO_PKG_VERSION").to_owned(),
            namespaces: Namespaces::own(),
            steps,
            unchanged: Vec::new(),
        }
    }
}

/// Parts of a value, by name.
pub type Parts = BTreeSet<String>;

/// A line of a transaction's file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Record {
    /// It begins.
    Begin(Begin),
    /// Steps are about to be done. None of them was before this is on disk.
    Intent {
        /// Their numbers in [`Begin`], and what each value is before.
        before: Vec<(usize, Value)>,
    },
    /// A step was done; again, where a later one had moved its value.
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
        /// Until when in this boot it must be confirmed not to be undone.
        confirm_by: Option<BootTime>,
    },
    /// It was confirmed.
    Confirmed,
    /// It is about to be undone.
    Undoing {
        /// Why.
        why: String,
        /// Steps whose values somebody else had changed before anything was undone.
        #[serde(default)]
        theirs: Vec<usize>,
        /// Steps of whose values somebody else had changed these parts.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        parts: Vec<(usize, Parts)>,
    },
    /// A value is about to be put back.
    Restoring {
        /// The step's number.
        step: usize,
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
        /// What the value was after that, where it was written and is not as before: it may have been put back in part.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        now: Option<Value>,
        /// These parts of the value alone, where there are any: the others were undone.
        #[serde(default, skip_serializing_if = "Parts::is_empty")]
        parts: Parts,
    },
    /// It has been undone, as far as the records before say.
    Closed,
}

impl Record {
    /// Whether it is on disk before anything else is done; so then is all before it. The others are lost with the power, and
    /// with nothing else: what a process that is killed has written stays.
    pub(super) fn is_synced(&self) -> bool {
        match self {
            Self::Begin(_)
            | Self::Intent { .. }
            | Self::Complete { .. }
            | Self::Confirmed
            | Self::Undoing { .. }
            | Self::Closed => true,
            Self::Done { .. }
            | Self::Refused { .. }
            | Self::Restoring { .. }
            | Self::Undone { .. }
            | Self::Left { .. } => false,
        }
    }
}
