//! What the records of a transaction come to.

use std::collections::BTreeMap;

use super::{Begin, Parts, Record, TransactionId};
use crate::tune::namespaces::Namespaces;
use crate::tune::{BootTime, Request, Step, Value};

/// A transaction, as its records tell it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transaction {
    /// Its number.
    pub id: TransactionId,
    /// The profile.
    pub profile: String,
    /// What it was asked for by, where that was written down.
    pub request: Option<Request>,
    /// The boot that it happened in.
    pub boot: String,
    /// When it began, in seconds since 1970.
    pub time: u64,
    /// The version of quell that did it.
    pub quell: String,
    /// The namespaces that it happened in, where they are known.
    pub namespaces: Option<Namespaces>,
    /// What was to be done, and how far it is.
    pub steps: Vec<(Step, StepState)>,
    /// What was as wanted already.
    pub unchanged: Vec<Step>,
    /// How far it is.
    pub phase: Phase,
    format: u32,
    /// Steps that a begun undoing found changed by somebody else.
    theirs: Vec<usize>,
    /// Parts of steps' values that it found changed by somebody else.
    their_parts: BTreeMap<usize, Parts>,
    /// Steps whose values a begun undoing has put back, or was about to, in its order.
    restoring: Vec<usize>,
}

/// How far a transaction is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Steps are being done; where nobody does them, something ended it in between.
    Applying,
    /// All was done, and is in force.
    Complete {
        /// Until when in its boot it must be confirmed; `None` where it need not be, or was.
        confirm_by: Option<BootTime>,
    },
    /// Steps are being undone.
    Undoing,
    /// It was undone, but for what was [left](StepState::Left).
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
        /// The value that was read back, where it was done.
        after: Option<Value>,
        /// Why.
        why: String,
        /// What the value was after an undoing that wrote it.
        now: Option<Value>,
    },
}

/// A step that changed something, or may have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToUndo {
    /// Its number.
    pub index: usize,
    /// The step.
    pub step: Step,
    /// The value before.
    pub before: Value,
    /// The value that was read back, where it was done.
    pub after: Option<Value>,
    /// What an undoing that wrote it has left it as.
    pub left: Option<Value>,
    /// Whether a write to it may have been cut short: whatever is there may be of that.
    pub half_written: bool,
    /// Whether an undoing that was cut short found it changed by somebody else.
    pub theirs: bool,
    /// The parts of its value that such an undoing found changed by somebody else.
    pub their_parts: Parts,
}

impl ToUndo {
    /// The same for some parts of its value.
    pub(in crate::tune) fn of_parts(&self, keep: &dyn Fn(&str) -> bool) -> Self {
        let cut = |value: &Value| value.of_parts(keep);
        let mut some = self.clone();
        (some.step.now, some.before) = (cut(&self.step.now), cut(&self.before));
        (some.after, some.left) = (self.after.as_ref().map(cut), self.left.as_ref().map(cut));
        some
    }
}

impl Transaction {
    pub(super) fn begin(id: TransactionId, begin: Begin) -> Self {
        Self {
            id,
            profile: begin.profile,
            request: begin.request,
            boot: begin.boot,
            time: begin.time,
            quell: begin.quell,
            namespaces: begin.namespaces,
            steps: begin.steps.into_iter().map(|step| (step, StepState::Planned)).collect(),
            unchanged: begin.unchanged,
            phase: Phase::Applying,
            format: begin.format,
            theirs: Vec::new(),
            their_parts: BTreeMap::new(),
            restoring: Vec::new(),
        }
    }

    /// Whether something ended it before it was complete or undone, where nobody is at work on it.
    #[must_use]
    pub fn is_unfinished(&self) -> bool {
        matches!(self.phase, Phase::Applying | Phase::Undoing)
    }

    /// Until when it must be confirmed, where it must.
    #[must_use]
    pub fn confirm_by(&self) -> Option<BootTime> {
        match self.phase {
            Phase::Complete { confirm_by } => confirm_by,
            _ => None,
        }
    }

    /// Whether it was not confirmed in time: a boot that was not waited for is too late too.
    #[must_use]
    pub fn is_overdue(&self, boot: &str, now: BootTime) -> bool {
        self.confirm_by().is_some_and(|by| by < now || self.boot != boot)
    }

    /// The steps whose values were not put back when it was undone, with what those were before the first step, and the reasons.
    pub fn left(&self) -> impl Iterator<Item = (&Step, &Value, &str)> {
        let steps = self.steps.iter().filter(|_| self.phase == Phase::Closed);
        steps.filter_map(|(step, state)| match state {
            StepState::Left { why, .. } => Some((step, &step.now, why.as_str())),
            _ => None,
        })
    }

    /// Whether a begun undoing has written a step's value, and not said since what became of it.
    pub(in crate::tune) fn is_restoring(&self, step: usize) -> bool {
        self.restoring.contains(&step)
    }

    /// The steps whose values were not put back when it was undone, by number.
    pub(in crate::tune) fn left_steps(&self) -> impl Iterator<Item = (usize, &Step)> {
        let steps = self.steps.iter().enumerate().filter(|_| self.phase == Phase::Closed);
        steps.filter(|(_, (_, state))| matches!(state, StepState::Left { .. })).map(|(index, (step, _))| (index, step))
    }

    /// The steps that changed something or may have, in the order of doing.
    #[must_use]
    pub fn to_undo(&self) -> Vec<ToUndo> {
        let intended = |(_, state): &(Step, StepState)| matches!(state, StepState::Intended { .. });
        // They are done one after another.
        let cut = self.steps.iter().position(intended).filter(|index| !self.restoring.contains(index));
        let half_written = |index| cut == Some(index) || self.restoring.last() == Some(&index);
        let steps = self.steps.iter().enumerate().filter_map(|(index, (step, state))| {
            let (before, after, left) = match state {
                StepState::Intended { before } => (before, None, None),
                StepState::Done { before, after } => (before, Some(after), None),
                StepState::Left { before, after, now, .. } => (before, after.as_ref(), now.clone()),
                StepState::Planned | StepState::Refused(_) | StepState::Undone => return None,
            };
            Some(ToUndo {
                index,
                step: step.clone(),
                before: before.clone(),
                after: after.cloned(),
                left,
                half_written: half_written(index),
                theirs: self.theirs.contains(&index),
                their_parts: self.their_parts.get(&index).cloned().unwrap_or_default(),
            })
        });
        steps.collect()
    }

    /// What each value was before the first step, as JSON; `unknown` where there is none: it may just be lost.
    pub(super) fn originals(&self) -> String {
        let known = self.to_undo().into_iter().map(
            |undo| serde_json::json!({ "knob": undo.step.knob, "target": undo.step.target, "before": undo.step.now }),
        );
        let known: Vec<_> = known.collect();
        if known.is_empty() { "unknown".to_owned() } else { serde_json::Value::Array(known).to_string() }
    }

    pub(super) fn take(&mut self, record: Record) {
        match record {
            Record::Begin(begin) => *self = Self::begin(self.id, begin),
            Record::Intent { before } => {
                for (step, before) in before {
                    self.set(step, |_| StepState::Intended { before });
                }
            }
            Record::Done { step, after } => self.set(step, |state| match state {
                StepState::Intended { before } | StepState::Done { before, .. } => StepState::Done { before, after },
                other => other,
            }),
            Record::Refused { step, why } => self.set(step, |_| StepState::Refused(why)),
            // Of a clock that does not tell when in this boot that was.
            Record::Complete { confirm_by: Some(_) } if self.format == 0 => {
                self.phase = Phase::Complete { confirm_by: Some(BootTime(0)) };
            }
            Record::Complete { confirm_by } => self.phase = Phase::Complete { confirm_by },
            Record::Confirmed => self.phase = Phase::Complete { confirm_by: None },
            Record::Undoing { theirs, parts, .. } => {
                if self.phase != Phase::Undoing {
                    self.theirs.clear();
                    self.their_parts.clear();
                }
                self.theirs.extend(theirs);
                for (step, parts) in parts {
                    self.their_parts.entry(step).or_default().extend(parts);
                }
                self.phase = Phase::Undoing;
            }
            Record::Restoring { step } => {
                self.restoring.retain(|restored| *restored != step);
                self.restoring.push(step);
            }
            Record::Undone { step } => {
                self.restoring.retain(|restored| *restored != step);
                self.set(step, |_| StepState::Undone);
            }
            Record::Left { step, why, now, parts } => {
                self.restoring.retain(|restored| *restored != step);
                if !parts.is_empty() {
                    self.keep(step, &parts);
                }
                self.set(step, |state| match state {
                    StepState::Intended { before } => StepState::Left { before, after: None, why, now },
                    StepState::Done { before, after } => StepState::Left { before, after: Some(after), why, now },
                    // An undoing that did not write it found it as the one before had left it, or somebody else had set it.
                    StepState::Left { before, after, now: known, .. } => {
                        StepState::Left { before, after, why, now: now.or(known) }
                    }
                    other => other,
                });
            }
            Record::Closed => {
                self.phase = Phase::Closed;
                self.theirs.clear();
                self.their_parts.clear();
                self.restoring.clear();
            }
        }
    }

    /// Forgets all but some parts of a step's values.
    fn keep(&mut self, step: usize, parts: &Parts) {
        let Some((step, state)) = self.steps.get_mut(step) else { return };
        let cut = |value: &mut Value| *value = value.of_parts(&|part| parts.contains(part));
        cut(&mut step.now);
        match state {
            StepState::Intended { before } => cut(before),
            StepState::Done { before, after } => [before, after].into_iter().for_each(cut),
            StepState::Left { before, after, now, .. } => {
                cut(before);
                after.iter_mut().chain(now).for_each(cut);
            }
            StepState::Planned | StepState::Refused(_) | StepState::Undone => {}
        }
    }

    fn set(&mut self, step: usize, state: impl FnOnce(StepState) -> StepState) {
        if let Some((_, old)) = self.steps.get_mut(step) {
            *old = state(std::mem::replace(old, StepState::Planned));
        }
    }
}
