//! `quell tune apply`, `confirm`, `rollback` and `recover`: what changes the host, each under the lock.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd as _;

use anyhow::{Context as _, bail};
use quell::host::{Host, Root};
use quell::text::shown;
use quell::tune::background::{BackgroundError, Errand, release};
use quell::tune::journal::{Record, Store, TransactionId, Transactions};
use quell::tune::knob::Lifetime;
use quell::tune::profile::TuningProfile;
use quell::tune::{self, Applied, BootTime, Holder, Lock, Plan, Step, Terms, Unless, Unwound, in_force, limits, ready};
use quell::units::Nanos;

use super::{Chosen, ask, must_be_finished, now, text};
use crate::cli::text::{counted, indented, line};
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
    #[arg(long, value_name = "ID", value_parser = number)]
    to: Option<u32>,
    /// Put back what somebody has changed since, too
    #[arg(long)]
    force: bool,
}

fn number(text: &str) -> Result<u32, String> {
    text.parse().map_err(|_| "it is the number of a transaction: `quell tune history` lists them".to_owned())
}

#[derive(clap::Args, Debug)]
pub(super) struct Recover {
    /// Put back what somebody has changed since, too
    #[arg(long)]
    force: bool,
}

pub(super) fn apply(root: &Root, arguments: &Apply, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    // Before anything is written: a limit that is reached in the middle ends this process.
    limits::raise().context("nothing was changed")?;
    // What another is at work on would look as if it had been cut short.
    Lock::free(root)?;
    let store = Store::of(root);
    let transactions = store.transactions()?;
    must_be_finished(&transactions.readable, &super::boot(root)?)?;
    ready(transactions)?;
    // Nobody is kept waiting for what a profile may take to be read.
    let profile = TuningProfile::load_for(&arguments.chosen.profile, root)?;
    let (given, host) = (arguments.chosen.given(), Host::read(root.clone())?);
    let agreed = if arguments.yes {
        tune::check(&host, &profile, &given)?;
        None
    } else {
        let Some(agreed) = ask::agreed(tune::planned(&host, &profile, &given)?, out)? else {
            writeln!(out, "nothing was changed")?;
            return Ok(Outcome::Found);
        };
        Some(agreed)
    };
    let lock = Lock::take(root, &format!("applying {}", arguments.chosen.profile))?;
    let host = Host::read(root.clone())?;
    must_be_finished(&store.transactions()?.readable, &host.boot)?;
    let plan = tune::planned(&host, &profile, &given)?;
    let plan = match &agreed {
        Some(agreed) => ask::as_agreed(agreed, plan)?,
        None => {
            text::plan(&plan, out)?;
            plan
        }
    };
    if plan.steps.is_empty() {
        writeln!(out, "nothing to do")?;
        return Ok(Outcome::Done);
    }
    // What cannot be told is not done.
    out.flush()?;
    let confirm_by = match arguments.confirm_within {
        Some(within) => Some(guarded(root, within)?),
        None => None,
    };
    let hold = |id| hold(root, id);
    let request = arguments.chosen.request();
    let terms = Terms { time: now(), request: Some(&request), confirm_by, holder: Holder::Process(&hold) };
    let applied = tune::apply(&host, &store, &plan, &terms)?;
    drop(lock);
    let report = report(&plan, &applied, arguments.confirm_within)? + &besides(&store, &host, applied.id);
    // Not by `out`, which would make a failure of it one of all.
    let told = io::stdout().as_fd().try_clone_to_owned().and_then(|out| File::from(out).write_all(report.as_bytes()));
    if let Err(error) = told {
        tracing::error!("transaction {} was applied, and stdout does not take the report: {error}", applied.id);
    }
    Ok(if applied.refused.is_empty() { Outcome::Done } else { Outcome::Found })
}

fn report(plan: &Plan, applied: &Applied, within: Option<Nanos>) -> Result<String, std::fmt::Error> {
    let mut text = String::new();
    for (step, why) in &applied.refused {
        let step = &plan.steps[*step];
        let what = format!("{} on {}", step.knob, step.target);
        writeln!(text, "refused, and left as it was: {}: {}", shown(&what), indented(why, 4))?;
    }
    for (step, now, start) in &applied.changed {
        let Step { knob, target, .. } = &plan.steps[*step];
        let line = format!(
            "changed by somebody while this began: {knob} on {target} from {start} to {now}; undoing ends at {start}"
        );
        writeln!(text, "{}", shown(&line))?;
    }
    let set = plan.steps.len() - applied.refused.len();
    writeln!(text, "transaction {}: {} set, each read back", applied.id, counted(set, "value"))?;
    let boot = plan.steps.iter().any(|step| step.lifetime == Lifetime::NextBoot);
    if boot {
        writeln!(text, "some count from the next boot on: then `quell tune verify` tells whether they do")?;
    }
    writeln!(text, "`quell tune rollback` undoes it")?;
    if let Some(within) = within {
        writeln!(text, "undone in {within} unless you type: quell tune confirm")?;
        if plan.steps.iter().any(|step| step.lifetime.outlives_boot()) {
            writeln!(text, "after a boot before that, `quell tune recover` undoes what outlives it")?;
        }
    }
    Ok(text)
}

/// What other transactions have in force that this one says nothing of, a line for each.
fn besides(store: &Store, host: &Host, applied: TransactionId) -> String {
    let transactions = store.transactions().map(|known| known.readable).unwrap_or_default();
    let mut others: BTreeMap<TransactionId, (&str, usize)> = BTreeMap::new();
    for value in in_force(&transactions, &host.boot).iter().filter(|value| value.transaction.id != applied) {
        others.entry(value.transaction.id).or_insert((&value.transaction.profile, 0)).1 += 1;
    }
    let lines = others.into_iter().map(|(id, (profile, count))| {
        format!("still in force besides: {} of {}, transaction {id}\n", counted(count, "value"), shown(profile))
    });
    lines.collect()
}

/// Starts the process that undoes what is not confirmed, before anything is changed: a change may cut off who made it.
fn guarded(root: &Root, within: Nanos) -> Result<BootTime, BackgroundError> {
    // In whole seconds, and not a moment less than was asked for.
    let until = BootTime(BootTime::now().0.saturating_add(within.0.div_ceil(Nanos::SECOND.0)));
    Errand::Guard(until).start(root)?;
    Ok(until)
}

/// Starts the process that holds what a transaction needs held.
fn hold(root: &Root, id: TransactionId) -> Result<(), BackgroundError> {
    // Of a transaction of this number whose journal was removed.
    if let Err(error) = release(root, id) {
        tracing::warn!("an earlier transaction {id} is still held: {error}");
    }
    Errand::Hold(id).start(root)
}

/// Raises limits as far as they may be, for what is to be tried all the same.
fn raise_limits() {
    if let Err(error) = limits::raise() {
        tracing::warn!("{error}");
    }
}

pub(super) fn confirm(root: &Root, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    raise_limits();
    let _lock = Lock::take(root, "confirming")?;
    let store = Store::of(root);
    let transactions = store.transactions()?.readable;
    let waiting: Vec<_> = transactions.iter().filter(|transaction| transaction.confirm_by().is_some()).collect();
    if waiting.is_empty() {
        bail!("nothing waits to be confirmed: `quell tune status` shows what is in force");
    }
    let (boot, now) = (super::boot(root)?, BootTime::now());
    let (late, punctual): (Vec<_>, Vec<_>) =
        waiting.into_iter().partition(|transaction| transaction.is_overdue(&boot, now));
    for transaction in punctual {
        store.resume(transaction.id)?.append(Record::Confirmed)?;
        line(out, format_args!("confirmed: transaction {}, {}", transaction.id, transaction.profile))?;
    }
    if let Some(late) = late.first() {
        // What was confirmed is said before the error of what was not.
        out.flush()?;
        bail!("too late: transaction {} is being undone, or will be by `quell tune recover`", late.id);
    }
    Ok(Outcome::Done)
}

pub(super) fn rollback(root: &Root, arguments: &Rollback, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    raise_limits();
    let store = Store::of(root);
    let _lock = Lock::take(root, "rolling back")?;
    let host = Host::read(root.clone())?;
    let transactions = store.transactions()?;
    must_be_finished(&transactions.readable, &host.boot)?;
    let to = arguments.to.map(TransactionId);
    if let Some(to) = to {
        must_be_there(&transactions, to)?;
    }
    let undone = tune::rollback(&host, &store, to, unless(arguments.force))?;
    if undone.is_empty() {
        writeln!(out, "nothing to roll back")?;
    }
    told(&undone, out)
}

/// Fails where there is no transaction of this number.
fn must_be_there(transactions: &Transactions, id: TransactionId) -> anyhow::Result<()> {
    let readable = transactions.readable.iter().map(|transaction| transaction.id);
    let known: BTreeSet<TransactionId> = readable.chain(transactions.broken.iter().map(|(id, _)| *id)).collect();
    match known.last() {
        _ if known.contains(&id) => Ok(()),
        Some(last) => bail!("there is no transaction {id}: the last is {last}; `quell tune history` lists them"),
        None => bail!("there is no transaction {id}, nor any other"),
    }
}

pub(super) fn recover(root: &Root, arguments: &Recover, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    raise_limits();
    let store = Store::of(root);
    let _lock = Lock::take(root, "recovering")?;
    let host = Host::read(root.clone())?;
    let undone =
        tune::recover(&host, &store, BootTime::now(), unless(arguments.force)).context("recovery did not finish")?;
    if undone.is_empty() {
        writeln!(out, "nothing to recover")?;
    }
    told(&undone, out)
}

fn unless(force: bool) -> Unless {
    if force { Unless::Never } else { Unless::Changed }
}

fn told(unwound: &Unwound, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    let mut outcome = Outcome::Done;
    for (id, result) in unwound {
        let undone = match result {
            Ok(undone) => undone,
            Err(error) => {
                writeln!(out, "transaction {id} not undone: {}", indented(&error.to_string(), 2))?;
                outcome = Outcome::Found;
                continue;
            }
        };
        let (restored, unchanged) = (undone.restored, undone.unchanged);
        let but = text::but_for(undone.left.len());
        let gone = if undone.gone == 0 { String::new() } else { format!(", {} went with the boot", undone.gone) };
        writeln!(
            out,
            "transaction {id} undone{but}: {} put back, {unchanged} were as before{gone}",
            counted(restored, "value")
        )?;
        for (why, left) in undone.left_by_reason() {
            writeln!(out, "  left as it is: {}", indented(why, 4))?;
            for left in left {
                line(out, format_args!("    {left}"))?;
            }
        }
        for remains in &undone.remains {
            writeln!(out, "  stays: {}", indented(remains, 4))?;
        }
        if let Some(error) = &undone.unrecorded {
            writeln!(out, "  put back; not recorded: {}", indented(&error.to_string(), 4))?;
        }
        if !undone.left.is_empty() || undone.unrecorded.is_some() {
            outcome = Outcome::Found;
        }
    }
    Ok(outcome)
}
