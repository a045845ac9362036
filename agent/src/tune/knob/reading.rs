//! The results of knob operations: readings, surveys, and files that must be held open.

use std::os::fd::OwnedFd;

use serde::{Deserialize, Serialize};

use super::matched_process::MatchedProcess;
use crate::tune::value::Value;

/// The value of a knob on a target, if the target has the knob.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reading {
    /// The value.
    Value(Value),
    /// The target does not have the knob, for this reason.
    Absent(String),
}

impl Reading {
    /// The value, if there is one.
    #[must_use]
    pub fn value(&self) -> Option<&Value> {
        match self {
            Self::Value(value) => Some(value),
            Self::Absent(_) => None,
        }
    }
}

/// The value of a knob on a target, with all other information that a plan shows about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Survey {
    /// The value.
    pub reading: Reading,
    /// The processes that a process rule matches; empty for other knobs.
    pub processes: Vec<MatchedProcess>,
    /// Remarks for the user, for example about parts that could not be read and are omitted.
    pub remarks: Vec<String>,
}

impl From<Reading> for Survey {
    fn from(reading: Reading) -> Self {
        Self { reading, processes: Vec::new(), remarks: Vec::new() }
    }
}

/// The resource that keeps a value in force after it was written.
#[derive(Debug)]
pub enum Held {
    /// No resource: the value stays in force by itself.
    Nothing,
    /// An open file: the value is in force until it is closed.
    Open(OwnedFd),
}

/// Whether the running system uses the value of a knob.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Activation {
    /// The running system uses the value.
    Active,
    /// The running system was booted with another value: a reboot is pending, or the last reboot did not activate the value.
    Inactive {
        /// The value that the running system uses.
        running: Value,
    },
}
