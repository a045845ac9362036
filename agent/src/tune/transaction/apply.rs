//! Applying a plan, either completely or not at all.

use std::io;

use super::conflict::OnConflict;
use super::executor::{Applied, ApplyOptions, Executor};
use super::hint::split_hint;
use super::journal::{Begin, JournalError, Store, TransactionId};
use super::preconditions::{PreconditionError, check_preconditions};
use super::rollback::{RollbackReport, roll_back_transaction};
use super::signals::BlockedSignals;
use super::step_error::StepError;
use crate::host::Host;
use crate::tune::knob::{self, Reading};
use crate::tune::plan::{Plan, Step};

/// A plan that was not applied.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// An earlier transaction must be resolved first. Nothing was changed.
    #[error(transparent)]
    Precondition(#[from] PreconditionError),
    /// The journal cannot be written. Nothing was changed.
    #[error("nothing was changed: {0}")]
    Unwritten(JournalError),
    /// Signals that could interrupt the transaction cannot be blocked. Nothing was changed.
    #[error("nothing was changed: could not block signals: {0}")]
    Signals(io::Error),
    /// A step failed. The transaction was rolled back.
    #[error("{}", rolled_back(*id, failed, report))]
    RolledBack {
        /// The transaction.
        id: TransactionId,
        /// The error of the step.
        failed: Box<StepError>,
        /// The result of the rollback.
        report: Box<RollbackReport>,
    },
}

/// The message for a failed step, with the result of the rollback. Hints come last.
fn rolled_back(id: TransactionId, failed: &StepError, report: &RollbackReport) -> String {
    let failed = failed.to_string();
    let (message, hint) = split_hint(&failed);
    let mut text = format!("{message}; the transaction was rolled back");
    let mut hints: Vec<String> = hint.map(str::to_owned).into_iter().collect();
    if !report.not_restored.is_empty() {
        let reasons = report.not_restored_by_reason().into_iter().map(|(reason, values)| {
            let (reason, hint) = split_hint(reason);
            hints.extend(hint.map(str::to_owned));
            let values: Vec<_> = values.into_iter().map(ToString::to_string).collect();
            format!("{} ({reason})", values.join("; "))
        });
        text += &format!(", except {}", reasons.collect::<Vec<_>>().join("; "));
    }
    if !report.side_effects.is_empty() {
        text += &format!("; not undone: {}", report.side_effects.join("; "));
    }
    if let Some(error) = &report.journal_error {
        text += &format!("; the rollback could not be recorded: {error}");
        hints.push("`quell tune recover` records it".to_owned());
    }
    hints.extend(report.hint(id));
    hints.iter().for_each(|hint| text += &format!("\nhint: {hint}"));
    text
}

/// Applies a plan. The caller holds the lock.
///
/// Each stage is journaled before its first step: the original values are on disk before any of them changes, with one flush
/// for many steps. Signals that would terminate the process are blocked; they stop the transaction between two steps.
///
/// # Errors
/// A step that is not optional was refused, or the value that was read back differs; or the journal could not be written. The
/// transaction was rolled back.
pub fn apply(host: &Host, store: &Store, plan: &Plan, options: &ApplyOptions<'_>) -> Result<Applied, ApplyError> {
    check_preconditions(store.transactions().map_err(PreconditionError::Unreadable)?)?;
    let signals = BlockedSignals::block().map_err(ApplyError::Signals)?;
    let steps = plan.steps.iter().map(|step| with_current_value(host, step)).collect();
    let begin = Begin {
        request: options.request.cloned(),
        unchanged: plan.unchanged.clone(),
        ..Begin::new(&plan.profile, &host.boot, options.time, steps)
    };
    let journal = store.begin(begin).map_err(ApplyError::Unwritten)?;
    let id = journal.transaction().id;
    let mut executor = Executor::new(host, &plan.steps, journal, &signals);
    match executor.run(options) {
        Ok(()) => Ok(executor.into_applied()),
        Err(failed) => {
            let mut journal = executor.into_journal();
            let report = roll_back_transaction(host, &mut journal, &failed.to_string(), OnConflict::Keep);
            Err(ApplyError::RolledBack { id, failed: Box::new(failed), report: Box::new(report) })
        }
    }
}

/// A step with the current value, which a rollback restores: the value in the plan may be outdated.
fn with_current_value(host: &Host, step: &Step) -> Step {
    let reading = knob::by_id(&step.knob).and_then(|knob| knob.current_for(host, &step.target, &step.processes).ok());
    match reading {
        Some(Reading::Value(current)) => Step { current, ..step.clone() },
        // The error is reported in the stage of the step.
        _ => step.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn side_effects_are_reported_with_the_failure() {
        let failed = Box::new(StepError::Interrupted(nix::sys::signal::Signal::SIGINT));
        let effect = "process.policy on redis: its children inherited it".to_owned();
        let report = Box::new(RollbackReport { side_effects: vec![effect.clone()], ..RollbackReport::default() });
        let message = ApplyError::RolledBack { id: TransactionId(1), failed, report }.to_string();
        assert_eq!(message, format!("interrupted by SIGINT; the transaction was rolled back; not undone: {effect}"));
    }
}
