//! Doing what a plan says, all of it or nothing.

use std::os::fd::OwnedFd;

use super::journal::{Journal, JournalError, Record, Store, TransactionId};
use super::knob::{Held, Knob, KnobError, Reading, Stage};
use super::undo::{self, Undone, Unless};
use super::{Plan, Step, Target, Value, knob};
use crate::host::Host;

/// What applying a plan came to.
#[derive(Debug)]
pub struct Applied {
    /// The transaction.
    pub id: TransactionId,
    /// What is in force for as long as these are open.
    pub held: Vec<OwnedFd>,
    /// Steps that could be left out and were refused, by number, with the reasons.
    pub refused: Vec<(usize, String)>,
}

/// A plan that was not applied.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The journal cannot be written: nothing was changed.
    #[error("nothing was changed: {0}")]
    Unwritten(#[source] JournalError),
    /// A step failed. What was done before it has been undone.
    #[error("{failed}; the transaction was undone{}", left(undone))]
    Undone {
        /// The step.
        failed: Box<StepError>,
        /// What became of the others.
        undone: Undone,
    },
    /// A step failed, and undoing failed too.
    #[error("{failed}; undoing failed too: {error}; `quell tune recover` tries again")]
    Stuck {
        /// The step.
        failed: Box<StepError>,
        /// Why it could not be undone.
        error: JournalError,
    },
}

/// A step that failed.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    /// It could not be read or set.
    #[error("{knob} on {target}: {source}")]
    Knob {
        /// The knob.
        knob: String,
        /// Where.
        target: Target,
        /// Why.
        source: KnobError,
    },
    /// Values were written, and do not count yet.
    #[error("{knob}: {source}")]
    Settle {
        /// The knob.
        knob: String,
        /// Why.
        source: KnobError,
    },
    /// It was set without an error, and is something else.
    #[error("{knob} on {target}: `{wanted}` was written without an error, and it is {now}")]
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
    /// The journal failed in between.
    #[error("the journal could not be written")]
    Journal(#[from] JournalError),
}

impl StepError {
    /// What is wrong, without the step.
    fn why(&self) -> String {
        match self {
            Self::Knob { source, .. } | Self::Settle { source, .. } => source.to_string(),
            Self::Ignored { wanted, now, .. } => format!("`{wanted}` was written without an error, and it is {now}"),
            Self::Journal(error) => error.to_string(),
        }
    }

    /// Whether the kernel keeps the value to itself, which can be told only by trying on some kernels: no reason to undo
    /// what others took.
    fn is_beyond_reach(&self) -> bool {
        matches!(self, Self::Knob { source: KnobError::Managed { .. }, .. })
    }
}

fn left(undone: &Undone) -> String {
    if undone.left.is_empty() {
        return String::new();
    }
    let left: Vec<_> = undone.left.iter().map(ToString::to_string).collect();
    format!(", but for: {}", left.join("; "))
}

/// Applies a plan. Who calls this holds the lock, and no transaction is unfinished.
///
/// Each stage is journaled before its first step is done: one flush for many steps, and still every value that may have
/// changed is on disk before it does.
///
/// # Errors
/// A step that may not be left out was refused, or read back as something else; or the journal failed. What had been done
/// is undone.
pub fn apply(
    host: &Host,
    store: &Store,
    plan: &Plan,
    time: u64,
    confirm_by: Option<u64>,
) -> Result<Applied, ApplyError> {
    let begin = Record::Begin {
        profile: plan.profile.clone(),
        boot: host.boot.clone(),
        time,
        quell: env!("CARGO_PKG_VERSION").to_owned(),
        steps: plan.steps.iter().map(|step| at_the_start(host, step)).collect(),
    };
    let mut journal = store.begin(begin).map_err(ApplyError::Unwritten)?;
    let mut applied = Applied { id: journal.transaction().id, held: Vec::new(), refused: Vec::new() };
    let stages = [Stage::Presence, Stage::Setting, Stage::Placement, Stage::NextBoot];
    let mut run = || -> Result<(), StepError> {
        for stage in stages {
            let steps = plan.steps.iter().enumerate().filter(|(_, step)| step.stage == stage);
            do_stage(host, &mut journal, steps, &mut applied)?;
        }
        journal.append(Record::Complete { confirm_by })?;
        Ok(journal.sync()?)
    };
    match run() {
        Ok(()) => Ok(applied),
        Err(failed) => {
            applied.held.clear();
            match undo::undo(host, &mut journal, &failed.to_string(), Unless::Changed) {
                Ok(undone) => Err(ApplyError::Undone { failed: Box::new(failed), undone }),
                Err(error) => Err(ApplyError::Stuck { failed: Box::new(failed), error }),
            }
        }
    }
}

/// A step with what its value is now, before anything is done: the plan may be older, and what undoing ends at is this.
fn at_the_start(host: &Host, step: &Step) -> Step {
    let reading = known(step).ok().and_then(|knob| knob.read(host, &step.target).ok());
    match reading {
        Some(Reading::Value(now)) => Step { now, ..step.clone() },
        // Its stage says what is wrong.
        _ => step.clone(),
    }
}

fn do_stage<'a>(
    host: &Host,
    journal: &mut Journal,
    steps: impl Iterator<Item = (usize, &'a Step)>,
    applied: &mut Applied,
) -> Result<(), StepError> {
    let mut intended = Vec::new();
    for (index, step) in steps {
        let knob = known(step)?;
        // Again, and not as planned: an earlier stage, or somebody else, may have changed it.
        match knob.read(host, &step.target).map_err(|source| failed(step, source))? {
            Reading::Value(before) => intended.push((index, step, knob, before)),
            Reading::Absent(why) if step.optional || knob.may_end() => refuse(journal, applied, index, why)?,
            Reading::Absent(why) => {
                return Err(StepError::Ignored {
                    knob: step.knob.clone(),
                    target: step.target.clone(),
                    wanted: step.wanted.clone(),
                    now: format!("gone: {why}"),
                });
            }
        }
    }
    if intended.is_empty() {
        return Ok(());
    }
    let before = intended.iter().map(|(index, _, _, before)| (*index, before.clone())).collect();
    journal.append(Record::Intent { before })?;
    journal.sync()?;
    let mut knobs: Vec<&dyn Knob> = Vec::new();
    for (index, step, knob, before) in intended {
        if knobs.iter().all(|known| known.spec().id != knob.spec().id) {
            knobs.push(knob);
        }
        match set(host, knob, step) {
            Ok((after, held)) => {
                journal.append(Record::Done { step: index, after })?;
                if let Held::Open(file) = held {
                    applied.held.push(file);
                }
            }
            Err(error) if step.optional || error.is_beyond_reach() => {
                // A value that was rounded, say: back to what it was.
                if knob
                    .read(host, &step.target)
                    .is_ok_and(|now| now.value().is_none_or(|now| !knob.meets(now, &before)))
                {
                    knob.write(host, &step.target, &before).map_err(|source| failed(step, source))?;
                }
                refuse(journal, applied, index, error.why())?;
            }
            Err(error) => return Err(error),
        }
    }
    for knob in knobs {
        knob.settle(host).map_err(|source| StepError::Settle { knob: knob.spec().id.to_owned(), source })?;
    }
    Ok(())
}

fn refuse(journal: &mut Journal, applied: &mut Applied, step: usize, why: String) -> Result<(), StepError> {
    journal.append(Record::Refused { step, why: why.clone() })?;
    applied.refused.push((step, why));
    Ok(())
}

/// Sets a value and reads it back: what was not taken is an error, whatever the write said.
fn set(host: &Host, knob: &dyn Knob, step: &Step) -> Result<(Value, Held), StepError> {
    let held = knob.write(host, &step.target, &step.wanted).map_err(|source| failed(step, source))?;
    match knob.read(host, &step.target).map_err(|source| failed(step, source))? {
        Reading::Value(now) if knob.meets(&now, &step.wanted) => Ok((now, held)),
        reading => Err(StepError::Ignored {
            knob: step.knob.clone(),
            target: step.target.clone(),
            wanted: step.wanted.clone(),
            now: match reading {
                Reading::Value(now) => now.to_string(),
                Reading::Absent(why) => format!("gone: {why}"),
            },
        }),
    }
}

fn failed(step: &Step, source: KnobError) -> StepError {
    StepError::Knob { knob: step.knob.clone(), target: step.target.clone(), source }
}

fn known(step: &Step) -> Result<&'static dyn Knob, StepError> {
    knob::by_id(&step.knob).ok_or_else(|| failed(step, KnobError::Unknown))
}
