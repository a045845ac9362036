//! What the records of a transaction come to.

use super::{Record, TransactionId};
use crate::tune::{Step, Value};

/// A transaction, as its records tell it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transaction {
    /// Its number.
    pub id: TransactionId,
    /// The profile.
    pub profile: String,
    /// The boot that it happened in.
    pub boot: String,
    /// When it began, in seconds since 1970.
    pub time: u64,
    /// What was to be done, and how far it is.
    pub steps: Vec<(Step, StepState)>,
    /// How far it is.
    pub phase: Phase,
}

/// How far a transaction is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Steps are being done; where nobody does them, something ended it in between.
    Applying,
    /// All was done, and is in force.
    Complete {
        /// Until when it must be confirmed, in seconds since 1970; `None` where it need not be, or was.
        confirm_by: Option<u64>,
    },
    /// Steps are being undone.
    Undoing,
    /// It was undone.
    Closed,
}

/// How far a step is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StepState {
    /// Nothing was done.
    Planned,
    /// It was about to be done: it may or may not have been.
    Intended {
        /// The value before.
        before: Value,
    },
    /// It was done.
    Done {
        /// The value before.
        before: Value,
        /// The value that was read back.
        after: Value,
    },
    /// It was refused, and is as before.
    Refused(String),
    /// It was undone.
    Undone,
    /// It was not undone.
    Left {
        /// The value before.
        before: Value,
        /// Why.
        why: String,
    },
}

impl Transaction {
    pub(super) fn new(id: TransactionId) -> Self {
        Self { id, profile: String::new(), boot: String::new(), time: 0, steps: Vec::new(), phase: Phase::Closed }
    }

    /// Whether its beginning is there.
    pub(super) fn has_begun(&self) -> bool {
        !self.boot.is_empty()
    }

    /// Whether something ended it before it was complete or undone.
    #[must_use]
    pub fn is_unfinished(&self) -> bool {
        matches!(self.phase, Phase::Applying | Phase::Undoing)
    }

    /// The steps that changed something or may have, in the order of doing: number, step, value before, and the value that
    /// was read back where one was.
    pub fn to_undo(&self) -> impl DoubleEndedIterator<Item = (usize, &Step, &Value, Option<&Value>)> {
        self.steps.iter().enumerate().filter_map(|(index, (step, state))| match state {
            StepState::Intended { before } => Some((index, step, before, None)),
            StepState::Done { before, after } => Some((index, step, before, Some(after))),
            StepState::Left { before, .. } => Some((index, step, before, None)),
            StepState::Planned | StepState::Refused(_) | StepState::Undone => None,
        })
    }

    /// Each value before, in words.
    pub(super) fn originals(&self) -> String {
        let known = self.to_undo().map(|(_, step, before, _)| format!("{} on {} was {before}", step.knob, step.target));
        let known: Vec<_> = known.collect();
        if known.is_empty() { "nothing had been changed".to_owned() } else { known.join("; ") }
    }

    pub(super) fn take(&mut self, record: Record) {
        match record {
            Record::Begin { profile, boot, time, steps, .. } => {
                self.steps = steps.into_iter().map(|step| (step, StepState::Planned)).collect();
                (self.profile, self.boot, self.time, self.phase) = (profile, boot, time, Phase::Applying);
            }
            Record::Intent { before } => {
                for (step, before) in before {
                    self.set(step, |_| StepState::Intended { before });
                }
            }
            Record::Done { step, after } => self.set(step, |state| match state {
                StepState::Intended { before } => StepState::Done { before, after },
                other => other,
            }),
            Record::Refused { step, why } => self.set(step, |_| StepState::Refused(why)),
            Record::Complete { confirm_by } => self.phase = Phase::Complete { confirm_by },
            Record::Confirmed => self.phase = Phase::Complete { confirm_by: None },
            Record::Undoing { .. } => self.phase = Phase::Undoing,
            Record::Undone { step } => self.set(step, |_| StepState::Undone),
            Record::Left { step, why } => self.set(step, |state| match state {
                StepState::Intended { before } | StepState::Done { before, .. } | StepState::Left { before, .. } => {
                    StepState::Left { before, why }
                }
                other => other,
            }),
            Record::Closed => self.phase = Phase::Closed,
        }
    }

    fn set(&mut self, step: usize, state: impl FnOnce(StepState) -> StepState) {
        if let Some((_, old)) = self.steps.get_mut(step) {
            *old = state(std::mem::replace(old, StepState::Planned));
        }
    }
}
