//! `quell tune guard` and `hold`: what apply leaves behind to work for it.

use std::thread;
use std::time::Duration;

use anyhow::{Context as _, bail};
use nix::sys::signal::{SigSet, Signal};
use quell::host::{Host, Root};
use quell::privileges;
use quell::tune::background::{self, Errand, Post};
use quell::tune::journal::{JournalError, Phase, StepState, Store, TransactionId};
use quell::tune::knob::{self, Held, Lifetime, Reading};
use quell::tune::{self, BootTime, Kept, Lock, UndoError, Unless, Unwound, limits};

use crate::cli::Outcome;

#[derive(clap::Args, Debug)]
pub(super) struct Guard {
    /// Seconds of this boot
    until: u64,
}

#[derive(clap::Args, Debug)]
pub(super) struct Hold {
    transaction: u32,
}

/// Between two looks at the clock.
const PAUSE: Duration = Duration::from_millis(200);
/// Between two tries to undo.
const AGAIN: Duration = Duration::from_secs(1);
/// So often what refused is tried again: longer than a driver or a link takes to start anew.
const TRIES: u32 = 60;

/// Leaves the caller's session, and the limits that it may leave.
fn begin() -> anyhow::Result<()> {
    background::detach()?;
    if let Err(error) = limits::raise() {
        // What is to be undone is to be tried all the same.
        tracing::warn!("{error}");
    }
    Ok(())
}

/// Undoes what is not confirmed by then. What was confirmed is none of its business.
pub(super) fn guard(root: &Root, arguments: &Guard) -> anyhow::Result<Outcome> {
    begin()?;
    let until = BootTime(arguments.until);
    let errand = Errand::Guard(until);
    let post = Post::take(root, &errand)?;
    while BootTime::now() <= until {
        thread::sleep(PAUSE);
    }
    // Whatever stands in the way may pass: who started this may be cut off from the host until it is undone.
    let mut refused = loop {
        match undo(root, |host, store| tune::recover(host, store, BootTime::now(), Unless::Changed)) {
            Ok(refused) => break refused,
            Err(error) => tracing::warn!("{error:#}"),
        }
        thread::sleep(AGAIN);
    };
    // A driver that starts anew is busy, or its files are away.
    for _ in 0..TRIES {
        if refused.is_empty() {
            break;
        }
        thread::sleep(AGAIN);
        match undo(root, |host, store| tune::again(host, store, &refused, Unless::Changed)) {
            Ok(still) => refused = still,
            Err(error) => tracing::warn!("{error:#}"),
        }
    }
    post.resign(root, &errand);
    Ok(Outcome::Done)
}

/// Undoes transactions; those of which a value refused.
///
/// # Errors
/// Another try may do better.
fn undo(
    root: &Root,
    unwind: impl FnOnce(&Host, &Store) -> Result<Unwound, JournalError>,
) -> anyhow::Result<Vec<TransactionId>> {
    let _lock = Lock::take(root, "undoing what was not confirmed")?;
    let host = Host::read(root.clone())?;
    let mut refused = Vec::new();
    for (id, result) in unwind(&host, &Store::of(root))? {
        match result {
            Ok(undone) => {
                undone.left.iter().for_each(|left| tracing::warn!("transaction {id}: {left}"));
                refused.extend(undone.left.iter().any(|left| left.kept == Kept::Refused).then_some(id));
            }
            Err(UndoError::Journal(error @ JournalError::Io { .. })) => return Err(error.into()),
            Err(error) => tracing::warn!("transaction {id}: {error}"),
        }
    }
    Ok(refused)
}

/// Sets again what lasts only while it is held, and holds it until it is told to end.
pub(super) fn hold(root: &Root, arguments: &Hold) -> anyhow::Result<Outcome> {
    begin()?;
    // Before any other thread: it is to wait for them, not to die of them.
    let mut ending = SigSet::empty();
    ending.add(Signal::SIGTERM);
    ending.add(Signal::SIGINT);
    ending.thread_block()?;
    let id = TransactionId(arguments.transaction);
    let transaction = Store::of(root).read(id)?.with_context(|| format!("there is no transaction {id}"))?;
    let host = Host::read(root.clone())?;
    let mut held = Vec::new();
    for (step, state) in &transaction.steps {
        let done = matches!(state, StepState::Done { .. });
        if step.lifetime != Lifetime::WhileHeld || !done {
            continue;
        }
        let knob = knob::by_id(&step.knob).with_context(|| format!("there is no knob {}", step.knob))?;
        match knob.write(&host, &step.target, &step.wanted)? {
            Held::Open(file) => held.push(file),
            Held::Nothing => bail!("{} needs nothing held", step.knob),
        }
        match knob.read(&host, &step.target)? {
            Reading::Value(now) if knob.meets(&now, &step.wanted) => {}
            now => bail!("{} was set to {}, and is {now:?}", step.knob, step.wanted),
        }
    }
    // Who waits for it takes this for the word that all is held.
    let post = Post::take(root, &Errand::Hold(id)).context("cannot say who holds it")?;
    // What is held stays open without them.
    privileges::drop_all()?;
    // Who has begun to undo it before that found nobody here.
    match Store::of(root).read(id)?.map(|transaction| transaction.phase) {
        Some(Phase::Applying | Phase::Complete { .. }) => ending.wait().map(drop)?,
        _ => post.resign(root, &Errand::Hold(id)),
    }
    drop(held);
    Ok(Outcome::Done)
}
