//! `quell tune apply`, `confirm`, `rollback` and `recover`: what changes the host, each under the lock.

use std::io::{self, BufRead as _, IsTerminal as _, Write};

use anyhow::{Context as _, bail};
use quell::host::{Host, Root};
use quell::tune::background;
use quell::tune::journal::{Phase, Record, Store, Transaction, TransactionId};
use quell::tune::knob::Lifetime;
use quell::tune::{self, Lock, Plan, Undone, Unless};
use quell::units::Nanos;

use super::{Chosen, must_be_finished, now, planned, text};
use crate::cli::{Outcome, duration};

#[derive(clap::Args, Debug)]
pub(super) struct Apply {
    #[command(flatten)]
    chosen: Chosen,
    /// Undo everything unless `quell tune confirm` comes within this time, even if this session is gone
    #[arg(long, value_name = "TIME", value_parser = duration::duration)]
    confirm_within: Option<Nanos>,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

#[derive(clap::Args, Debug)]
pub(super) struct Rollback {
    /// Undo every transaction back to this one and with it [default: the newest]
    #[arg(long, value_name = "ID")]
    to: Option<u32>,
    /// Put back what somebody has changed since, too
    #[arg(long)]
    force: bool,
}

#[derive(clap::Args, Debug)]
pub(super) struct Recover {
    /// Put back what somebody has changed since, too
    #[arg(long)]
    force: bool,
}

pub(super) fn apply(root: Root, arguments: &Apply, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    let store = Store::of(&root);
    let lock = Lock::take(&root, &format!("applying {}", arguments.chosen.profile))?;
    must_be_finished(&store)?;
    let host = Host::read(root.clone())?;
    let plan = planned(&host, &arguments.chosen)?;
    text::plan(&plan, out)?;
    if plan.steps.is_empty() {
        writeln!(out, "nothing to do")?;
        return Ok(Outcome::Done);
    }
    if !arguments.yes && !agreed(out)? {
        writeln!(out, "nothing was changed")?;
        return Ok(Outcome::Found);
    }
    let confirm_by = match arguments.confirm_within {
        Some(within) => Some(guarded(&root, within)?),
        None => None,
    };
    let applied = tune::apply(&host, &store, &plan, now(), confirm_by)?;
    let id = applied.id;
    if plan.steps.iter().any(|step| step.lifetime == Lifetime::WhileHeld) && root.is_host() {
        background::start(&words(&root, &["hold", &id.to_string()]))?;
    }
    drop(applied.held);
    drop(lock);
    for (step, why) in &applied.refused {
        let step = &plan.steps[*step];
        writeln!(out, "refused, and left as it was: {} on {}: {why}", step.knob, step.target)?;
    }
    report(&plan, id, applied.refused.len(), out)?;
    if let Some(within) = arguments.confirm_within {
        writeln!(out, "undone in {within} unless you type: quell tune confirm")?;
    }
    Ok(if applied.refused.is_empty() { Outcome::Done } else { Outcome::Found })
}

fn report(plan: &Plan, id: TransactionId, refused: usize, out: &mut dyn Write) -> io::Result<()> {
    let boot = plan.steps.iter().any(|step| step.lifetime == Lifetime::NextBoot);
    writeln!(out, "transaction {id}: {} values set, each read back", plan.steps.len() - refused)?;
    if boot {
        writeln!(out, "some count from the next boot on: then `quell tune verify` tells whether they do")?;
    }
    writeln!(out, "`quell tune rollback` undoes it")
}

/// Starts the process that undoes what is not confirmed, before anything is changed: a change may cut off who made it.
fn guarded(root: &Root, within: Nanos) -> anyhow::Result<u64> {
    // In whole seconds, and not a moment less than was asked for.
    let until = now() + within.0.div_ceil(Nanos::SECOND.0);
    background::start(&words(root, &["guard", &until.to_string()]))?;
    Ok(until)
}

fn words(root: &Root, verb: &[&str]) -> Vec<String> {
    let mut words = vec!["tune".to_owned()];
    if !root.is_host() {
        words.extend(["--root".to_owned(), root.path("/").display().to_string()]);
    }
    words.extend(verb.iter().map(|&word| word.to_owned()));
    words
}

/// Asks on a terminal; without one nobody can answer.
fn agreed(out: &mut dyn Write) -> anyhow::Result<bool> {
    if !io::stdin().is_terminal() {
        bail!("there is no terminal to ask on: look at `quell tune plan`, then apply with --yes");
    }
    write!(out, "apply this? [y/N] ")?;
    out.flush()?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "yes"))
}

pub(super) fn confirm(root: &Root, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    let _lock = Lock::take(root, "confirming")?;
    let store = Store::of(root);
    let waiting = |transaction: &Transaction| matches!(transaction.phase, Phase::Complete { confirm_by: Some(_) });
    let transactions = store.transactions()?;
    let waiting: Vec<_> = transactions.into_iter().filter(waiting).collect();
    if waiting.is_empty() {
        bail!("nothing waits to be confirmed: `quell tune status` shows what is in force");
    }
    for transaction in waiting {
        if matches!(transaction.phase, Phase::Complete { confirm_by: Some(by) } if by < now()) {
            bail!("too late: transaction {} is being undone, or will be by `quell tune recover`", transaction.id);
        }
        let mut journal = store.resume(transaction.id)?;
        journal.append(Record::Confirmed)?;
        journal.sync()?;
        writeln!(out, "confirmed: transaction {}, {}", transaction.id, transaction.profile)?;
    }
    Ok(Outcome::Done)
}

pub(super) fn rollback(root: Root, arguments: &Rollback, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    let store = Store::of(&root);
    let _lock = Lock::take(&root, "rolling back")?;
    must_be_finished(&store)?;
    let host = Host::read(root)?;
    let undone = tune::rollback(&host, &store, arguments.to.map(TransactionId), unless(arguments.force))?;
    if undone.is_empty() {
        writeln!(out, "nothing to roll back")?;
    }
    told(&undone, out)
}

pub(super) fn recover(root: Root, arguments: &Recover, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    let store = Store::of(&root);
    let _lock = Lock::take(&root, "recovering")?;
    let host = Host::read(root)?;
    let undone = tune::recover(&host, &store, now(), unless(arguments.force)).context("recovery did not finish")?;
    if undone.is_empty() {
        writeln!(out, "nothing to recover")?;
    }
    told(&undone, out)
}

fn unless(force: bool) -> Unless {
    if force { Unless::Never } else { Unless::Changed }
}

fn told(undone: &[(TransactionId, Undone)], out: &mut dyn Write) -> anyhow::Result<Outcome> {
    for (id, undone) in undone {
        let (restored, unchanged) = (undone.restored, undone.unchanged);
        writeln!(out, "transaction {id} undone: {restored} values put back, {unchanged} were as before")?;
        for left in &undone.left {
            writeln!(out, "  left: {left}")?;
        }
    }
    let left = undone.iter().any(|(_, undone)| !undone.left.is_empty());
    Ok(if left { Outcome::Found } else { Outcome::Done })
}
