//! What keeps a step, and with it a transaction, from being done.

use nix::sys::signal::Signal;

use super::background::BackgroundError;
use super::journal::JournalError;
use super::knob::{KnobError, Reading};
use super::{Step, Target, Value};
use crate::excerpt;
use crate::host::HostError;
use crate::text::shown;

/// A step that failed.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    /// It could not be read or set.
    #[error("{} on {}: {source}", shown(knob), shown(&target.to_string()))]
    Knob {
        /// The knob.
        knob: String,
        /// Where.
        target: Target,
        /// Why.
        source: KnobError,
    },
    /// Values were written, and do not count yet.
    #[error("{}: {source}", shown(knob))]
    Settle {
        /// The knob.
        knob: String,
        /// Why.
        source: KnobError,
    },
    /// It was set without an error, and is something else.
    #[error(
        "{} on {}: {} was written without an error, and it is {now}",
        shown(knob),
        shown(&target.to_string()),
        excerpt::quoted(wanted.to_string())
    )]
    Ignored {
        /// The knob.
        knob: String,
        /// Where.
        target: Target,
        /// What was written.
        wanted: Value,
        /// What was read back.
        now: String,
    },
    /// It was as wanted when it was set, and something that came later changes it, again and again.
    #[error(
        "{} on {}: it was set to {}, and has been changed to {now} twice since, by a later step or by others",
        shown(knob),
        shown(&target.to_string()),
        excerpt::quoted(wanted.to_string())
    )]
    Moved {
        /// The knob.
        knob: String,
        /// Where.
        target: Target,
        /// What was written.
        wanted: Value,
        /// What it is.
        now: String,
    },
    /// It was refused, and the value before is not there any more.
    #[error("{refused}, and it could not be put back: {why}")]
    NotAsBefore {
        /// The refusal.
        refused: Box<StepError>,
        /// What is wrong.
        why: String,
    },
    /// What needs a process to hold it is held by none.
    #[error(transparent)]
    Held(#[from] BackgroundError),
    /// What CPUs there are after some were taken away cannot be told.
    #[error(transparent)]
    Host(#[from] HostError),
    /// Ctrl-C, or its like.
    #[error("stopped by {0}")]
    Interrupted(Signal),
    /// The journal failed in between.
    #[error("the journal could not be written: {0}")]
    Journal(#[from] JournalError),
}

impl StepError {
    pub(super) fn knob(step: &Step, source: KnobError) -> Self {
        Self::Knob { knob: step.knob.clone(), target: step.target.clone(), source }
    }

    pub(super) fn ignored(step: &Step, now: Reading) -> Self {
        let (knob, target, wanted) = (step.knob.clone(), step.target.clone(), step.wanted.clone());
        Self::Ignored { knob, target, wanted, now: in_words(now) }
    }

    pub(super) fn moved(step: &Step, now: Reading) -> Self {
        let (knob, target, wanted) = (step.knob.clone(), step.target.clone(), step.wanted.clone());
        Self::Moved { knob, target, wanted, now: in_words(now) }
    }

    /// What is wrong, without the step.
    pub(super) fn why(&self) -> String {
        match self {
            Self::Knob { source, .. } => source.to_string(),
            Self::Ignored { wanted, now, .. } => {
                format!("`{}` was written without an error, and it is {now}", wanted.brief())
            }
            other => other.to_string(),
        }
    }

    /// Whether the kernel keeps the value to itself, which can be told only by trying on some kernels: no reason to undo
    /// what others took.
    pub(super) fn is_beyond_reach(&self) -> bool {
        matches!(self, Self::Knob { source: KnobError::Managed { .. }, .. })
    }
}

pub(super) fn in_words(reading: Reading) -> String {
    match reading {
        Reading::Value(now) => now.brief(),
        Reading::Absent(why) => format!("gone: {why}"),
    }
}
