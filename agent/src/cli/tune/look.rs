//! The verbs of `quell tune` that only look.

use std::collections::BTreeSet;
use std::io::Write;

use anyhow::bail;
use quell::host::{Host, Root};
use quell::tune::journal::{Phase, Store, Transaction};
use quell::tune::knob::{self, Risk};
use quell::tune::profile::{DIRECTORY, SHIPPED, TuningProfile};
use quell::tune::{self, Verdict, Verified, in_force};

use super::{now, profiles, text, unfinished};
use crate::cli::Outcome;
use crate::cli::text::wrapped;

#[derive(clap::Args, Debug)]
pub(super) struct Verify {
    /// For programs
    #[arg(long)]
    json: bool,
}

pub(super) fn list(root: &Root, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    let own = root.list(DIRECTORY)?;
    let own = own.iter().filter_map(|name| name.strip_suffix(".toml"));
    let mut names: Vec<&str> = own.chain(SHIPPED.iter().map(|(name, _)| *name)).collect();
    names.sort_unstable();
    names.dedup();
    for name in names {
        match TuningProfile::load(name, &profiles(root)) {
            Ok(profile) => writeln!(out, "{name:<18}{}", wrapped(&profile.summary, 18))?,
            Err(error) => writeln!(out, "{name:<18}broken: {error}")?,
        }
    }
    Ok(Outcome::Done)
}

pub(super) fn show(root: &Root, name: &str, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    let profile = TuningProfile::load(name, &profiles(root))?;
    writeln!(out, "{}: {}\n", profile.name, wrapped(&profile.summary, profile.name.len() + 2))?;
    for (name, variable) in &profile.variables {
        writeln!(out, "{name} = {}", variable.text)?;
    }
    for setting in &profile.settings {
        let on = setting.on.as_ref().map_or_else(String::new, |on| format!(" on {on}"));
        let optional = if setting.optional { " (optional)" } else { "" };
        writeln!(out, "{}{on} = {}{optional}", setting.knob, setting.value)?;
        writeln!(out, "    {}", wrapped(&setting.reason, 4))?;
    }
    Ok(Outcome::Done)
}

pub(super) fn explain(id: &str, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    let Some(knob) = knob::by_id(id) else { bail!("no knob `{id}`: `quell list knobs` shows them") };
    let spec = knob.spec();
    writeln!(out, "{}\n  {}\n", spec.id, wrapped(spec.doc, 2))?;
    let risk = match spec.risk {
        Risk::Low => "low",
        Risk::Medium(what) | Risk::High(what) => what,
    };
    let lines = [
        ("takes", spec.kind.to_string()),
        ("set on", spec.scope.name().to_owned()),
        ("lasts", text::lifetime(spec.lifetime).to_owned()),
        ("risk", risk.to_owned()),
        ("source", spec.source.to_owned()),
    ];
    for (key, value) in lines {
        writeln!(out, "  {key:<8}{}", wrapped(&value, 10))?;
    }
    Ok(Outcome::Done)
}

pub(super) fn status(root: Root, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    let store = Store::of(&root);
    let host = Host::read(root)?;
    let transactions = store.transactions()?;
    let unfinished = unfinished(&store)?;
    if let Some(why) = &unfinished {
        writeln!(out, "{why}")?;
    }
    let complete = |transaction: &&Transaction| matches!(transaction.phase, Phase::Complete { .. });
    for transaction in transactions.iter().filter(complete) {
        line(transaction, out)?;
    }
    if !transactions.iter().any(|transaction| complete(&transaction)) {
        writeln!(out, "nothing is in force")?;
    }
    let values = in_force(&transactions, &host.boot);
    let verified = tune::verify(&host, &values);
    let drifted = verified.iter().filter(|value| !value.verdict.holds()).count();
    let awaiting = verified.iter().filter(|value| value.verdict == Verdict::AwaitsBoot).count();
    if !verified.is_empty() {
        let holding = verified.len() - drifted;
        writeln!(out, "{holding} of {} values are as they were set{}", verified.len(), from_next_boot(awaiting))?;
    }
    let gone = values.iter().zip(&verified).filter(|(_, verified)| matches!(verified.verdict, Verdict::Gone { .. }));
    let gone: BTreeSet<&str> = gone.map(|(value, _)| value.transaction.profile.as_str()).collect();
    for profile in &gone {
        writeln!(out, "the host has booted since: `quell tune apply {profile}` sets again what went with the boot")?;
    }
    if drifted > 0 && gone.is_empty() {
        writeln!(out, "`quell tune verify` shows the others")?;
    }
    Ok(if unfinished.is_some() || drifted > 0 { Outcome::Found } else { Outcome::Done })
}

pub(super) fn history(root: &Root, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    let transactions = Store::of(root).transactions()?;
    if transactions.is_empty() {
        writeln!(out, "no transactions in {}", Store::of(root).directory().display())?;
    }
    for transaction in &transactions {
        line(transaction, out)?;
    }
    Ok(Outcome::Done)
}

fn line(transaction: &Transaction, out: &mut dyn Write) -> std::io::Result<()> {
    let state = match transaction.phase {
        Phase::Applying => "cut short while it was applied".to_owned(),
        Phase::Complete { confirm_by: None } => "in force".to_owned(),
        Phase::Complete { confirm_by: Some(by) } if by < now() => "not confirmed in time".to_owned(),
        Phase::Complete { confirm_by: Some(by) } => format!("to be confirmed within {} s", by - now()),
        Phase::Undoing => "cut short while it was undone".to_owned(),
        Phase::Closed => "undone".to_owned(),
    };
    let (id, profile, age) = (transaction.id, &transaction.profile, now().saturating_sub(transaction.time));
    writeln!(out, "{id}  {profile:<18} {:>5} steps, {}: {state}", transaction.steps.len(), ago(age))
}

fn ago(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s ago"),
        120..7_200 => format!("{} min ago", seconds / 60),
        7_200..172_800 => format!("{} h ago", seconds / 3_600),
        _ => format!("{} days ago", seconds / 86_400),
    }
}

pub(super) fn verify(root: Root, arguments: &Verify, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    let store = Store::of(&root);
    if let Some(why) = unfinished(&store)? {
        tracing::warn!("{why}");
    }
    let host = Host::read(root)?;
    let transactions = store.transactions()?;
    let verified = tune::verify(&host, &in_force(&transactions, &host.boot));
    if arguments.json {
        serde_json::to_writer_pretty(&mut *out, &verified)?;
        writeln!(out)?;
    } else {
        told(&verified, out)?;
    }
    let drifted = verified.iter().any(|value| !value.verdict.holds());
    Ok(if drifted { Outcome::Found } else { Outcome::Done })
}

fn told(verified: &[Verified], out: &mut dyn Write) -> std::io::Result<()> {
    let (mut matching, mut awaiting) = (0, 0);
    for value in verified {
        let on = text::on(&[&value.target]);
        let what = match &value.verdict {
            Verdict::Match => {
                matching += 1;
                continue;
            }
            Verdict::AwaitsBoot => {
                awaiting += 1;
                continue;
            }
            Verdict::Mismatch { got } => format!("want {}, got {got}", value.wanted),
            Verdict::Changed { got } => format!("somebody has set it to {got} since; wanted {}", value.wanted),
            Verdict::Gone { got } => format!("went with the boot: it is {got}, wanted {}", value.wanted),
            Verdict::Absent { why } => format!("absent: {why}"),
            Verdict::Unknown { why } => format!("cannot be told: {why}"),
        };
        writeln!(out, "{}{on}: {}", value.knob, wrapped(&what, 4))?;
    }
    writeln!(
        out,
        "{} of {} values are as they were set{}",
        matching + awaiting,
        verified.len(),
        from_next_boot(awaiting)
    )
}

fn from_next_boot(count: usize) -> String {
    if count == 0 { String::new() } else { format!(", {count} of them count from the next boot on") }
}
