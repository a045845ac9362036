//! Errors of steps. They cause a rollback of the transaction.

use nix::sys::signal::Signal;

use super::background::BackgroundError;
use super::journal::JournalError;
use crate::excerpt;
use crate::host::HostError;
use crate::text::shown;
use crate::tune::knob::{KnobError, Reading};
use crate::tune::plan::Step;
use crate::tune::value::{KnobTarget, Value};

/// A step that failed.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    /// The value could not be read or set.
    #[error("{} on {}: {source}", shown(knob), shown(&target.to_string()))]
    Knob {
        /// The id of the knob.
        knob: String,
        /// The target.
        target: KnobTarget,
        /// The error of the knob.
        r#source: KnobError,
    },
    /// The values of a knob were written, but could not be activated.
    #[error("{}: {source}", shown(knob))]
    Activation {
        /// The id of the knob.
        knob: String,
        /// The error of the knob.
        r#source: KnobError,
    },
    /// The write succeeded, but another value was read back.
    #[error(
        "{} on {}: wrote {}, but read back {current}",
        shown(knob),
        shown(&target.to_string()),
        excerpt::quoted(desired.to_string())
    )]
    Mismatch {
        /// The id of the knob.
        knob: String,
        /// The target.
        target: KnobTarget,
        /// The value that was written.
        desired: Value,
        /// The value that was read back.
        current: String,
    },
    /// The value was set, but a later step or another program changed it twice.
    #[error(
        "{} on {}: it was set to {}, but a later step or another program changed it to {current} twice",
        shown(knob),
        shown(&target.to_string()),
        excerpt::quoted(desired.to_string())
    )]
    Unstable {
        /// The id of the knob.
        knob: String,
        /// The target.
        target: KnobTarget,
        /// The value that was written.
        desired: Value,
        /// The current value.
        current: String,
    },
    /// The value was refused, and the original value could not be restored.
    #[error("{refused}; the original value could not be restored: {reason}")]
    NotRestored {
        /// The refusal.
        refused: Box<StepError>,
        /// Why the original value could not be restored.
        reason: String,
    },
    /// The process that holds files open could not be started.
    #[error(transparent)]
    Holder(#[from] BackgroundError),
    /// The topology could not be read again after CPUs went offline.
    #[error(transparent)]
    Host(#[from] HostError),
    /// A signal such as SIGINT from Ctrl-C.
    #[error("interrupted by {0}")]
    Interrupted(Signal),
    /// The journal could not be written.
    #[error("could not write the journal: {0}")]
    Journal(JournalError),
}

impl From<JournalError> for StepError {
    fn from(error: JournalError) -> Self {
        Self::Journal(error)
    }
}

impl StepError {
    pub(super) fn knob(step: &Step, source: KnobError) -> Self {
        Self::Knob { knob: step.knob.clone(), target: step.target.clone(), source }
    }

    pub(super) fn mismatch(step: &Step, reading: &Reading) -> Self {
        let (knob, target, desired) = (step.knob.clone(), step.target.clone(), step.desired.clone());
        Self::Mismatch { knob, target, desired, current: describe_reading(reading) }
    }

    pub(super) fn unstable(step: &Step, reading: &Reading) -> Self {
        let (knob, target, desired) = (step.knob.clone(), step.target.clone(), step.desired.clone());
        Self::Unstable { knob, target, desired, current: describe_reading(reading) }
    }

    /// The error without the knob and the target.
    pub(super) fn reason(&self) -> String {
        match self {
            Self::Knob { source, .. } => source.to_string(),
            Self::Mismatch { desired, current, .. } => format!("wrote `{}`, but read back {current}", desired.brief()),
            other => other.to_string(),
        }
    }

    /// Whether the kernel manages the value itself, which some kernels report only when it is written. In this case the
    /// transaction is not rolled back.
    pub(super) fn is_kernel_managed(&self) -> bool {
        matches!(self, Self::Knob { source: KnobError::Managed { .. }, .. })
    }
}

/// Formats a reading for messages.
pub(super) fn describe_reading(reading: &Reading) -> String {
    match reading {
        Reading::Value(value) => value.brief(),
        Reading::Absent(reason) => format!("nothing ({reason})"),
    }
}
