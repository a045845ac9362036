//! `quell tune plan`.

use std::io::Write;

use quell::host::{Host, Root};

use super::{Chosen, planned, text};
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
    let plan = planned(&host, &arguments.chosen)?;
    if arguments.json {
        serde_json::to_writer_pretty(&mut *out, &plan)?;
        writeln!(out)?;
    } else {
        text::plan(&plan, out)?;
    }
    Ok(Outcome::Done)
}
