//! `quell tune guard` and `quell tune hold`: processes that apply starts in the background.

use std::thread;
use std::time::Duration;

use anyhow::{Context as _, bail};
use nix::sys::signal::{SigSet, Signal};
use quell::host::{Host, Root};
use quell::privileges;
use quell::tune::knob::{self, Held, Lifetime, Reading};
use quell::tune::transaction::background::{self, BackgroundTask, PidFile};
use quell::tune::transaction::journal::{JournalError, Phase, StepState, Store, TransactionId};
use quell::tune::transaction::{
    self, BootTime, Cause, Lock, OnConflict, RollbackError, RollbackResults, resource_limits,
};

use crate::cli::Outcome;

#[derive(clap::Args, Debug)]
pub(super) struct Guard {
    /// The time of the rollback, in seconds since the boot
    until: u64,
}

#[derive(clap::Args, Debug)]
pub(super) struct Hold {
    /// The number of the transaction
    transaction: u32,
}

/// How often the clock is read.
const POLL_INTERVAL: Duration = Duration::from_millis(200);
/// The time between two attempts to roll back.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);
/// How often refused values are tried again: for longer than a driver or a link takes to restart.
const MAX_RETRIES: u32 = 60;

/// Leaves the session of the caller, and raises resource limits.
fn begin() -> anyhow::Result<()> {
    background::detach()?;
    if let Err(error) = resource_limits::raise() {
        // The rollback may succeed all the same.
        tracing::warn!("{error}");
    }
    Ok(())
}

/// Waits until the given time, and rolls back every transaction that was not confirmed by then.
pub(super) fn guard(root: &Root, arguments: &Guard) -> anyhow::Result<Outcome> {
    begin()?;
    let until = BootTime(arguments.until);
    let task = BackgroundTask::Guard(until);
    let pid_file = PidFile::create(root, &task)?;
    while BootTime::now() <= until {
        thread::sleep(POLL_INTERVAL);
    }
    // The user may be unable to reach the host until the rollback, so that it is tried without end.
    let mut failed = loop {
        match roll_back(root, |host, store| transaction::recover(host, store, BootTime::now(), OnConflict::Keep)) {
            Ok(failed) => break failed,
            Err(error) => tracing::warn!("{error:#}"),
        }
        thread::sleep(RETRY_INTERVAL);
    };
    // While a driver restarts, it is busy or its files are missing.
    for _ in 0..MAX_RETRIES {
        if failed.is_empty() {
            break;
        }
        thread::sleep(RETRY_INTERVAL);
        match roll_back(root, |host, store| transaction::retry(host, store, &failed, OnConflict::Keep)) {
            Ok(still_failed) => failed = still_failed,
            Err(error) => tracing::warn!("{error:#}"),
        }
    }
    pid_file.remove(root, &task);
    Ok(Outcome::Done)
}

/// Rolls back transactions. Returns those with values that could not be restored.
///
/// # Errors
/// A retry may succeed.
fn roll_back(
    root: &Root,
    operation: impl FnOnce(&Host, &Store) -> Result<RollbackResults, JournalError>,
) -> anyhow::Result<Vec<TransactionId>> {
    let _lock = Lock::acquire(root, "rolling back what was not confirmed")?;
    let host = Host::read(root.clone())?;
    let mut failed = Vec::new();
    for (id, result) in operation(&host, &Store::of(root))? {
        match result {
            Ok(report) => {
                report.not_restored.iter().for_each(|value| tracing::warn!("transaction {id}: not restored: {value}"));
                failed.extend(report.not_restored.iter().any(|value| value.cause == Cause::Failed).then_some(id));
            }
            Err(RollbackError::Journal(error @ JournalError::Io { .. })) => return Err(error.into()),
            Err(error) => tracing::warn!("transaction {id}: {error}"),
        }
    }
    Ok(failed)
}

/// Sets the values that last only while a file is open, and holds the files open until a signal arrives.
pub(super) fn hold(root: &Root, arguments: &Hold) -> anyhow::Result<Outcome> {
    begin()?;
    // Before any other thread starts, which would receive the signals.
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGTERM);
    signals.add(Signal::SIGINT);
    signals.thread_block()?;
    let id = TransactionId(arguments.transaction);
    let transaction = Store::of(root).read(id)?.with_context(|| format!("there is no transaction {id}"))?;
    let host = Host::read(root.clone())?;
    let mut held = Vec::new();
    for (step, state) in &transaction.steps {
        let is_done = matches!(state, StepState::Done { .. });
        if step.lifetime != Lifetime::WhileHeld || !is_done {
            continue;
        }
        let knob = knob::by_id(&step.knob).with_context(|| format!("there is no knob {}", step.knob))?;
        match knob.write(&host, &step.target, &step.desired)? {
            Held::Open(file) => held.push(file),
            Held::Nothing => bail!("{} needs no open file", step.knob),
        }
        match knob.read(&host, &step.target)? {
            Reading::Value(current) if knob.equals(&current, &step.desired) => {}
            Reading::Value(current) => bail!("{}: wrote {}, but read back {current}", step.knob, step.desired),
            Reading::Absent(reason) => bail!("{}: wrote {}, but read back nothing: {reason}", step.knob, step.desired),
        }
    }
    // The PID file tells the starting process that all files are open.
    let task = BackgroundTask::Hold(id);
    let pid_file = PidFile::create(root, &task).context("could not create the PID file")?;
    // Open files need no privileges.
    privileges::drop_all()?;
    // A rollback that started before the PID file existed did not stop this process.
    match Store::of(root).read(id)?.map(|transaction| transaction.phase) {
        Some(Phase::Applying | Phase::Complete { .. }) => signals.wait().map(drop)?,
        _ => pid_file.remove(root, &task),
    }
    drop(held);
    Ok(Outcome::Done)
}
