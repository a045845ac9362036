//! The state of a transaction, computed from its records.

use std::collections::BTreeMap;

use super::record::{Begin, Parts, Record, TransactionId};
use crate::tune::plan::Step;
use crate::tune::transaction::boot_time::BootTime;
use crate::tune::transaction::namespaces::Namespaces;
use crate::tune::transaction::request::Request;
use crate::tune::value::Value;

/// The state of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transaction {
    /// The number.
    pub id: TransactionId,
    /// The name of the profile.
    pub profile: String,
    /// The request of the user; `None` if it was not started from a command line.
    pub request: Option<Request>,
    /// The ID of the boot that it was applied in.
    pub boot: String,
    /// When it began, in seconds since 1970.
    pub time: u64,
    /// The version of quell that applied it.
    pub quell: String,
    /// The namespaces that it was applied in, if they are known.
    pub namespaces: Option<Namespaces>,
    /// The steps with their states.
    pub steps: Vec<(Step, StepState)>,
    /// The values that were as desired already.
    pub unchanged: Vec<Step>,
    /// The phase.
    pub phase: Phase,
    /// Steps whose values a started rollback found modified externally.
    conflicts: Vec<usize>,
    /// Parts of values that it found modified externally.
    conflicting_parts: BTreeMap<usize, Parts>,
    /// Steps whose values a started rollback has written, or was about to write, in order.
    restoring: Vec<usize>,
}

/// The phase of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Steps are being done. If no process is doing them, the transaction was interrupted.
    Applying,
    /// All steps were done.
    Complete {
        /// Until when in its boot it must be confirmed; `None` if it need not be, or was.
        confirm_by: Option<BootTime>,
    },
    /// The transaction is being rolled back.
    RollingBack,
    /// The transaction was rolled back, except values that could [not be restored](StepState::NotRestored).
    RolledBack,
}

/// The state of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StepState {
    /// Nothing was done yet.
    Planned,
    /// It was about to be done, and may have been done.
    Pending {
        /// The value before the step.
        before: Value,
    },
    /// It was done.
    Done {
        /// The value before the step.
        before: Value,
        /// The value that was read back.
        after: Value,
    },
    /// It was refused for this reason, and the value is as before.
    Refused(String),
    /// The original value was restored.
    Restored,
    /// The original value was not restored.
    NotRestored {
        /// The value before the step.
        before: Value,
        /// The value that was read back, if the step was done.
        after: Option<Value>,
        /// Why it was not restored.
        reason: String,
        /// The value after a rollback that wrote it.
        current: Option<Value>,
    },
}

/// A step that changed a value, or may have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppliedStep {
    /// The index of the step.
    pub index: usize,
    /// The step.
    pub step: Step,
    /// The value before the step.
    pub before: Value,
    /// The value that was read back, if the step was done.
    pub after: Option<Value>,
    /// The value after an earlier rollback that wrote it.
    pub after_rollback: Option<Value>,
    /// Whether a write to it may have been interrupted. Any value may result from that.
    pub is_interrupted: bool,
    /// Whether an interrupted rollback found it modified externally.
    pub is_conflict: bool,
    /// The parts that such a rollback found modified externally.
    pub conflicting_parts: Parts,
}

impl AppliedStep {
    /// The step without the parts of its values that `keep` rejects.
    pub(in crate::tune) fn filter_parts(&self, keep: &dyn Fn(&str) -> bool) -> Self {
        let filter = |value: &Value| value.filter_parts(keep);
        let mut some = self.clone();
        (some.step.current, some.before) = (filter(&self.step.current), filter(&self.before));
        (some.after, some.after_rollback) = (self.after.as_ref().map(filter), self.after_rollback.as_ref().map(filter));
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
            conflicts: Vec::new(),
            conflicting_parts: BTreeMap::new(),
            restoring: Vec::new(),
        }
    }

    /// Whether it is neither complete nor rolled back. If no process is working on it, it was interrupted.
    #[must_use]
    pub fn is_unfinished(&self) -> bool {
        matches!(self.phase, Phase::Applying | Phase::RollingBack)
    }

    /// Until when it must be confirmed, if it must.
    #[must_use]
    pub fn confirm_by(&self) -> Option<BootTime> {
        match self.phase {
            Phase::Complete { confirm_by } => confirm_by,
            _ => None,
        }
    }

    /// Whether it was not confirmed in time. A reboot ends the time too.
    #[must_use]
    pub fn is_overdue(&self, boot: &str, now: BootTime) -> bool {
        self.confirm_by().is_some_and(|by| by < now || self.boot != boot)
    }

    /// The steps whose values the rollback could not restore, with the original values and the reasons.
    pub fn not_restored(&self) -> impl Iterator<Item = (&Step, &Value, &str)> {
        let steps = self.steps.iter().filter(|_| self.phase == Phase::RolledBack);
        steps.filter_map(|(step, state)| match state {
            StepState::NotRestored { reason, .. } => Some((step, &step.current, reason.as_str())),
            _ => None,
        })
    }

    /// Whether a started rollback has written the value of a step, and not recorded the result yet.
    pub(in crate::tune) fn is_restoring(&self, step: usize) -> bool {
        self.restoring.contains(&step)
    }

    /// The steps whose values the rollback could not restore, by index.
    pub(in crate::tune) fn not_restored_steps(&self) -> impl Iterator<Item = (usize, &Step)> {
        let steps = self.steps.iter().enumerate().filter(|_| self.phase == Phase::RolledBack);
        steps
            .filter(|(_, (_, state))| matches!(state, StepState::NotRestored { .. }))
            .map(|(index, (step, _))| (index, step))
    }

    /// The steps that changed a value or may have, in order.
    #[must_use]
    pub fn applied_steps(&self) -> Vec<AppliedStep> {
        let is_pending = |(_, state): &(Step, StepState)| matches!(state, StepState::Pending { .. });
        // Steps are done one after another, so that only the first pending one can be interrupted.
        let interrupted = self.steps.iter().position(is_pending).filter(|index| !self.restoring.contains(index));
        let is_interrupted = |index| interrupted == Some(index) || self.restoring.last() == Some(&index);
        let steps = self.steps.iter().enumerate().filter_map(|(index, (step, state))| {
            let (before, after, after_rollback) = match state {
                StepState::Pending { before } => (before, None, None),
                StepState::Done { before, after } => (before, Some(after), None),
                StepState::NotRestored { before, after, current, .. } => (before, after.as_ref(), current.clone()),
                StepState::Planned | StepState::Refused(_) | StepState::Restored => return None,
            };
            Some(AppliedStep {
                index,
                step: step.clone(),
                before: before.clone(),
                after: after.cloned(),
                after_rollback,
                is_interrupted: is_interrupted(index),
                is_conflict: self.conflicts.contains(&index),
                conflicting_parts: self.conflicting_parts.get(&index).cloned().unwrap_or_default(),
            })
        });
        steps.collect()
    }

    /// The original values as JSON; `unknown` without any, as they may be lost.
    pub(super) fn originals(&self) -> String {
        let originals = self.applied_steps().into_iter().map(|AppliedStep { step, .. }| {
            serde_json::json!({ "knob": step.knob, "target": step.target, "before": step.current })
        });
        let originals: Vec<_> = originals.collect();
        if originals.is_empty() { "unknown".to_owned() } else { serde_json::Value::Array(originals).to_string() }
    }

    /// Updates the state by a record.
    pub(super) fn apply(&mut self, record: Record) {
        match record {
            Record::Begin(begin) => *self = Self::begin(self.id, begin),
            Record::Intent { before } => {
                for (step, before) in before {
                    self.set(step, |_| StepState::Pending { before });
                }
            }
            Record::Done { step, after } => self.set(step, |state| match state {
                StepState::Pending { before } | StepState::Done { before, .. } => StepState::Done { before, after },
                other => other,
            }),
            Record::Refused { step, reason } => self.set(step, |_| StepState::Refused(reason)),
            Record::Complete { confirm_by } => self.phase = Phase::Complete { confirm_by },
            Record::Confirmed => self.phase = Phase::Complete { confirm_by: None },
            Record::RollingBack { conflicts, conflicting_parts, .. } => {
                if self.phase != Phase::RollingBack {
                    self.conflicts.clear();
                    self.conflicting_parts.clear();
                }
                self.conflicts.extend(conflicts);
                for (step, parts) in conflicting_parts {
                    self.conflicting_parts.entry(step).or_default().extend(parts);
                }
                self.phase = Phase::RollingBack;
            }
            Record::Restoring { step } => {
                self.restoring.retain(|restored| *restored != step);
                self.restoring.push(step);
            }
            Record::Restored { step } => {
                self.restoring.retain(|restored| *restored != step);
                self.set(step, |_| StepState::Restored);
            }
            Record::NotRestored { step, reason, current, parts } => {
                self.restoring.retain(|restored| *restored != step);
                if !parts.is_empty() {
                    self.keep_parts(step, &parts);
                }
                self.set(step, |state| match state {
                    StepState::Pending { before } => StepState::NotRestored { before, after: None, reason, current },
                    StepState::Done { before, after } => {
                        StepState::NotRestored { before, after: Some(after), reason, current }
                    }
                    // A rollback that did not write the value found it as the last one left it, or modified externally.
                    StepState::NotRestored { before, after, current: known, .. } => {
                        StepState::NotRestored { before, after, reason, current: current.or(known) }
                    }
                    other => other,
                });
            }
            Record::Closed => {
                self.phase = Phase::RolledBack;
                self.conflicts.clear();
                self.conflicting_parts.clear();
                self.restoring.clear();
            }
        }
    }

    /// Removes all other parts from the values of a step.
    fn keep_parts(&mut self, step: usize, parts: &Parts) {
        let Some((step, state)) = self.steps.get_mut(step) else { return };
        let filter = |value: &mut Value| *value = value.filter_parts(&|part| parts.contains(part));
        filter(&mut step.current);
        match state {
            StepState::Pending { before } => filter(before),
            StepState::Done { before, after } => [before, after].into_iter().for_each(filter),
            StepState::NotRestored { before, after, current, .. } => {
                filter(before);
                after.iter_mut().chain(current).for_each(filter);
            }
            StepState::Planned | StepState::Refused(_) | StepState::Restored => {}
        }
    }

    fn set(&mut self, step: usize, state: impl FnOnce(StepState) -> StepState) {
        if let Some((_, old)) = self.steps.get_mut(step) {
            *old = state(std::mem::replace(old, StepState::Planned));
        }
    }
}
