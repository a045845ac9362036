//! Runs the tests, and repeats at the end which were skipped and why.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{ChildStderr, Command, Stdio};
use std::thread;
use std::time::Instant;

use anyhow::{Context as _, Result, anyhow};

use crate::{Outcome, root};

/// How a line begins by which a test says that it needs something that is missing (`tests/src/needs.rs`).
const SKIPPED: &str = "SKIPPED: ";

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The long tests too: statistics over many captures, and every case of a table
    #[arg(long)]
    all: bool,
    /// Only tests with one of these in their names, and other options of the test harness
    #[arg(last = true, value_name = "FILTER")]
    harness: Vec<String>,
}

pub(crate) fn run_task(args: &Args) -> Result<Outcome> {
    let begin = Instant::now();
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(root()).args(["test", "--no-fail-fast", "--"]);
    if args.all {
        cargo.arg("--include-ignored");
    }
    let mut child = cargo.args(&args.harness).stdin(Stdio::null()).stderr(Stdio::piped()).spawn()?;
    let stderr = child.stderr.take().context("a pipe")?;
    let skipped = thread::spawn(move || pass_on(stderr));
    let status = child.wait().context("cannot wait for cargo")?;
    let skipped = skipped.join().map_err(|_| anyhow!("a thread panicked"))?;
    println!();
    for line in &skipped {
        println!("{line}");
    }
    println!("{} tests skipped for want of something, {} s with the build", skipped.len(), begin.elapsed().as_secs());
    if !args.all {
        println!("long tests were not run: cargo xtask test --all");
    }
    Ok(if status.success() { Outcome::Clean } else { Outcome::Found })
}

/// Copies what cargo and the tests print to stderr, and gives the lines of skipped tests.
fn pass_on(from: ChildStderr) -> Vec<String> {
    let mut skipped = Vec::new();
    for line in BufReader::new(from).split(b'\n').map_while(Result::ok) {
        // A closed stderr does not end the tests.
        let _ = std::io::stderr().write_all(&line).and_then(|()| std::io::stderr().write_all(b"\n"));
        let line = String::from_utf8_lossy(&line);
        // Tests print at the same time: a line may begin in the middle of one.
        if let Some(start) = line.find(SKIPPED) {
            skipped.push(line[start..].to_owned());
        }
    }
    skipped.sort();
    skipped
}
