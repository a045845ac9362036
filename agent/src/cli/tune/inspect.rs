//! The commands of `quell tune` that change nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;

use anyhow::bail;
use quell::host::{Host, Root};
use quell::text::shown;
use quell::tune::knob;
use quell::tune::plan::Step;
use quell::tune::profile::{Condition, PROFILE_DIRECTORY, SHIPPED, TuningProfile, closest_name};
use quell::tune::transaction::journal::{Phase, StepState, Store, Transaction, TransactionId, Transactions};
use quell::tune::transaction::{
    self, ActiveValue, BootTime, Lock, Request, UnrestoredValue, Verdict, Verified, active_values, unrestored_values,
};

use super::{boot, now, pending_recovery, text};
use crate::cli::Outcome;
use crate::cli::text::{indented, line, wrapped, wrapped_lines};

const VERIFY_EXAMPLES: &str = "\
Examples:
  quell tune verify
  quell tune verify --json";

#[derive(clap::Args, Debug)]
#[command(after_help = VERIFY_EXAMPLES)]
pub(super) struct Verify {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn list(root: &Root, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    let own = root.list(PROFILE_DIRECTORY)?;
    let own = own.iter().filter_map(|name| name.strip_suffix(".toml"));
    let mut names: Vec<&str> = own.chain(SHIPPED.iter().map(|(name, _)| *name)).collect();
    names.sort_unstable();
    names.dedup();
    for name in names {
        match TuningProfile::load_for(name, root) {
            Ok(profile) => writeln!(out, "{:<18}{}", shown(name), wrapped(&profile.summary, 18))?,
            Err(error) => writeln!(out, "{:<18}invalid: {}", shown(name), indented(&error.to_string(), 18))?,
        }
    }
    Ok(Outcome::Done)
}

pub(super) fn show(root: &Root, name: &str, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    let profile = TuningProfile::load_for(name, root)?;
    writeln!(out, "{}: {}\n", shown(&profile.name), wrapped(&profile.summary, profile.name.len() + 2))?;
    for (name, variable) in &profile.variables {
        line(out, format_args!("{name} = {}", variable.text))?;
    }
    for setting in &profile.settings {
        let on = setting.on.as_ref().map_or_else(String::new, |on| format!(" on {on}"));
        let optional = if setting.optional { " (optional)" } else { "" };
        line(out, format_args!("{}{on} = {}{optional}", setting.knob, setting.value))?;
        if setting.condition != Condition::default() {
            writeln!(out, "    {}", wrapped(&format!("(only {})", setting.condition), 4))?;
        }
        writeln!(out, "    {}", wrapped(&setting.reason, 4))?;
    }
    Ok(Outcome::Done)
}

/// A message for an unknown id, which may be the target of a knob that a plan shows.
fn unknown_knob(root: &Root, id: &str) -> String {
    if root.has(&format!("/proc/sys/{}", id.replace('.', "/"))) {
        return format!(
            "`{}` is a target of the knob `sysctl`\nhint: `quell tune explain sysctl` explains it",
            shown(id)
        );
    }
    let closest = closest_name(id, knob::knobs().into_iter().map(|knob| knob.spec().id));
    let closest = closest.map_or_else(String::new, |closest| format!("did you mean `{closest}`? "));
    format!("there is no knob `{}`\nhint: {closest}`quell list knobs` lists all", shown(id))
}

pub(super) fn explain(root: &Root, id: &str, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    let Some(knob) = knob::by_id(id) else { bail!(unknown_knob(root, id)) };
    let spec = knob.spec();
    writeln!(out, "{}\n  {}\n", spec.id, wrapped(spec.doc, 2))?;
    let risk = match spec.risk.description() {
        None => spec.risk.name().to_owned(),
        Some(description) => format!("{}: {description}", spec.risk.name()),
    };
    let lines = [
        ("value", spec.kind.to_string()),
        ("set on", spec.scope.name().to_owned()),
        ("lasts", text::lifetime(spec.lifetime).to_owned()),
        ("risk", risk),
        ("source", spec.source.to_owned()),
    ];
    for (key, value) in lines {
        writeln!(out, "  {key:<8}{}", wrapped(&value, 10))?;
    }
    Ok(Outcome::Done)
}

pub(super) fn status(root: Root, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    let lock_holder = Lock::holder(&root);
    let Transactions { readable: transactions, unreadable } = Store::of(&root).transactions()?;
    let host = Host::read(root)?;
    let pending_recovery = pending_recovery(&transactions, &host.boot);
    for (id, error) in &unreadable {
        writeln!(out, "transaction {id} cannot be read: {}", indented(&error.to_string(), 4))?;
    }
    match (&lock_holder, &pending_recovery) {
        // An unfinished transaction may be in progress.
        (Some(holder), _) => line(out, format_args!("in progress: {holder}"))?,
        (None, Some(message)) => writeln!(out, "{message}")?,
        (None, None) => {}
    }
    let is_complete = |transaction: &&Transaction| matches!(transaction.phase, Phase::Complete { .. });
    for transaction in transactions.iter().filter(is_complete) {
        transaction_line(transaction, &host.boot, lock_holder.as_deref(), out)?;
    }
    let unrestored = unrestored_values(&transactions);
    for UnrestoredValue { transaction, step, before, reason } in &unrestored {
        let (id, on, before) = (transaction.id, text::on(&[&step.target]), before.complete());
        let value = format!("{}{on}, originally {before}", step.knob);
        writeln!(out, "{id}  not restored: {}: {}", shown(&value), wrapped_lines(reason, 4))?;
    }
    let incomplete: BTreeSet<TransactionId> = unrestored.iter().map(|value| value.transaction.id).collect();
    for TransactionId(id) in incomplete {
        writeln!(
            out,
            "hint: `quell tune rollback --to {id} --force` restores them, even if they were modified externally"
        )?;
    }
    let has_nothing_else =
        unrestored.is_empty() && pending_recovery.is_none() && lock_holder.is_none() && unreadable.is_empty();
    if has_nothing_else && !transactions.iter().any(|transaction| is_complete(&transaction)) {
        writeln!(out, "no transaction is active")?;
    }
    let values = active_values(&transactions, &host.boot);
    let verified = transaction::verify(&host, &values);
    let different = verified.iter().filter(|value| !value.verdict.is_match()).count();
    if !verified.is_empty() {
        writeln!(out, "{}", summary(&verified))?;
    }
    let requests = requests_to_repeat(&values, &verified);
    for request in &requests {
        writeln!(out, "reset by a reboot")?;
        line(out, format_args!("hint: `{request}` sets the values again"))?;
    }
    if different > 0 && requests.is_empty() {
        writeln!(out, "hint: `quell tune verify` shows the differences")?;
    }
    let is_ok = pending_recovery.is_none() && different == 0 && unrestored.is_empty() && unreadable.is_empty();
    Ok(if is_ok { Outcome::Done } else { Outcome::Found })
}

/// The requests that set values again that a reboot has reset.
fn requests_to_repeat(values: &[ActiveValue<'_>], verified: &[Verified]) -> Vec<String> {
    let is_reset = |verified: &Verified| matches!(verified.verdict, Verdict::ResetByReboot { .. });
    let reset = values.iter().zip(verified).filter(|(_, verified)| is_reset(verified));
    let requests: BTreeMap<TransactionId, String> =
        reset.map(|(value, _)| (value.transaction.id, request(value.transaction).to_string())).collect();
    let mut requests: Vec<String> = requests.into_values().collect();
    requests.dedup();
    requests
}

/// The request that a transaction was applied for. Without one, only the name of the profile is known.
fn request(transaction: &Transaction) -> Request {
    let by_name = || Request { profile: transaction.profile.clone(), given: BTreeMap::new() };
    transaction.request.clone().unwrap_or_else(by_name)
}

pub(super) fn history(root: &Root, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    let store = Store::of(root);
    let (boot, lock_holder) = (boot(root)?, Lock::holder(root));
    let Transactions { readable, unreadable } = store.transactions()?;
    if readable.is_empty() && unreadable.is_empty() {
        writeln!(out, "no transactions in {}", store.display_path().display())?;
    }
    for transaction in &readable {
        transaction_line(transaction, &boot, lock_holder.as_deref(), out)?;
    }
    for (id, error) in &unreadable {
        writeln!(out, "{id}  cannot be read: {}", indented(&error.to_string(), 4))?;
    }
    Ok(if unreadable.is_empty() { Outcome::Done } else { Outcome::Found })
}

fn transaction_line(
    transaction: &Transaction,
    boot: &str,
    lock_holder: Option<&str>,
    out: &mut dyn Write,
) -> std::io::Result<()> {
    let clock = BootTime::now();
    let state = match transaction.phase {
        Phase::Applying | Phase::RollingBack if lock_holder.is_some() => "in progress".to_owned(),
        Phase::Applying => "interrupted while it was applied".to_owned(),
        Phase::RollingBack => "interrupted while it was rolled back".to_owned(),
        Phase::Complete { .. } if transaction.is_overdue(boot, clock) => "not confirmed in time".to_owned(),
        Phase::Complete { confirm_by: Some(by) } => {
            format!("to be confirmed within {} s", by.0.saturating_sub(clock.0))
        }
        Phase::Complete { confirm_by: None } if transaction.boot == boot => "active".to_owned(),
        Phase::Complete { confirm_by: None } => state_after_reboot(transaction).to_owned(),
        Phase::RolledBack => format!("rolled back{}", text::except(transaction.not_restored().count())),
    };
    let (id, profile, age) = (transaction.id, &transaction.profile, now().saturating_sub(transaction.time));
    let steps = transaction.steps.len();
    line(out, format_args!("{id}  {profile:<18} {steps:>5} steps, {}: {state}", text::ago(age)))
}

/// The state of a transaction of an earlier boot.
fn state_after_reboot(transaction: &Transaction) -> &'static str {
    let survives =
        |(step, state): &(Step, StepState)| step.lifetime.survives_reboot() && matches!(state, StepState::Done { .. });
    if transaction.steps.iter().any(survives) {
        "active since an earlier boot, except values reset by a reboot"
    } else {
        "reset by a reboot"
    }
}

pub(super) fn verify(root: Root, arguments: &Verify, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    let lock_holder = Lock::holder(&root);
    let Transactions { readable, unreadable } = Store::of(&root).transactions()?;
    let host = Host::read(root)?;
    let verified = transaction::verify(&host, &active_values(&readable, &host.boot));
    if arguments.json {
        serde_json::to_writer_pretty(&mut *out, &verified)?;
        writeln!(out)?;
    } else {
        show_verified(&verified, out)?;
    }
    let is_match = verified.iter().all(|value| value.verdict.is_match());
    // The values of an unfinished transaction are not verified. A warning says so.
    let is_unfinished = pending_recovery(&readable, &host.boot).is_some() && lock_holder.is_none();
    Ok(if is_match && !is_unfinished && unreadable.is_empty() { Outcome::Done } else { Outcome::Found })
}

fn show_verified(verified: &[Verified], out: &mut dyn Write) -> std::io::Result<()> {
    for value in verified {
        let Some(message) = describe(value) else { continue };
        let name = format!("{}{}", value.knob, text::on(&[&value.target]));
        let message = match &value.verdict {
            // An error may have a hint.
            Verdict::Unknown { .. } => wrapped_lines(&message, 4),
            _ => wrapped(&message, 4),
        };
        writeln!(out, "{}: {message}", shown(&name))?;
    }
    writeln!(out, "{}", summary(verified))
}

/// The difference between the desired and the current value; `None` if there is none.
fn describe(value: &Verified) -> Option<String> {
    let ago = |time: u64| text::ago(now().saturating_sub(time));
    let desired = &value.desired;
    Some(match &value.verdict {
        Verdict::Match | Verdict::PendingReboot => return None,
        Verdict::Mismatch { current } => format!("mismatch: desired {desired}, current {}", current.brief()),
        Verdict::ModifiedExternally { current, after, by } => {
            let by = by.map_or_else(String::new, |by| format!(" and at the latest {}, when its file changed", ago(by)));
            format!("modified externally to {current}, since it was set to {desired} {}{by}", ago(*after))
        }
        Verdict::ResetByReboot { current } => format!("reset by a reboot to {current}, desired {desired}"),
        Verdict::Absent { reason } => format!("absent: {reason}"),
        Verdict::Unknown { reason } => format!("could not be verified: {reason}"),
    })
}

fn summary(verified: &[Verified]) -> String {
    let matching = verified.iter().filter(|value| value.verdict.is_match()).count();
    let pending = match verified.iter().filter(|value| value.verdict == Verdict::PendingReboot).count() {
        0 => String::new(),
        count => format!(", {count} of them pending a reboot"),
    };
    format!("{matching} of {} values match{pending}", verified.len())
}
