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
    /// The request of the user; `None` if the transaction was not started from a command line.
    pub request: Option<Request>,
    /// The ID of the boot during which it was applied.
    pub boot: String,
    /// The start time, in seconds since 1970.
    pub time: u64,
    /// The version of quell that applied it.
    pub quell: String,
    /// The namespaces in which it was applied, if they are known.
    pub namespaces: Option<Namespaces>,
    /// The steps with their states.
    pub steps: Vec<(Step, StepState)>,
    /// The values that already were as desired.
    pub unchanged: Vec<Step>,
    /// The phase.
    pub phase: Phase,
    /// The steps whose values were modified externally, as found at the start of a rollback.
    conflicts: Vec<usize>,
    /// The parts of values that were modified externally, as found at the start of a rollback.
    conflicting_parts: BTreeMap<usize, Parts>,
    /// The steps whose values a started rollback has written, or was about to write, in order.
    restoring: Vec<usize>,
}

/// The phase of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Steps are being executed. If no process is executing them, the transaction was interrupted.
    Applying,
    /// All steps were executed.
    Complete {
        /// The time in its boot by which the transaction must be confirmed; `None` if no confirmation is required, or it was
        /// confirmed.
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
    /// The step was not started.
    Planned,
    /// The step was about to be executed, and may have been executed.
    Pending {
        /// The value before the step.
        before: Value,
    },
    /// The step was executed.
    Done {
        /// The value before the step.
        before: Value,
        /// The value that was read back.
        after: Value,
    },
    /// The step was refused for this reason, and the value is unchanged.
    Refused(String),
    /// The original value was restored.
    Restored,
    /// The original value was not restored.
    NotRestored {
        /// The value before the step.
        before: Value,
        /// The value that was read back, if the step was executed.
        after: Option<Value>,
        /// Why it was not restored.
        reason: String,
        /// The value after a rollback that wrote it.
        current: Option<Value>,
    },
}

/// A step that changed a value, or may have changed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppliedStep {
    /// The index of the step.
    pub index: usize,
    /// The step.
    pub step: Step,
    /// The value before the step.
    pub before: Value,
    /// The value that was read back, if the step was executed.
    pub after: Option<Value>,
    /// The value after an earlier rollback that wrote it.
    pub after_rollback: Option<Value>,
    /// Whether a write to the value may have been interrupted. The current value is unpredictable in this case.
    pub is_interrupted: bool,
    /// Whether an interrupted rollback found that the value was modified externally.
    pub is_conflict: bool,
    /// The parts that an interrupted rollback found modified externally.
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

    /// Whether the transaction is neither complete nor rolled back. If no process is working on it, it was interrupted.
    #[must_use]
    pub fn is_unfinished(&self) -> bool {
        matches!(self.phase, Phase::Applying | Phase::RollingBack)
    }

    /// The time by which the transaction must be confirmed, if confirmation is required.
    #[must_use]
    pub fn confirm_by(&self) -> Option<BootTime> {
        match self.phase {
            Phase::Complete { confirm_by } => confirm_by,
            _ => None,
        }
    }

    /// Whether the transaction was not confirmed in time. A reboot ends the time too.
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

    /// Whether a started rollback has written the value of a step, or was about to write it, and has not recorded the result
    /// yet.
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

    /// The steps that changed a value or may have changed it, in order.
    #[must_use]
    pub fn applied_steps(&self) -> Vec<AppliedStep> {
        let is_pending = |(_, state): &(Step, StepState)| matches!(state, StepState::Pending { .. });
        // Steps are executed one after another, so only the first pending one can be interrupted.
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

    /// The original values as JSON; `unknown` if there are none, because they may be lost.
    pub(super) fn originals(&self) -> String {
        let originals = self.applied_steps().into_iter().map(|AppliedStep { step, .. }| {
            serde_json::json!({ "knob": step.knob, "target": step.target, "before": step.current })
        });
        let originals: Vec<_> = originals.collect();
        if originals.is_empty() { "unknown".to_owned() } else { serde_json::Value::Array(originals).to_string() }
    }

    /// Applies a record to the state.
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
                    // If a rollback did not write the value, the value is as the last rollback left it, or was modified
                    // externally.
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
