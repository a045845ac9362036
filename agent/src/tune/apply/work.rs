//! A transaction at work: its steps, stage by stage.

use std::collections::HashSet;

use super::{Applied, Holder, Terms};
use crate::host::Host;
use crate::tune::interruption::Interruptions;
use crate::tune::journal::{Journal, Record, StepState};
use crate::tune::knob::{self, Held, Knob, KnobError, Lifetime, Reading, Stage};
use crate::tune::step_error::in_words;
use crate::tune::{Step, StepError, Target, Value};

pub(super) struct Work<'a> {
    /// As it was, with the CPUs that were there.
    start: &'a Host,
    /// As the stages so far have made it.
    host: Host,
    steps: &'a [Step],
    journal: Journal,
    interruptions: &'a Interruptions,
    applied: Applied,
}

/// A step whose value is known, and about to be changed.
struct Intended<'a> {
    index: usize,
    step: &'a Step,
    knob: &'static dyn Knob,
    before: Value,
}

/// A step whose value is not what was read back any more.
struct Moved<'a> {
    index: usize,
    step: &'a Step,
    before: Value,
    now: Reading,
}

impl<'a> Work<'a> {
    pub(super) fn new(host: &'a Host, steps: &'a [Step], journal: Journal, interruptions: &'a Interruptions) -> Self {
        let applied =
            Applied { id: journal.transaction().id, held: Vec::new(), refused: Vec::new(), changed: Vec::new() };
        Self { start: host, host: host.clone(), steps, journal, interruptions, applied }
    }

    pub(super) fn into_applied(self) -> Applied {
        self.applied
    }

    /// The journal, to undo what was done. What has moved while this was at work is this transaction's too.
    pub(super) fn given_up(mut self) -> Journal {
        for Moved { index, now, .. } in self.moved() {
            if let Reading::Value(after) = now {
                self.journal.note(Record::Done { step: index, after });
            }
        }
        self.journal
    }

    pub(super) fn run(&mut self, terms: &Terms<'_>) -> Result<(), StepError> {
        for stage in [Stage::Presence, Stage::Setting, Stage::Placement, Stage::NextBoot] {
            let any = self.stage(stage)?;
            if stage == Stage::Presence && any {
                // Those that were taken away have no values any more.
                self.host = Host::read(self.start.root.clone())?;
            }
        }
        self.settle_what_moved()?;
        if let Holder::Process(start) = terms.holder
            && self.done().any(|(_, step, ..)| step.lifetime == Lifetime::WhileHeld)
        {
            start(self.applied.id)?;
            self.applied.held.clear();
        }
        self.stop_if_told()?;
        Ok(self.journal.append(Record::Complete { confirm_by: terms.confirm_by })?)
    }

    fn stop_if_told(&self) -> Result<(), StepError> {
        self.interruptions.pending().map_or(Ok(()), |signal| Err(StepError::Interrupted(signal)))
    }

    /// Does the steps of a stage; whether there were any.
    fn stage(&mut self, stage: Stage) -> Result<bool, StepError> {
        let intended = self.intended(stage)?;
        if intended.is_empty() {
            return Ok(false);
        }
        if self.done().next().is_none() {
            // Later it may be of a step of this transaction.
            let changed: Vec<_> = intended.iter().filter_map(|intended| self.changed(intended)).collect();
            self.applied.changed.extend(changed);
        }
        let before = intended.iter().map(|intended| (intended.index, intended.before.clone())).collect();
        self.journal.append(Record::Intent { before })?;
        let knobs: Vec<&dyn Knob> = intended.iter().map(|intended| intended.knob).collect();
        for Intended { index, step, knob, before } in intended {
            self.stop_if_told()?;
            match self.set(index, knob, step, &before) {
                Ok(()) => {}
                Err(error) if step.optional || error.is_beyond_reach() => {
                    let why = error.why();
                    self.as_before(knob, step, &before)
                        .map_err(|why| StepError::NotAsBefore { refused: Box::new(error), why })?;
                    self.refuse(index, why)?;
                }
                Err(error) => return Err(error),
            }
        }
        self.settle(&knobs)?;
        Ok(true)
    }

    /// What a value is and was when this began, where that is not the same.
    fn changed(&self, Intended { index, knob, before, .. }: &Intended<'_>) -> Option<(usize, Value, Value)> {
        let (step, _) = self.journal.transaction().steps.get(*index)?;
        (!knob.meets(before, &step.now)).then(|| (*index, before.clone(), step.now.clone()))
    }

    /// The steps of a stage that there is something to change for.
    fn intended(&mut self, stage: Stage) -> Result<Vec<Intended<'a>>, StepError> {
        let mut intended = Vec::new();
        let steps: &'a [Step] = self.steps;
        for (index, step) in steps.iter().enumerate().filter(|(_, step)| step.stage == stage) {
            if let Some(why) = self.taken_away(&step.target) {
                self.refuse(index, why)?;
                continue;
            }
            let knob = known(step)?;
            // Again, and not as planned: an earlier stage, or somebody else, may have changed it.
            match knob.read_planned(&self.host, &step.target, &step.processes) {
                Ok(Reading::Value(before)) => intended.push(Intended { index, step, knob, before }),
                Ok(Reading::Absent(why)) if step.optional || knob.may_end() => self.refuse(index, why)?,
                Ok(absent @ Reading::Absent(_)) => return Err(StepError::ignored(step, absent)),
                Err(error) if step.optional => self.refuse(index, error.to_string())?,
                Err(error) => return Err(StepError::knob(step, error)),
            }
        }
        Ok(intended)
    }

    /// Why a target is not there any more, if it was when this began.
    fn taken_away(&self, target: &Target) -> Option<String> {
        let Target::Cpu(cpu) = target else { return None };
        let online = |host: &Host| host.topology.is_online(*cpu);
        (online(self.start) && !online(&self.host)).then(|| "this transaction took the CPU offline".to_owned())
    }

    fn refuse(&mut self, step: usize, why: String) -> Result<(), StepError> {
        self.journal.append(Record::Refused { step, why: why.clone() })?;
        self.applied.refused.push((step, why));
        Ok(())
    }

    /// Sets a value and reads it back: what was not taken is an error, whatever the write said.
    fn set(&mut self, index: usize, knob: &dyn Knob, step: &Step, before: &Value) -> Result<(), StepError> {
        let failed = |source: KnobError| StepError::knob(step, source);
        let wanted = knob.spread(before, &step.wanted);
        knob.recheck(&self.host, &step.processes).map_err(failed)?;
        let held = knob.write(&self.host, &step.target, &wanted).map_err(failed)?;
        // What became another process meanwhile has it: the value is taken back.
        knob.recheck(&self.host, &step.processes).map_err(failed)?;
        match knob.read_back(&self.host, &step.target, before).map_err(failed)? {
            Reading::Value(after) if knob.satisfies(&after, &step.wanted) => {
                self.journal.append(Record::Done { step: index, after })?;
                if let Held::Open(file) = held {
                    self.applied.held.push(file);
                }
                Ok(())
            }
            Reading::Absent(why) if knob.may_end() => self.refuse(index, why),
            reading => Err(StepError::ignored(step, reading)),
        }
    }

    /// Sees to it that a value is as before its step was refused: it may have been taken in part, or rounded.
    fn as_before(&self, knob: &dyn Knob, step: &Step, before: &Value) -> Result<(), String> {
        let read = || knob.read_back(&self.host, &step.target, before);
        let is_met = |reading: &Reading| match reading {
            Reading::Value(now) => knob.meets(now, before),
            Reading::Absent(_) => knob.may_end(),
        };
        if read().is_ok_and(|now| is_met(&now)) {
            return Ok(());
        }
        knob.restore(&self.host, &step.target, before).map_err(|error| error.to_string())?;
        match knob.revoke(&self.host, before, &step.wanted, &step.processes) {
            Ok(None) => {}
            Ok(Some(still)) => return Err(still),
            Err(error) => return Err(error.to_string()),
        }
        match read() {
            Ok(now) if is_met(&now) => Ok(()),
            Ok(now) => Err(format!("`{before}` was written without an error, and it is {}", in_words(now))),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Makes what was written count, each knob once.
    fn settle(&self, knobs: &[&dyn Knob]) -> Result<(), StepError> {
        let mut settled: HashSet<&str> = HashSet::new();
        for knob in knobs.iter().filter(|knob| settled.insert(knob.spec().id)) {
            self.stop_if_told()?;
            let failed = |source| StepError::Settle { knob: knob.spec().id.to_owned(), source };
            knob.settle(&self.host).map_err(failed)?;
        }
        Ok(())
    }

    /// The steps that are done, with what each value was before, and is since.
    fn done(&self) -> impl Iterator<Item = (usize, &'a Step, &Value, &Value)> {
        let states = self.journal.transaction().steps.iter().map(|(_, state)| state);
        self.steps.iter().zip(states).enumerate().filter_map(|(index, (step, state))| match state {
            StepState::Done { before, after } => Some((index, step, before, after)),
            _ => None,
        })
    }

    /// The steps whose values are not what was read back: setting one may change another, whichever comes first.
    fn moved(&self) -> Vec<Moved<'a>> {
        let moved = self.done().filter_map(|(index, step, before, after)| {
            let knob = knob::by_id(&step.knob)?;
            let now = knob.read_back(&self.host, &step.target, before).ok()?;
            let stays = match &now {
                // Parts that have come since have what they have.
                Reading::Value(now) => knob.satisfies(now, &step.wanted) || knob.meets(now, after),
                Reading::Absent(_) => knob.may_end(),
            };
            (!stays).then(|| Moved { index, step, before: before.clone(), now })
        });
        moved.collect()
    }

    /// Sets once more what a later step has moved.
    fn settle_what_moved(&mut self) -> Result<(), StepError> {
        let mut knobs: Vec<&dyn Knob> = Vec::new();
        let moved = self.moved();
        if moved.is_empty() {
            return Ok(());
        }
        for Moved { index, step, before, now } in moved {
            self.stop_if_told()?;
            let Reading::Value(after) = now else { return Err(StepError::moved(step, now)) };
            let knob = known(step)?;
            self.journal.append(Record::Done { step: index, after })?;
            self.set(index, knob, step, &before)?;
            knobs.push(knob);
        }
        self.settle(&knobs)?;
        match self.moved().into_iter().next() {
            Some(Moved { step, now, .. }) => Err(StepError::moved(step, now)),
            None => Ok(()),
        }
    }
}

fn known(step: &Step) -> Result<&'static dyn Knob, StepError> {
    knob::by_id(&step.knob).ok_or_else(|| StepError::knob(step, KnobError::Unknown))
}
