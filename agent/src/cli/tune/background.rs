//! `quell tune guard` and `hold`: what apply leaves behind to work for it.

use std::io::Write;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, bail};
use nix::sys::signal::{SigSet, Signal};
use quell::host::{Host, Root};
use quell::tune::journal::{StepState, Store, TransactionId};
use quell::tune::knob::{self, Held, Lifetime};
use quell::tune::{self, Lock, LockError, Unless, background};

use super::now;
use crate::cli::Outcome;

#[derive(clap::Args, Debug)]
pub(super) struct Guard {
    /// Seconds since 1970
    until: u64,
}

#[derive(clap::Args, Debug)]
pub(super) struct Hold {
    transaction: u32,
}

/// Between two looks at the clock, which may be set, and at the lock.
const PAUSE: Duration = Duration::from_millis(200);

/// Undoes what is not confirmed by then. What was confirmed is none of its business.
pub(super) fn guard(root: Root, arguments: &Guard, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    background::detach()?;
    ready(out)?;
    while now() <= arguments.until {
        thread::sleep(PAUSE);
    }
    let _lock = loop {
        match Lock::take(&root, "undoing what was not confirmed") {
            Err(LockError::Held { .. }) => thread::sleep(PAUSE),
            result => break result?,
        }
    };
    let store = Store::of(&root);
    let host = Host::read(root)?;
    tune::recover(&host, &store, now(), Unless::Changed)?;
    Ok(Outcome::Done)
}

/// Sets again what lasts only while it is held, and holds it until it is told to end.
pub(super) fn hold(root: Root, arguments: &Hold, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    background::detach()?;
    // Before any other thread: it is to wait for them, not to die of them.
    let mut ending = SigSet::empty();
    ending.add(Signal::SIGTERM);
    ending.add(Signal::SIGINT);
    ending.thread_block()?;
    let id = TransactionId(arguments.transaction);
    let transaction = Store::of(&root).read(id)?.with_context(|| format!("there is no transaction {id}"))?;
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
    }
    background::holding(&root, id).context("cannot say who holds it")?;
    ready(out)?;
    ending.wait()?;
    drop(held);
    Ok(Outcome::Done)
}

fn ready(out: &mut dyn Write) -> std::io::Result<()> {
    writeln!(out, "ready")?;
    out.flush()
}
