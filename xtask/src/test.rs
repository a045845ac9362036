//! Runs the tests, and prints a list of skipped tests at the end.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{ChildStderr, Command, Stdio};
use std::thread;
use std::time::Instant;

use anyhow::{Context as _, Result, anyhow};

use crate::{Outcome, root};

/// The prefix of a line about a skipped test (`tests/src/needs.rs`).
const SKIPPED: &str = "SKIPPED: ";

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Run also the long tests: statistics over many captures, and complete tables of cases
    #[arg(long)]
    all: bool,
    /// Run only tests with one of these in their names; also other options of the test harness
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
    println!(
        "{} tests were skipped because of missing requirements; {} s including the build",
        skipped.len(),
        begin.elapsed().as_secs()
    );
    if !args.all {
        println!("long tests were not run: cargo xtask test --all");
    }
    Ok(if status.success() { Outcome::Clean } else { Outcome::Found })
}

/// Copies the stderr of cargo and the tests, and returns the lines about skipped tests.
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
