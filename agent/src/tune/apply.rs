//! Doing what a plan says, all of it or nothing.

mod work;

use std::io;
use std::os::fd::OwnedFd;

use super::background::BackgroundError;
use super::interruption::Interruptions;
use super::journal::{Begin, JournalError, Store, TransactionId};
use super::knob::Reading;
use super::ready::{Blocked, ready};
use super::undo::{Undone, Unless, undo};
use super::{BootTime, Plan, Request, Step, StepError, Value, knob};
use crate::host::Host;

use work::Work;

/// How a plan is applied.
#[derive(Clone, Copy, Debug)]
pub struct Terms<'a> {
    /// Now, in seconds since 1970.
    pub time: u64,
    /// What it was asked for by, for who asks for it again.
    pub request: Option<&'a Request>,
    /// Until when it must be confirmed, where it must.
    pub confirm_by: Option<BootTime>,
    /// Who keeps open what is in force for as long as it is.
    pub holder: Holder<'a>,
}

/// Who keeps open what is in force for as long as it is.
#[derive(Clone, Copy)]
pub enum Holder<'a> {
    /// Who applies it.
    Caller,
    /// A process that this starts, and that holds it when this returns.
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

impl Terms<'_> {
    /// For good, by a process that stays.
    #[must_use]
    pub fn at(time: u64) -> Self {
        Self { time, request: None, confirm_by: None, holder: Holder::Caller }
    }
}

/// What applying a plan came to.
#[derive(Debug)]
pub struct Applied {
    /// The transaction.
    pub id: TransactionId,
    /// What is in force for as long as these are open, where no other process holds it.
    pub held: Vec<OwnedFd>,
    /// Steps that could be left out and were refused, by number, with the reasons.
    pub refused: Vec<(usize, String)>,
    /// Steps whose values somebody changed after this began, before anything was set: what they were, and what they had been.
    pub changed: Vec<(usize, Value, Value)>,
}

/// A plan that was not applied.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// Something must be dealt with first: nothing was changed.
    #[error(transparent)]
    Blocked(#[from] Blocked),
    /// The journal cannot be written: nothing was changed.
    #[error("nothing was changed: {0}")]
    Unwritten(#[source] JournalError),
    /// Signals that would leave it half done cannot be held back: nothing was changed.
    #[error("nothing was changed: signals cannot be held back: {0}")]
    Signals(#[source] io::Error),
    /// A step failed. What was done before it has been undone.
    #[error("{failed}; the transaction was undone{}", but(undone))]
    Undone {
        /// The step.
        failed: Box<StepError>,
        /// What became of the others.
        undone: Box<Undone>,
    },
}

fn but(undone: &Undone) -> String {
    let mut text = String::new();
    if !undone.left.is_empty() {
        let reasons = undone.left_by_reason().into_iter().map(|(why, left)| {
            let left: Vec<_> = left.into_iter().map(ToString::to_string).collect();
            format!("{} ({why})", left.join("; "))
        });
        text += &format!(", but for {}", reasons.collect::<Vec<_>>().join("; "));
    }
    if !undone.remains.is_empty() {
        text += &format!("; what stays: {}", undone.remains.join("; "));
    }
    if let Some(error) = &undone.unrecorded {
        text += &format!("; that is not recorded: {error}: `quell tune recover` finds it done");
    }
    text
}

/// Applies a plan. Who calls this holds the lock.
///
/// Each stage is journaled before its first step is done: one flush for many steps, and still every value that may have
/// changed is on disk before it does. Signals that would end the process are held back, and stop it where it can be undone.
///
/// # Errors
/// A step that may not be left out was refused, or read back as something else; or the journal failed. What had been done
/// is undone.
pub fn apply(host: &Host, store: &Store, plan: &Plan, terms: &Terms<'_>) -> Result<Applied, ApplyError> {
    ready(store.transactions().map_err(Blocked::from)?)?;
    let interruptions = Interruptions::hold().map_err(ApplyError::Signals)?;
    let steps = plan.steps.iter().map(|step| at_the_start(host, step)).collect();
    let begin = Begin {
        request: terms.request.cloned(),
        unchanged: plan.unchanged.clone(),
        ..Begin::new(&plan.profile, &host.boot, terms.time, steps)
    };
    let journal = store.begin(begin).map_err(ApplyError::Unwritten)?;
    let mut work = Work::new(host, &plan.steps, journal, &interruptions);
    match work.run(terms) {
        Ok(()) => Ok(work.into_applied()),
        Err(failed) => {
            let mut journal = work.given_up();
            let undone = Box::new(undo(host, &mut journal, &failed.to_string(), Unless::Changed));
            Err(ApplyError::Undone { failed: Box::new(failed), undone })
        }
    }
}

/// A step with what its value is now, before anything is done: the plan may be older, and what undoing ends at is this.
fn at_the_start(host: &Host, step: &Step) -> Step {
    let reading = knob::by_id(&step.knob).and_then(|knob| knob.read_planned(host, &step.target, &step.processes).ok());
    match reading {
        Some(Reading::Value(now)) => Step { now, ..step.clone() },
        // Its stage says what is wrong.
        _ => step.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_undoing_does_not_undo_is_said_with_the_failure() {
        let failed = Box::new(StepError::Interrupted(nix::sys::signal::Signal::SIGINT));
        let children = "process.policy on redis: its children have it too".to_owned();
        let undone = Box::new(Undone { remains: vec![children.clone()], ..Undone::default() });
        let said = ApplyError::Undone { failed, undone }.to_string();
        assert_eq!(said, format!("stopped by SIGINT; the transaction was undone; what stays: {children}"));
    }
}
