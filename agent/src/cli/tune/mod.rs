//! `quell tune`: one file for each group of its verbs.

mod ask;
mod background;
mod change;
mod look;
mod plan;
mod text;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, bail};
use quell::host::{Host, Root};
use quell::tune::journal::{Store, Transaction};
use quell::tune::profile::TuningProfile;
use quell::tune::{self, BootTime, Lock, Plan, Request, to_recover};

use super::Outcome;

/// Sets this host up: plan, apply, verify and undo, as a transaction
#[derive(clap::Args, Debug)]
pub(crate) struct Arguments {
    /// A tree that stands for the host, in place of /
    #[arg(long, value_name = "DIR", global = true)]
    root: Option<PathBuf>,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(clap::Subcommand, Debug)]
enum Verb {
    /// Lists profiles
    List,
    /// Shows what a profile wants, with its reasons
    Show(Named),
    /// Explains a knob
    Explain {
        /// Its id: `quell list knobs` shows them
        knob: String,
    },
    /// Shows what a profile would change; changes nothing and needs no root
    Plan(plan::Arguments),
    /// Changes what a profile wants changed, all of it or nothing
    Apply(change::Apply),
    /// Keeps what was applied with --confirm-within
    Confirm,
    /// Shows which transactions are in force
    Status,
    /// Compares what was applied with what is
    Verify(look::Verify),
    /// Puts back what was before
    Rollback(change::Rollback),
    /// Undoes what a crash or a missing confirmation left
    Recover(change::Recover),
    /// Lists every transaction
    History,
    /// Undoes what is not confirmed in time (started by apply)
    #[command(hide = true)]
    Guard(background::Guard),
    /// Keeps open what a transaction needs open (started by apply)
    #[command(hide = true)]
    Hold(background::Hold),
}

impl Arguments {
    /// The verb as `quell::privileges::table` names it: a tree takes no privileges, whatever is done with it.
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
    /// Whether it goes on where there is something to deal with. `status` says that as part of what it shows; the others fail of
    /// it, or deal with it.
    fn only_looks(&self) -> bool {
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

/// A profile.
#[derive(clap::Args, Debug)]
struct Named {
    /// A profile's name, or the path of its file
    profile: String,
}

/// A profile, with values for its variables.
#[derive(clap::Args, Debug)]
struct Chosen {
    /// A profile's name, or the path of its file
    profile: String,
    /// A value for a variable of the profile, as in isolated=2-5 (may be repeated)
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = assignment)]
    set: Vec<(String, String)>,
}

impl Chosen {
    fn given(&self) -> BTreeMap<String, String> {
        self.set.iter().cloned().collect()
    }

    fn request(&self) -> Request {
        Request::new(&self.profile, self.given())
    }
}

fn assignment(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write it as NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

pub(crate) fn run(arguments: &Arguments, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    let root = match &arguments.root {
        Some(directory) => Root::at(directory).with_context(|| format!("{} is no host's tree", directory.display()))?,
        None => Root::host(),
    };
    if arguments.verb.only_looks() {
        told_first(&root);
    }
    match &arguments.verb {
        Verb::List => look::list(&root, out),
        Verb::Show(named) => look::show(&root, &named.profile, out),
        Verb::Explain { knob } => look::explain(&root, knob, out),
        Verb::Plan(arguments) => plan::run(&root, arguments, out),
        Verb::Apply(apply) => change::apply(&root, apply, out),
        Verb::Confirm => change::confirm(&root, out),
        Verb::Status => look::status(root, out),
        Verb::Verify(verify) => look::verify(root, verify, out),
        Verb::Rollback(rollback) => change::rollback(&root, rollback, out),
        Verb::Recover(recover) => change::recover(&root, recover, out),
        Verb::History => look::history(&root, out),
        Verb::Guard(guard) => background::guard(&root, guard),
        Verb::Hold(hold) => background::hold(&root, hold),
    }
}

/// Says what must be dealt with before this host is changed, and who is changing it.
fn told_first(root: &Root) {
    let at_work = Lock::holder(root);
    if let Some(who) = &at_work {
        tracing::warn!("being changed now: {who}");
    }
    // To look needs no root, and the journal may be for root only.
    let (Ok(transactions), Ok(boot)) = (Store::of(root).transactions(), boot(root)) else { return };
    // What is unfinished may be what is being done.
    if at_work.is_none()
        && let Some(why) = unfinished(&transactions.readable, &boot)
    {
        tracing::warn!("{why}");
    }
    for (id, _) in &transactions.broken {
        tracing::warn!("transaction {id} cannot be read: `quell tune status` says why");
    }
}

/// What a profile would change on a host.
fn planned(host: &Host, chosen: &Chosen) -> anyhow::Result<Plan> {
    Ok(tune::planned(host, &TuningProfile::load_for(&chosen.profile, &host.root)?, &chosen.given())?)
}

/// What must be dealt with first, in words.
fn unfinished(transactions: &[Transaction], boot: &str) -> Option<String> {
    let ids = to_recover(transactions, boot, BootTime::now());
    let (cut, late): (Vec<&Transaction>, Vec<&Transaction>) =
        transactions.iter().filter(|transaction| ids.contains(&transaction.id)).partition(|one| one.is_unfinished());
    let said = [(cut, "cut short"), (late, "not confirmed in time")].into_iter().filter(|(which, _)| !which.is_empty());
    let said: Vec<String> = said
        .map(|(which, what)| {
            let ids: Vec<_> = which.iter().map(|transaction| transaction.id.to_string()).collect();
            format!("transaction {} was {what}", ids.join(", "))
        })
        .collect();
    (!said.is_empty()).then(|| format!("{}: `quell tune recover` undoes it", said.join("; ")))
}

/// Fails where a verb would change something on top of what must be dealt with first.
fn must_be_finished(transactions: &[Transaction], boot: &str) -> anyhow::Result<()> {
    match unfinished(transactions, boot) {
        Some(why) => bail!(why),
        None => Ok(()),
    }
}

/// The boot that a host is in.
fn boot(root: &Root) -> anyhow::Result<String> {
    root.read("/proc/sys/kernel/random/boot_id").context("cannot tell which boot this is")
}

/// Seconds since 1970.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}
