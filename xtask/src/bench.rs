//! `cargo xtask bench`: builds what is measured, in release, and runs the benches.

use std::process::Command;

use anyhow::Result;

use crate::{Outcome, root, run};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// What to measure, and the options of that measurement (`--help` lists both)
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, default_value = "--help")]
    bench: Vec<String>,
}

pub(crate) fn run_task(args: &Args) -> Result<Outcome> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    run(Command::new(&cargo).current_dir(root()).args(["build", "--release", "--bin=quell", "--bin=overhead"]))?;
    run(Command::new(&cargo)
        .current_dir(root())
        .args(["run", "--quiet", "--release", "--bin=overhead", "--"])
        .args(&args.bench))?;
    Ok(Outcome::Clean)
}
