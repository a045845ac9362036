//! `cargo xtask bench`: makes release builds and runs the benchmarks.

use std::process::Command;

use anyhow::Result;

use crate::{Outcome, root, run};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The benchmark and its options (`--help` lists both)
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
