//! The verbs of `quell tune` that only look.

use std::collections::BTreeMap;
use std::io::Write;

use anyhow::bail;
use quell::host::{Host, Root};
use quell::text::shown;
use quell::tune::journal::{Phase, StepState, Store, Transaction, TransactionId, Transactions};
use quell::tune::knob;
use quell::tune::profile::{Condition, DIRECTORY, SHIPPED, TuningProfile};
use quell::tune::{self, BootTime, Leftover, Lock, Request, Step, Verdict, Verified, in_force, leftovers, nearest};

use super::{boot, now, text, unfinished};
use crate::cli::Outcome;
use crate::cli::text::{indented, line, wrapped, wrapped_lines};

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
        match TuningProfile::load_for(name, root) {
            Ok(profile) => writeln!(out, "{:<18}{}", shown(name), wrapped(&profile.summary, 18))?,
            Err(error) => writeln!(out, "{:<18}broken: {}", shown(name), indented(&error.to_string(), 18))?,
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
            // Reasons begin with such words too.
            writeln!(out, "    {}", wrapped(&format!("(only {})", setting.condition), 4))?;
        }
        writeln!(out, "    {}", wrapped(&setting.reason, 4))?;
    }
    Ok(Outcome::Done)
}

/// People ask for what a plan names: a knob, or what it is set on.
fn unknown_knob(root: &Root, id: &str) -> String {
    if root.has(&format!("/proc/sys/{}", id.replace('.', "/"))) {
        return format!("`{}` is what the knob `sysctl` is set on: `quell tune explain sysctl`", shown(id));
    }
    let near = nearest(id, knob::knobs().into_iter().map(|knob| knob.spec().id));
    let near = near.map_or_else(String::new, |near| format!(", did you mean `{near}`?"));
    format!("no knob `{}`{near}: `quell list knobs` shows them", shown(id))
}

pub(super) fn explain(root: &Root, id: &str, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    let Some(knob) = knob::by_id(id) else { bail!(unknown_knob(root, id)) };
    let spec = knob.spec();
    writeln!(out, "{}\n  {}\n", spec.id, wrapped(spec.doc, 2))?;
    let risk = match spec.risk.why() {
        None => spec.risk.name().to_owned(),
        Some(why) => format!("{}: {why}", spec.risk.name()),
    };
    let lines = [
        ("takes", spec.kind.to_string()),
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
    let at_work = Lock::holder(&root);
    let Transactions { readable: transactions, broken } = Store::of(&root).transactions()?;
    let host = Host::read(root)?;
    let unfinished = unfinished(&transactions, &host.boot);
    for (id, error) in &broken {
        writeln!(out, "transaction {id} cannot be read: {}", indented(&error.to_string(), 4))?;
    }
    match (&at_work, &unfinished) {
        // What is unfinished may be what is being done.
        (Some(who), _) => line(out, format_args!("being changed now: {who}"))?,
        (None, Some(why)) => writeln!(out, "{why}")?,
        (None, None) => {}
    }
    let complete = |transaction: &&Transaction| matches!(transaction.phase, Phase::Complete { .. });
    for transaction in transactions.iter().filter(complete) {
        transaction_line(transaction, &host.boot, at_work.as_deref(), out)?;
    }
    let left = leftovers(&transactions);
    for Leftover { transaction, step, before, why } in &left {
        let (id, on, before) = (transaction.id, text::on(&[&step.target]), before.whole());
        let what = format!("{}{on} was {before}", step.knob);
        writeln!(out, "{id}  left when it was undone: {}: {}", shown(&what), wrapped_lines(why, 4))?;
    }
    let quiet = left.is_empty() && unfinished.is_none() && at_work.is_none() && broken.is_empty();
    if quiet && !transactions.iter().any(|transaction| complete(&transaction)) {
        writeln!(out, "nothing is in force")?;
    }
    let values = in_force(&transactions, &host.boot);
    let verified = tune::verify(&host, &values);
    let drifted = verified.iter().filter(|value| !value.verdict.holds()).count();
    if !verified.is_empty() {
        writeln!(out, "{}", summary(&verified))?;
    }
    let gone = values.iter().zip(&verified).filter(|(_, verified)| matches!(verified.verdict, Verdict::Gone { .. }));
    let gone: BTreeMap<TransactionId, String> =
        gone.map(|(value, _)| (value.transaction.id, asked_for(value.transaction).to_string())).collect();
    let mut lines: Vec<&String> = gone.values().collect();
    lines.dedup();
    for request in lines {
        line(out, format_args!("the host has booted since: `{request}` sets again what went with the boot"))?;
    }
    if drifted > 0 && gone.is_empty() {
        writeln!(out, "`quell tune verify` shows the others")?;
    }
    let found = unfinished.is_some() || drifted > 0 || !left.is_empty() || !broken.is_empty();
    Ok(if found { Outcome::Found } else { Outcome::Done })
}

/// What a transaction was asked for by. Before that was written down, the name of its profile is all that is known.
fn asked_for(transaction: &Transaction) -> Request {
    let name = || Request { profile: transaction.profile.clone(), given: BTreeMap::new() };
    transaction.request.clone().unwrap_or_else(name)
}

pub(super) fn history(root: &Root, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    let store = Store::of(root);
    let (boot, at_work) = (boot(root)?, Lock::holder(root));
    let Transactions { readable, broken } = store.transactions()?;
    if readable.is_empty() && broken.is_empty() {
        writeln!(out, "no transactions in {}", store.display_path().display())?;
    }
    for transaction in &readable {
        transaction_line(transaction, &boot, at_work.as_deref(), out)?;
    }
    for (id, error) in &broken {
        writeln!(out, "{id}  cannot be read: {}", indented(&error.to_string(), 4))?;
    }
    Ok(if broken.is_empty() { Outcome::Done } else { Outcome::Found })
}

fn transaction_line(
    transaction: &Transaction,
    boot: &str,
    at_work: Option<&str>,
    out: &mut dyn Write,
) -> std::io::Result<()> {
    let clock = BootTime::now();
    let state = match transaction.phase {
        Phase::Applying | Phase::Undoing if at_work.is_some() => "being changed now".to_owned(),
        Phase::Applying => "cut short while it was applied".to_owned(),
        Phase::Undoing => "cut short while it was undone".to_owned(),
        Phase::Complete { .. } if transaction.is_overdue(boot, clock) => "not confirmed in time".to_owned(),
        Phase::Complete { confirm_by: Some(by) } => {
            format!("to be confirmed within {} s", by.0.saturating_sub(clock.0))
        }
        Phase::Complete { confirm_by: None } if transaction.boot == boot => "in force".to_owned(),
        Phase::Complete { confirm_by: None } => since_a_boot(transaction).to_owned(),
        Phase::Closed => format!("undone{}", text::but_for(transaction.left().count())),
    };
    let (id, profile, age) = (transaction.id, &transaction.profile, now().saturating_sub(transaction.time));
    let steps = transaction.steps.len();
    line(out, format_args!("{id}  {profile:<18} {steps:>5} steps, {}: {state}", text::ago(age)))
}

/// What a transaction of an earlier boot is.
fn since_a_boot(transaction: &Transaction) -> &'static str {
    let stays =
        |(step, state): &(Step, StepState)| step.lifetime.outlives_boot() && matches!(state, StepState::Done { .. });
    if transaction.steps.iter().any(stays) {
        "in force since the boot, but for what went with it"
    } else {
        "went with the boot"
    }
}

pub(super) fn verify(root: Root, arguments: &Verify, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    let at_work = Lock::holder(&root);
    let Transactions { readable, broken } = Store::of(&root).transactions()?;
    let host = Host::read(root)?;
    let verified = tune::verify(&host, &in_force(&readable, &host.boot));
    if arguments.json {
        serde_json::to_writer_pretty(&mut *out, &verified)?;
        writeln!(out)?;
    } else {
        told(&verified, out)?;
    }
    let drifted = verified.iter().any(|value| !value.verdict.holds());
    // Values of it are set that nothing here is said of: it was said first.
    let unfinished = unfinished(&readable, &host.boot).is_some() && at_work.is_none();
    Ok(if drifted || unfinished || !broken.is_empty() { Outcome::Found } else { Outcome::Done })
}

fn told(verified: &[Verified], out: &mut dyn Write) -> std::io::Result<()> {
    for value in verified {
        let on = text::on(&[&value.target]);
        let what = match &value.verdict {
            Verdict::Match | Verdict::AwaitsBoot => continue,
            Verdict::Mismatch { got } => format!("want {}, got {}", value.wanted, got.brief()),
            Verdict::Changed { got, after, by } => {
                let ago = |time: u64| text::ago(now().saturating_sub(time));
                let by =
                    by.map_or_else(String::new, |by| format!(", and not after its file was last changed, {}", ago(by)));
                format!("somebody has set it to {got} since it was set, {}{by}; wanted {}", ago(*after), value.wanted)
            }
            Verdict::Gone { got } => format!("went with the boot: it is {got}, wanted {}", value.wanted),
            Verdict::Absent { why } => format!("absent: {why}"),
            Verdict::Unknown { why } => format!("cannot be told: {why}"),
        };
        writeln!(
            out,
            "{}: {}",
            shown(&format!("{}{on}", value.knob)),
            match &value.verdict {
                // An error, which may have a hint.
                Verdict::Unknown { .. } => wrapped_lines(&what, 4),
                _ => wrapped(&what, 4),
            }
        )?;
    }
    writeln!(out, "{}", summary(verified))
}

/// How many values are as they were set.
fn summary(verified: &[Verified]) -> String {
    let holding = verified.iter().filter(|value| value.verdict.holds()).count();
    let awaiting = match verified.iter().filter(|value| value.verdict == Verdict::AwaitsBoot).count() {
        0 => String::new(),
        count => format!(", {count} of them count from the next boot on"),
    };
    format!("{holding} of {} values are as they were set{awaiting}", verified.len())
}
