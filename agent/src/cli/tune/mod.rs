//! `quell tune`: one file for each group of commands.

mod approval;
mod background;
mod change;
mod inspect;
mod plan;
mod text;
mod tree;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, bail};
use quell::host::{Host, Root};
use quell::tune::plan::{self as tune_plan, Plan};
use quell::tune::profile::TuningProfile;
use quell::tune::transaction::journal::{Store, Transaction};
use quell::tune::transaction::{BootTime, Lock, Request, needs_recovery};

use self::tree::{WithRoot, error_with_root, with_root};
use super::Outcome;

/// Tunes this host: plans, applies, verifies and rolls back settings, as transactions
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Use this directory as the root of the host
    #[arg(long, value_name = "DIR", global = true)]
    root: Option<PathBuf>,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(clap::Subcommand, Debug)]
enum Verb {
    /// Lists the profiles
    #[command(after_help = "Examples:\n  quell tune list")]
    List,
    /// Shows the settings of a profile, with their reasons
    #[command(after_help = "Examples:\n  quell tune show trading")]
    Show(ShowArguments),
    /// Explains a knob
    #[command(after_help = "Examples:\n  quell tune explain cpu.governor")]
    Explain {
        /// The id of the knob: `quell list knobs` lists them
        knob: String,
    },
    /// Shows what a profile would change; changes nothing, and does not require root
    Plan(plan::Arguments),
    /// Applies a profile, completely or not at all
    Apply(change::Apply),
    /// Confirms a transaction that was applied with --confirm-within
    #[command(after_help = "Examples:\n  quell tune confirm")]
    Confirm,
    /// Shows the active transactions
    #[command(after_help = "Examples:\n  quell tune status")]
    Status,
    /// Compares the values that were applied with the current ones
    Verify(inspect::Verify),
    /// Restores the original values
    Rollback(change::Rollback),
    /// Rolls back transactions that were interrupted or not confirmed in time
    Recover(change::Recover),
    /// Lists all transactions
    #[command(after_help = "Examples:\n  quell tune history")]
    History,
    /// Rolls back a transaction that is not confirmed in time (started by apply)
    #[command(hide = true)]
    Guard(background::Guard),
    /// Holds the files of a transaction open (started by apply)
    #[command(hide = true)]
    Hold(background::Hold),
}

impl Arguments {
    /// The name of the command in `quell::privileges::table`. With --root no command requires privileges.
    pub(crate) fn name(&self) -> &'static str {
        if self.root.is_some() {
            return "tune --root";
        }
        match &self.verb {
            Verb::List => "tune list",
            Verb::Show(_) => "tune show",
            Verb::Explain { .. } => "tune explain",
            Verb::Plan(_) => "tune plan",
            Verb::Apply(_) => "tune apply",
            Verb::Confirm => "tune confirm",
            Verb::Status => "tune status",
            Verb::Verify(_) => "tune verify",
            Verb::Rollback(_) => "tune rollback",
            Verb::Recover(_) => "tune recover",
            Verb::History => "tune history",
            Verb::Guard(_) => "tune guard",
            Verb::Hold(_) => "tune hold",
        }
    }
}

impl Verb {
    /// Whether to warn about a pending recovery first. `status` shows it, and the others fail or recover.
    fn warns_about_recovery(&self) -> bool {
        match self {
            Self::List
            | Self::Show(_)
            | Self::Explain { .. }
            | Self::Plan(_)
            | Self::Confirm
            | Self::Verify(_)
            | Self::History => true,
            Self::Status | Self::Apply(_) | Self::Rollback(_) | Self::Recover(_) | Self::Guard(_) | Self::Hold(_) => {
                false
            }
        }
    }
}

#[derive(clap::Args, Debug)]
struct ShowArguments {
    /// The name of the profile, or the path of its file
    profile: String,
}

/// A profile with values for its variables.
#[derive(clap::Args, Debug)]
struct ProfileArguments {
    /// The name of the profile, or the path of its file
    #[arg(value_name = "PROFILE")]
    name: String,
    /// Set a variable of the profile, such as isolated=2-5 (may be repeated)
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = assignment)]
    set: Vec<(String, String)>,
}

impl ProfileArguments {
    fn given(&self) -> BTreeMap<String, String> {
        self.set.iter().cloned().collect()
    }

    fn request(&self) -> Request {
        Request::new(&self.name, self.given())
    }
}

fn assignment(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

pub(crate) fn run(arguments: &Arguments, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    let root = match &arguments.root {
        Some(directory) => {
            Root::at(directory).with_context(|| format!("cannot use {} as the root of a host", directory.display()))?
        }
        None => Root::host(),
    };
    if arguments.verb.warns_about_recovery() {
        warn_about_recovery(&root);
    }
    let out = &mut WithRoot::new(&root, out);
    let outcome = run_verb(arguments, root.clone(), out).map_err(|error| error_with_root(&root, error));
    out.flush()?;
    outcome
}

fn run_verb(arguments: &Arguments, root: Root, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    match &arguments.verb {
        Verb::List => inspect::list(&root, out),
        Verb::Show(show) => inspect::show(&root, &show.profile, out),
        Verb::Explain { knob } => inspect::explain(&root, knob, out),
        Verb::Plan(arguments) => plan::run(&root, arguments, out),
        Verb::Apply(apply) => change::apply(&root, apply, out),
        Verb::Confirm => change::confirm(&root, out),
        Verb::Status => inspect::status(root, out),
        Verb::Verify(verify) => inspect::verify(root, verify, out),
        Verb::Rollback(rollback) => change::rollback(&root, rollback, out),
        Verb::Recover(recover) => change::recover(&root, recover, out),
        Verb::History => inspect::history(&root, out),
        Verb::Guard(guard) => background::guard(&root, guard),
        Verb::Hold(hold) => background::hold(&root, hold),
    }
}

const EXAMPLES: &str = "\
Examples:
  quell tune plan trading
  quell tune apply trading --confirm-within 5m
  quell tune verify
  quell tune rollback";

/// Warns about transactions that must be recovered before the host is changed, and about a change in progress.
fn warn_about_recovery(root: &Root) {
    let lock_holder = Lock::holder(root);
    if let Some(holder) = &lock_holder {
        tracing::warn!("in progress: {holder}");
    }
    // Best effort: only root may read journals.
    let (Ok(transactions), Ok(boot)) = (Store::of(root).transactions(), boot(root)) else { return };
    // An unfinished transaction may be in progress.
    if lock_holder.is_none()
        && let Some(message) = pending_recovery(&transactions.readable, &boot)
    {
        tracing::warn!("{}", with_root(root, &message));
    }
    for (id, _) in &transactions.unreadable {
        let message = format!("transaction {id} cannot be read\nhint: `quell tune status` shows the reason");
        tracing::warn!("{}", with_root(root, &message));
    }
}

fn make_plan(host: &Host, arguments: &ProfileArguments) -> anyhow::Result<Plan> {
    let profile = TuningProfile::load_for(&arguments.name, &host.root)?;
    Ok(tune_plan::plan(host, &profile, &arguments.given())?)
}

/// A message about transactions that must be recovered; `None` if there are none.
fn pending_recovery(transactions: &[Transaction], boot: &str) -> Option<String> {
    let ids = needs_recovery(transactions, boot, BootTime::now());
    let pending = transactions.iter().filter(|transaction| ids.contains(&transaction.id));
    let (interrupted, overdue): (Vec<&Transaction>, Vec<&Transaction>) =
        pending.partition(|transaction| transaction.is_unfinished());
    let describe = |transactions: Vec<&Transaction>, state: &str| {
        let ids: Vec<_> = transactions.iter().map(|transaction| transaction.id.to_string()).collect();
        (!ids.is_empty()).then(|| format!("transaction {} was {state}", ids.join(", ")))
    };
    let messages = [describe(interrupted, "interrupted"), describe(overdue, "not confirmed in time")];
    let messages: Vec<String> = messages.into_iter().flatten().collect();
    (!messages.is_empty()).then(|| format!("{}\nhint: `quell tune recover` rolls it back", messages.join("; ")))
}

/// Checks that no transaction must be recovered before the host is changed.
fn check_recovered(transactions: &[Transaction], boot: &str) -> anyhow::Result<()> {
    match pending_recovery(transactions, boot) {
        Some(message) => bail!(message),
        None => Ok(()),
    }
}

/// The ID of the current boot.
fn boot(root: &Root) -> anyhow::Result<String> {
    root.read("/proc/sys/kernel/random/boot_id").context("could not read the boot ID")
}

/// The current time, in seconds since 1970.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}
