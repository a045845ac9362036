//! The execution of the steps of a transaction, stage by stage.

use std::collections::HashSet;
use std::os::fd::OwnedFd;

use super::background::BackgroundError;
use super::boot_time::BootTime;
use super::journal::{Journal, Record, StepState, TransactionId};
use super::request::Request;
use super::signals::BlockedSignals;
use super::step_error::{StepError, describe_reading};
use crate::host::Host;
use crate::tune::knob::{self, Held, Knob, KnobError, Lifetime, Reading, Stage};
use crate::tune::plan::Step;
use crate::tune::value::{KnobTarget, Value};

/// Options for applying a plan.
#[derive(Clone, Copy, Debug)]
pub struct ApplyOptions<'a> {
    /// The current time, in seconds since 1970.
    pub time: u64,
    /// The request of the user. It is shown if the user has to apply it again.
    pub request: Option<&'a Request>,
    /// The time by which the transaction must be confirmed; `None` if no confirmation is required.
    pub confirm_by: Option<BootTime>,
    /// The process that keeps files open while values are in force.
    pub holder: Holder<'a>,
}

/// The process that keeps files open while values are in force.
#[derive(Clone, Copy)]
pub enum Holder<'a> {
    /// The calling process.
    Caller,
    /// A separate process. The function starts it and returns after it has opened the files.
    Process(&'a dyn Fn(TransactionId) -> Result<(), BackgroundError>),
}

impl std::fmt::Debug for Holder<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Caller => "Caller",
            Self::Process(_) => "Process",
        })
    }
}

impl ApplyOptions<'_> {
    /// Options without confirmation, and with the caller as the holder of files.
    #[must_use]
    pub fn at(time: u64) -> Self {
        Self { time, request: None, confirm_by: None, holder: Holder::Caller }
    }
}

/// A plan that was applied.
#[derive(Debug)]
pub struct Applied {
    /// The transaction.
    pub id: TransactionId,
    /// Open files that keep values in force, if no other process holds them.
    pub held: Vec<OwnedFd>,
    /// Optional steps that were refused, by index, with the reasons.
    pub refused: Vec<(usize, String)>,
    /// Steps whose values changed between the start of the transaction and its first step: the index, the value right before
    /// the first step, and the value at the start.
    pub changed: Vec<(usize, Value, Value)>,
}

pub(super) struct Executor<'a> {
    /// The host before the transaction.
    start: &'a Host,
    /// The host after the stages that were executed so far.
    host: Host,
    steps: &'a [Step],
    journal: Journal,
    signals: &'a BlockedSignals,
    applied: Applied,
}

/// A step that is about to be executed.
struct PendingStep<'a> {
    index: usize,
    step: &'a Step,
    knob: &'static dyn Knob,
    before: Value,
}

/// A step that was executed, and whose value has changed since.
struct DriftedStep<'a> {
    index: usize,
    step: &'a Step,
    before: Value,
    current: Reading,
}

impl<'a> Executor<'a> {
    pub(super) fn new(host: &'a Host, steps: &'a [Step], journal: Journal, signals: &'a BlockedSignals) -> Self {
        let id = journal.transaction().id;
        let applied = Applied { id, held: Vec::new(), refused: Vec::new(), changed: Vec::new() };
        Self { start: host, host: host.clone(), steps, journal, signals, applied }
    }

    pub(super) fn into_applied(self) -> Applied {
        self.applied
    }

    /// The journal for a rollback. Values that changed during the transaction are recorded as set by it.
    pub(super) fn into_journal(mut self) -> Journal {
        for DriftedStep { index, current, .. } in self.drifted() {
            if let Reading::Value(after) = current {
                self.journal.append_best_effort(Record::Done { step: index, after });
            }
        }
        self.journal
    }

    pub(super) fn run(&mut self, options: &ApplyOptions<'_>) -> Result<(), StepError> {
        for stage in [Stage::Presence, Stage::Setting, Stage::Placement, Stage::NextBoot] {
            let has_steps = self.run_stage(stage)?;
            if stage == Stage::Presence && has_steps {
                // CPUs may have gone offline.
                self.host = Host::read(self.start.root.clone())?;
            }
        }
        self.set_drifted_again()?;
        if let Holder::Process(start) = options.holder
            && self.done().any(|(_, step, ..)| step.lifetime == Lifetime::WhileHeld)
        {
            start(self.applied.id)?;
            self.applied.held.clear();
        }
        self.check_interrupted()?;
        Ok(self.journal.append(Record::Complete { confirm_by: options.confirm_by })?)
    }

    fn check_interrupted(&self) -> Result<(), StepError> {
        self.signals.pending().map_or(Ok(()), |signal| Err(StepError::Interrupted(signal)))
    }

    /// Executes the steps of a stage. Returns whether there were any.
    fn run_stage(&mut self, stage: Stage) -> Result<bool, StepError> {
        let pending = self.pending(stage)?;
        if pending.is_empty() {
            return Ok(false);
        }
        if self.done().next().is_none() {
            // After the first step, a change may be an effect of an earlier step, so only changes before it are reported.
            let changed: Vec<_> = pending.iter().filter_map(|pending| self.changed_since_start(pending)).collect();
            self.applied.changed.extend(changed);
        }
        let before = pending.iter().map(|pending| (pending.index, pending.before.clone())).collect();
        self.journal.append(Record::Intent { before })?;
        let knobs: Vec<&dyn Knob> = pending.iter().map(|pending| pending.knob).collect();
        for PendingStep { index, step, knob, before } in pending {
            self.check_interrupted()?;
            match self.set(index, knob, step, &before) {
                Ok(()) => {}
                Err(error) if step.optional || error.is_kernel_managed() => {
                    let reason = error.reason();
                    self.restore_refused(knob, step, &before)
                        .map_err(|reason| StepError::NotRestored { refused: Box::new(error), reason })?;
                    self.refuse(index, reason)?;
                }
                Err(error) => return Err(error),
            }
        }
        self.activate(&knobs)?;
        Ok(true)
    }

    /// The value before a step and the one at the start of the transaction, if they differ.
    fn changed_since_start(&self, pending: &PendingStep<'_>) -> Option<(usize, Value, Value)> {
        let PendingStep { index, knob, before, .. } = pending;
        let (step, _) = self.journal.transaction().steps.get(*index)?;
        (!knob.equals(before, &step.current)).then(|| (*index, before.clone(), step.current.clone()))
    }

    /// The steps of a stage with their current values. Optional steps that cannot be executed are recorded as refused.
    fn pending(&mut self, stage: Stage) -> Result<Vec<PendingStep<'a>>, StepError> {
        let mut pending = Vec::new();
        let steps: &'a [Step] = self.steps;
        for (index, step) in steps.iter().enumerate().filter(|(_, step)| step.stage == stage) {
            if let Some(reason) = self.went_offline(&step.target) {
                self.refuse(index, reason)?;
                continue;
            }
            let knob = knob_of(step)?;
            // An earlier stage or another program may have changed the value since the plan was made.
            match knob.current_for(&self.host, &step.target, &step.processes) {
                Ok(Reading::Value(before)) => pending.push(PendingStep { index, step, knob, before }),
                Ok(Reading::Absent(reason)) if step.optional || knob.spec().target_may_end => {
                    self.refuse(index, reason)?;
                }
                Ok(absent @ Reading::Absent(_)) => return Err(StepError::mismatch(step, &absent)),
                Err(error) if step.optional => self.refuse(index, error.to_string())?,
                Err(error) => return Err(StepError::knob(step, error)),
            }
        }
        Ok(pending)
    }

    /// Why a target no longer exists, if the transaction took it offline.
    fn went_offline(&self, target: &KnobTarget) -> Option<String> {
        let KnobTarget::Cpu(cpu) = target else { return None };
        let was_online = self.start.topology.is_online(*cpu);
        (was_online && !self.host.topology.is_online(*cpu)).then(|| "this transaction took the CPU offline".to_owned())
    }

    fn refuse(&mut self, step: usize, reason: String) -> Result<(), StepError> {
        self.journal.append(Record::Refused { step, reason: reason.clone() })?;
        self.applied.refused.push((step, reason));
        Ok(())
    }

    /// Sets a value and reads it back. A mismatch is an error, even if the write succeeded.
    fn set(&mut self, index: usize, knob: &dyn Knob, step: &Step, before: &Value) -> Result<(), StepError> {
        let failed = |source: KnobError| StepError::knob(step, source);
        knob.check_processes(&self.host, &step.processes).map_err(failed)?;
        let held = knob.set(&self.host, &step.target, before, &step.desired).map_err(failed)?;
        // A process that executed another program in the meantime has the new value, which is then rolled back.
        knob.check_processes(&self.host, &step.processes).map_err(failed)?;
        match knob.current_since(&self.host, &step.target, before).map_err(failed)? {
            Reading::Value(after) if knob.is_satisfied(&after, &step.desired) => {
                self.journal.append(Record::Done { step: index, after })?;
                if let Held::Open(file) = held {
                    self.applied.held.push(file);
                }
                Ok(())
            }
            Reading::Absent(reason) if knob.spec().target_may_end => self.refuse(index, reason),
            reading => Err(StepError::mismatch(step, &reading)),
        }
    }

    /// Restores the value of a refused step, which may have been partly applied or rounded.
    fn restore_refused(&self, knob: &dyn Knob, step: &Step, before: &Value) -> Result<(), String> {
        let read = || knob.current_since(&self.host, &step.target, before);
        let is_restored = |reading: &Reading| match reading {
            Reading::Value(current) => knob.equals(current, before),
            Reading::Absent(_) => knob.spec().target_may_end,
        };
        if read().is_ok_and(|reading| is_restored(&reading)) {
            return Ok(());
        }
        knob.roll_back(&self.host, &step.target, before).map_err(|error| error.to_string())?;
        match knob.revoke_privileges(&self.host, before, &step.desired, &step.processes) {
            Ok(None) => {}
            Ok(Some(inherited)) => return Err(inherited),
            Err(error) => return Err(error.to_string()),
        }
        match read() {
            Ok(reading) if is_restored(&reading) => Ok(()),
            Ok(reading) => Err(format!("wrote `{}`, but read back {}", before.brief(), describe_reading(&reading))),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Activates the written values, once for each knob.
    fn activate(&self, knobs: &[&dyn Knob]) -> Result<(), StepError> {
        let mut activated: HashSet<&str> = HashSet::new();
        for knob in knobs.iter().filter(|knob| activated.insert(knob.spec().id)) {
            self.check_interrupted()?;
            let failed = |source| StepError::Activation { knob: knob.spec().id.to_owned(), source };
            knob.activate(&self.host).map_err(failed)?;
        }
        Ok(())
    }

    /// The executed steps: the index, the step, the value before it, and the value that was read back.
    fn done(&self) -> impl Iterator<Item = (usize, &'a Step, &Value, &Value)> {
        let states = self.journal.transaction().steps.iter().map(|(_, state)| state);
        self.steps.iter().zip(states).enumerate().filter_map(|(index, (step, state))| match state {
            StepState::Done { before, after } => Some((index, step, before, after)),
            _ => None,
        })
    }

    /// The steps whose values changed after they were read back: a later step may change the value of an earlier one.
    fn drifted(&self) -> Vec<DriftedStep<'a>> {
        let drifted = self.done().filter_map(|(index, step, before, after)| {
            let knob = knob::by_id(&step.knob)?;
            let current = knob.current_since(&self.host, &step.target, before).ok()?;
            let is_stable = match &current {
                // Parts that were added since then have their own values.
                Reading::Value(current) => knob.is_satisfied(current, &step.desired) || knob.equals(current, after),
                Reading::Absent(_) => knob.spec().target_may_end,
            };
            (!is_stable).then(|| DriftedStep { index, step, before: before.clone(), current })
        });
        drifted.collect()
    }

    /// Sets values again that later steps changed.
    fn set_drifted_again(&mut self) -> Result<(), StepError> {
        let mut knobs: Vec<&dyn Knob> = Vec::new();
        let drifted = self.drifted();
        if drifted.is_empty() {
            return Ok(());
        }
        for DriftedStep { index, step, before, current } in drifted {
            self.check_interrupted()?;
            let Reading::Value(after) = current else { return Err(StepError::unstable(step, &current)) };
            let knob = knob_of(step)?;
            self.journal.append(Record::Done { step: index, after })?;
            self.set(index, knob, step, &before)?;
            knobs.push(knob);
        }
        self.activate(&knobs)?;
        match self.drifted().into_iter().next() {
            Some(DriftedStep { step, current, .. }) => Err(StepError::unstable(step, &current)),
            None => Ok(()),
        }
    }
}

fn knob_of(step: &Step) -> Result<&'static dyn Knob, StepError> {
    knob::by_id(&step.knob).ok_or_else(|| StepError::knob(step, KnobError::Unknown))
}
