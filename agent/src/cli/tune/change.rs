//! `quell tune apply`, `confirm`, `rollback` and `recover`, which change the host under its lock.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd as _;

use anyhow::{Context as _, bail};
use quell::host::{Host, Root};
use quell::text::shown;
use quell::tune::knob::Lifetime;
use quell::tune::plan::{self, Plan, Step};
use quell::tune::profile::TuningProfile;
use quell::tune::transaction::background::{self, BackgroundError, BackgroundTask, stop_holder};
use quell::tune::transaction::journal::{Record, Store, TransactionId, Transactions};
use quell::tune::transaction::{
    self, Applied, ApplyOptions, BootTime, Holder, Lock, OnConflict, RollbackReport, RollbackResults, active_values,
    check_preconditions, resource_limits,
};
use quell::units::Nanos;

use super::tree::with_root;
use super::{ProfileArguments, approval, check_recovered, now, text};
use crate::cli::text::{counted, indented, line};
use crate::cli::{Outcome, duration};

const APPLY_EXAMPLES: &str = "\
Examples:
  quell tune apply trading
  quell tune apply trading --set isolated=2-5 --yes
  quell tune apply ./mine.toml --confirm-within 5m";

const ROLLBACK_EXAMPLES: &str = "\
Examples:
  quell tune rollback
  quell tune rollback --to 3
  quell tune rollback --to 3 --force";

const RECOVER_EXAMPLES: &str = "\
Examples:
  quell tune recover
  quell tune recover --force";

#[derive(clap::Args, Debug)]
#[command(after_help = APPLY_EXAMPLES)]
pub(super) struct Apply {
    #[command(flatten)]
    profile: ProfileArguments,
    /// Roll back unless `quell tune confirm` is run within this time, even if this session has ended
    #[arg(long, value_name = "TIME", value_parser = duration::duration)]
    confirm_within: Option<Nanos>,
    /// Apply without asking
    #[arg(long)]
    yes: bool,
}

#[derive(clap::Args, Debug)]
#[command(after_help = ROLLBACK_EXAMPLES)]
pub(super) struct Rollback {
    /// Roll back all transactions down to and including this one [default: the newest]
    #[arg(long, value_name = "ID", value_parser = transaction_number)]
    to: Option<u32>,
    /// Also restore values that were modified externally
    #[arg(long)]
    force: bool,
}

fn transaction_number(text: &str) -> Result<u32, String> {
    text.parse().map_err(|_| "expected the number of a transaction: `quell tune history` lists them".to_owned())
}

#[derive(clap::Args, Debug)]
#[command(after_help = RECOVER_EXAMPLES)]
pub(super) struct Recover {
    /// Also restore values that were modified externally
    #[arg(long)]
    force: bool,
}

pub(super) fn apply(root: &Root, arguments: &Apply, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    // Before anything is written: reaching a limit later would end this process.
    resource_limits::raise().context("nothing was changed")?;
    // A transaction that another process is applying would look interrupted.
    Lock::check_free(root)?;
    let store = Store::of(root);
    let transactions = store.transactions()?;
    check_recovered(&transactions.readable, &super::boot(root)?)?;
    check_preconditions(transactions)?;
    // Reading the profile may take long, so it comes before the lock.
    let profile = TuningProfile::load_for(&arguments.profile.name, root)?;
    let (given, host) = (arguments.profile.given(), Host::read(root.clone())?);
    let approved = if arguments.yes {
        plan::validate(&host, &profile, &given)?;
        None
    } else {
        let Some(approved) = approval::ask(plan::plan(&host, &profile, &given)?, out)? else {
            writeln!(out, "nothing was changed")?;
            return Ok(Outcome::Found);
        };
        Some(approved)
    };
    let lock = Lock::acquire(root, &format!("applying {}", arguments.profile.name))?;
    let host = Host::read(root.clone())?;
    check_recovered(&store.transactions()?.readable, &host.boot)?;
    let plan = plan::plan(&host, &profile, &given)?;
    let plan = match &approved {
        Some(approved) => approval::check_approved(approved, plan)?,
        None => {
            text::plan(&plan, out)?;
            plan
        }
    };
    if plan.steps.is_empty() {
        writeln!(out, "nothing to do")?;
        return Ok(Outcome::Done);
    }
    // If the plan cannot be printed, nothing is changed.
    out.flush()?;
    let confirm_by = match arguments.confirm_within {
        Some(within) => Some(start_guard(root, within)?),
        None => None,
    };
    let hold = |id| start_holder(root, id);
    let request = arguments.profile.request();
    let options = ApplyOptions { time: now(), request: Some(&request), confirm_by, holder: Holder::Process(&hold) };
    let applied = transaction::apply(&host, &store, &plan, &options)?;
    drop(lock);
    let report = report(&plan, &applied, arguments.confirm_within)? + &other_active(&store, &host, applied.id);
    let report = with_root(root, &report);
    // Not with `out`: a failure to print the report must not look like a failure to apply.
    let written =
        io::stdout().as_fd().try_clone_to_owned().and_then(|out| File::from(out).write_all(report.as_bytes()));
    if let Err(error) = written {
        tracing::error!("transaction {} was applied, but its report could not be written: {error}", applied.id);
    }
    Ok(if applied.refused.is_empty() { Outcome::Done } else { Outcome::Found })
}

fn report(plan: &Plan, applied: &Applied, within: Option<Nanos>) -> Result<String, std::fmt::Error> {
    let mut text = String::new();
    for (step, reason) in &applied.refused {
        let step = &plan.steps[*step];
        let value = format!("{} on {}", step.knob, step.target);
        writeln!(text, "refused, and unchanged: {}: {}", shown(&value), indented(reason, 4))?;
    }
    for (step, current, start) in &applied.changed {
        let Step { knob, target, .. } = &plan.steps[*step];
        let line = format!(
            "modified externally as the transaction started: {knob} on {target} from {start} to {current}; a rollback restores {start}"
        );
        writeln!(text, "{}", shown(&line))?;
    }
    let set = plan.steps.len() - applied.refused.len();
    writeln!(text, "transaction {}: {} set and verified by reading back", applied.id, counted(set, "value"))?;
    if plan.steps.iter().any(|step| step.lifetime == Lifetime::NextBoot) {
        writeln!(text, "some values take effect at the next boot; `quell tune verify` checks them then")?;
    }
    writeln!(text, "`quell tune rollback` restores the original values")?;
    if let Some(within) = within {
        writeln!(text, "it is rolled back in {within} unless you run `quell tune confirm`")?;
        if plan.steps.iter().any(|step| step.lifetime.survives_reboot()) {
            writeln!(text, "if the host reboots before, `quell tune recover` rolls back values that survive a reboot")?;
        }
    }
    Ok(text)
}

/// The active values of other transactions that the new one does not replace, one line for each.
fn other_active(store: &Store, host: &Host, applied: TransactionId) -> String {
    let transactions = store.transactions().map(|transactions| transactions.readable).unwrap_or_default();
    let mut others: BTreeMap<TransactionId, (&str, usize)> = BTreeMap::new();
    for value in active_values(&transactions, &host.boot).iter().filter(|value| value.transaction.id != applied) {
        others.entry(value.transaction.id).or_insert((&value.transaction.profile, 0)).1 += 1;
    }
    let lines = others.into_iter().map(|(id, (profile, count))| {
        format!("also active: {} of {}, transaction {id}\n", counted(count, "value"), shown(profile))
    });
    lines.collect()
}

/// Starts the process that rolls back what is not confirmed. It starts before anything is changed: a change may disconnect the user.
fn start_guard(root: &Root, within: Nanos) -> Result<BootTime, BackgroundError> {
    // Rounded up to seconds.
    let until = BootTime(BootTime::now().0.saturating_add(within.0.div_ceil(Nanos::SECOND.0)));
    background::start(root, &BackgroundTask::Guard(until))?;
    Ok(until)
}

/// Starts the process that holds the files of a transaction open.
fn start_holder(root: &Root, id: TransactionId) -> Result<(), BackgroundError> {
    // That of an earlier transaction with this number, if its journal was removed.
    if let Err(error) = stop_holder(root, id) {
        tracing::warn!("an earlier transaction {id} is still held: {error}");
    }
    background::start(root, &BackgroundTask::Hold(id))
}

/// Raises resource limits, best effort.
fn raise_limits() {
    if let Err(error) = resource_limits::raise() {
        tracing::warn!("{error}");
    }
}

pub(super) fn confirm(root: &Root, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    raise_limits();
    let _lock = Lock::acquire(root, "confirming")?;
    let store = Store::of(root);
    let transactions = store.transactions()?.readable;
    let unconfirmed: Vec<_> = transactions.iter().filter(|transaction| transaction.confirm_by().is_some()).collect();
    if unconfirmed.is_empty() {
        bail!("no transaction is waiting for confirmation\nhint: `quell tune status` shows what is active");
    }
    let (boot, now) = (super::boot(root)?, BootTime::now());
    let (overdue, in_time): (Vec<_>, Vec<_>) =
        unconfirmed.into_iter().partition(|transaction| transaction.is_overdue(&boot, now));
    for transaction in in_time {
        store.resume(transaction.id)?.append(Record::Confirmed)?;
        line(out, format_args!("confirmed: transaction {}, {}", transaction.id, transaction.profile))?;
    }
    if let Some(overdue) = overdue.first() {
        // The confirmations come before the error.
        out.flush()?;
        bail!(
            "too late: transaction {} is being rolled back\nhint: `quell tune recover` rolls it back if it is not",
            overdue.id
        );
    }
    Ok(Outcome::Done)
}

pub(super) fn rollback(root: &Root, arguments: &Rollback, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    raise_limits();
    let store = Store::of(root);
    let _lock = Lock::acquire(root, "rolling back")?;
    let host = Host::read(root.clone())?;
    let transactions = store.transactions()?;
    check_recovered(&transactions.readable, &host.boot)?;
    let to = arguments.to.map(TransactionId);
    if let Some(to) = to {
        check_exists(&transactions, to)?;
    }
    let results = transaction::roll_back(&host, &store, to, on_conflict(arguments.force))?;
    if results.is_empty() {
        writeln!(out, "nothing to roll back")?;
    }
    show_results(&results, out)
}

fn check_exists(transactions: &Transactions, id: TransactionId) -> anyhow::Result<()> {
    let readable = transactions.readable.iter().map(|transaction| transaction.id);
    let known: BTreeSet<TransactionId> = readable.chain(transactions.unreadable.iter().map(|(id, _)| *id)).collect();
    match known.last() {
        _ if known.contains(&id) => Ok(()),
        Some(last) => {
            bail!("there is no transaction {id}: the last one is {last}\nhint: `quell tune history` lists them")
        }
        None => bail!("there is no transaction {id}, nor any other"),
    }
}

pub(super) fn recover(root: &Root, arguments: &Recover, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    raise_limits();
    let store = Store::of(root);
    let _lock = Lock::acquire(root, "recovering")?;
    let host = Host::read(root.clone())?;
    let results = transaction::recover(&host, &store, BootTime::now(), on_conflict(arguments.force))
        .context("recovery did not finish")?;
    if results.is_empty() {
        writeln!(out, "nothing to recover")?;
    }
    show_results(&results, out)
}

fn on_conflict(force: bool) -> OnConflict {
    if force { OnConflict::Overwrite } else { OnConflict::Keep }
}

fn show_results(results: &RollbackResults, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    let mut outcome = Outcome::Done;
    for (id, result) in results {
        match result {
            Ok(report) => {
                show_report(*id, report, out)?;
                if !report.not_restored.is_empty() || report.journal_error.is_some() {
                    outcome = Outcome::Found;
                }
            }
            Err(error) => {
                writeln!(out, "transaction {id} not rolled back: {}", indented(&error.to_string(), 2))?;
                outcome = Outcome::Found;
            }
        }
    }
    Ok(outcome)
}

fn show_report(id: TransactionId, report: &RollbackReport, out: &mut dyn Write) -> io::Result<()> {
    let except = text::except(report.not_restored.len());
    let reset = match report.reset_by_reboot {
        0 => String::new(),
        count => format!(", {count} reset by a reboot"),
    };
    let (restored, unchanged) = (counted(report.restored, "value"), report.unchanged);
    writeln!(out, "transaction {id} rolled back{except}: {restored} restored, {unchanged} unchanged{reset}")?;
    for (reason, values) in report.not_restored_by_reason() {
        writeln!(out, "  not restored: {}", indented(reason, 4))?;
        for value in values {
            line(out, format_args!("    {value}"))?;
        }
    }
    if let Some(hint) = report.hint(id) {
        writeln!(out, "  hint: {hint}")?;
    }
    for effect in &report.side_effects {
        writeln!(out, "  not undone: {}", indented(effect, 4))?;
    }
    if let Some(error) = &report.journal_error {
        writeln!(out, "  restored, but not recorded: {}", indented(&error.to_string(), 4))?;
    }
    Ok(())
}
