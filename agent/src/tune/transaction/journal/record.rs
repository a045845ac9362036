//! The records of a journal.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::tune::plan::Step;
use crate::tune::transaction::boot_time::BootTime;
use crate::tune::transaction::namespaces::Namespaces;
use crate::tune::transaction::request::Request;
use crate::tune::value::Value;

/// The version of the format.
pub(super) const FORMAT: u32 = 2;

/// The number of a transaction, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TransactionId(pub u32);

impl std::fmt::Display for TransactionId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:04}", self.0)
    }
}

/// The first record of a transaction. It is on disk before anything is changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Begin {
    /// The version of the format.
    pub format: u32,
    /// The name of the profile.
    pub profile: String,
    /// The request of the user; `None` if the transaction was not started from a command line.
    pub request: Option<Request>,
    /// The ID of the boot during which it was applied.
    pub boot: String,
    /// The start time, in seconds since 1970.
    pub time: u64,
    /// The version of quell that applied it.
    pub quell: String,
    /// The namespaces in which it was applied, if they could be determined.
    pub namespaces: Option<Namespaces>,
    /// The steps.
    pub steps: Vec<Step>,
    /// The values that already were as desired.
    pub unchanged: Vec<Step>,
}

impl Begin {
    /// Creates the first record of a transaction, with this version of quell.
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

/// Names of parts of a value.
pub type Parts = BTreeSet<String>;

/// A record of a transaction. Steps are identified by their index in [`Begin::steps`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Record {
    /// The transaction begins.
    Begin(Begin),
    /// Steps are about to be executed. This record is on disk before the first of them.
    Intent {
        /// The indices of the steps, with the values before them.
        before: Vec<(usize, Value)>,
    },
    /// A step was executed, possibly again because a later step had changed its value.
    Done {
        /// The index of the step.
        step: usize,
        /// The value that was read back.
        after: Value,
    },
    /// An optional step was refused, and its value is unchanged.
    Refused {
        /// The index of the step.
        step: usize,
        /// Why it was refused.
        reason: String,
    },
    /// All steps were executed, except optional steps that were refused.
    Complete {
        /// The time in this boot by which the transaction must be confirmed; `None` if no confirmation is required.
        confirm_by: Option<BootTime>,
    },
    /// The transaction was confirmed.
    Confirmed,
    /// The transaction is about to be rolled back.
    RollingBack {
        /// The reason for the rollback.
        reason: String,
        /// The indices of steps whose values were modified externally before the rollback.
        conflicts: Vec<usize>,
        /// The indices of steps with the parts of their values that were modified externally before the rollback.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        conflicting_parts: Vec<(usize, Parts)>,
    },
    /// A value is about to be restored.
    Restoring {
        /// The index of the step.
        step: usize,
    },
    /// The value of a step was restored, or did not have to be restored.
    Restored {
        /// The index of the step.
        step: usize,
    },
    /// The value of a step was not restored.
    NotRestored {
        /// The index of the step.
        step: usize,
        /// Why it was not restored.
        reason: String,
        /// The value after the rollback, if the rollback wrote it and it differs from the original: some parts may be restored.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        current: Option<Value>,
        /// If this is not empty, only these parts were not restored.
        #[serde(default, skip_serializing_if = "Parts::is_empty")]
        parts: Parts,
    },
    /// The rollback has ended.
    Closed,
}

impl Record {
    /// Whether this record and all earlier ones must be on disk before the next action. Other records can be lost only if the
    /// power fails: data that a killed process has written is kept.
    pub(super) fn is_synced(&self) -> bool {
        match self {
            Self::Begin(_)
            | Self::Intent { .. }
            | Self::Complete { .. }
            | Self::Confirmed
            | Self::RollingBack { .. }
            | Self::Closed => true,
            Self::Done { .. }
            | Self::Refused { .. }
            | Self::Restoring { .. }
            | Self::Restored { .. }
            | Self::NotRestored { .. } => false,
        }
    }
}
