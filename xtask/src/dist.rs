//! Builds quell for distribution: a stripped binary, and a file with its debug information.
//!
//! The binary names that file and its checksum (`.gnu_debuglink`). The standard library, gdb, perf and addr2line look for
//! it beside the binary, in `.debug` there, and below `/usr/lib/debug`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::{Outcome, root, run};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The directory for the two files
    #[arg(long, value_name = "DIR", default_value = "target/dist")]
    output: PathBuf,
}

pub(crate) fn run_task(args: &Args) -> Result<Outcome> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    run(Command::new(cargo).current_dir(root()).args(["build", "--package=quell", "--bin=quell", "--profile=dist"]))?;
    let folder = root().join(&args.output);
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    split(&root().join("target/dist/quell"), &folder)?;
    Ok(Outcome::Clean)
}

/// Copies a binary to `folder`: `quell` without debug information, and `quell.debug` with only the debug information.
fn split(built: &Path, folder: &Path) -> Result<()> {
    let (binary, debug) = (folder.join("quell"), folder.join("quell.debug"));
    // Under another name first: the folder may be that of the built binary, which cargo keeps for its next build.
    let stripped = folder.join("quell.stripped");
    run(Command::new("objcopy").args(["--only-keep-debug", "--compress-debug-sections"]).arg(built).arg(&debug))?;
    // Symbols stay: names of functions in a backtrace without the other file, and in what perf shows of quell.
    let link = debug.file_name().context("a name")?.to_string_lossy().into_owned();
    run(Command::new("objcopy")
        .current_dir(folder)
        .arg("--strip-debug")
        .arg(format!("--add-gnu-debuglink={link}"))
        .arg(built)
        .arg(&stripped))?;
    // A file of its own: the built one is a hard link to cargo's.
    fs::rename(&stripped, &binary).with_context(|| format!("cannot replace {}", binary.display()))?;
    for path in [&binary, &debug] {
        let shown = path.strip_prefix(root()).unwrap_or(path);
        println!("{:>7.1} MB  {}", fs::metadata(path)?.len() as f64 / 1e6, shown.display());
    }
    Ok(())
}
