//! `quell tune plan`.

use std::io::Write;

use quell::host::{Host, Root};
use quell::tune::Lock;
use quell::tune::journal::Store;

use super::{Chosen, planned, text, unfinished};
use crate::cli::Outcome;

#[derive(clap::Args, Debug)]
pub(super) struct Arguments {
    #[command(flatten)]
    chosen: Chosen,
    /// For programs
    #[arg(long)]
    json: bool,
}

pub(super) fn run(root: &Root, arguments: &Arguments, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    let host = Host::read(root.clone())?;
    // To plan needs no root, and the journal may be for root only.
    if let Some(holder) = Lock::holder(root) {
        tracing::warn!("being changed now: {holder}");
    } else if let Ok(transactions) = Store::of(root).transactions()
        && let Some(why) = unfinished(&transactions.readable, &host.boot)
    {
        tracing::warn!("{why}");
    }
    let plan = planned(&host, &arguments.chosen)?;
    if arguments.json {
        serde_json::to_writer_pretty(&mut *out, &plan)?;
        writeln!(out)?;
    } else {
        text::plan(&plan, out)?;
    }
    Ok(Outcome::Done)
}
