//! How long after its end a capture is written, whichever way it is ended.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::compare::quell;
use crate::contender::{Contender, Started};
use crate::summary::Summary;
use crate::workload::{self, Kind};

const ROUNDS: usize = 3;

/// Captures the whole machine for this long, with the busiest workload for a recorder.
pub(crate) fn run(duration: Duration) -> Result<()> {
    let quell = quell()?;
    let trips = workload::calibrate(Kind::PingPong, duration + duration / 2)?;
    let mut by_duration = Vec::new();
    let mut by_interrupt = Vec::new();
    let mut bytes = Vec::new();
    for _ in 0..ROUNDS {
        let directory = tempfile::tempdir().context("cannot make a temporary directory")?;
        let load = thread::spawn(move || workload::run_apart(Kind::PingPong, trips));
        let seconds = format!("{}s", duration.as_secs());
        let begin = Instant::now();
        let status = Command::new(&quell)
            .args(["record", "-a", "-d", &seconds, "-o", "x.quell"])
            .current_dir(directory.path())
            .stdout(Stdio::null())
            .status()
            .with_context(|| format!("cannot start {}", quell.display()))?;
        if !status.success() {
            bail!("quell record failed: {status}");
        }
        by_duration.push((begin.elapsed().saturating_sub(duration)).as_secs_f64());
        bytes.push(size(&directory.path().join("x.quell"))? as f64 / 1e6);
        load.join().expect("the workload does not panic")?;

        let contender = Contender::find("quell", &quell, &["record", "-a", "-o", "y.quell"]).context("no quell")?;
        let load = thread::spawn(move || workload::run_apart(Kind::PingPong, trips));
        let started = Started::start(&contender, directory.path())?;
        thread::sleep(duration);
        by_interrupt.push(started.stop()?.ending.as_secs_f64());
        load.join().expect("the workload does not panic")?;
    }
    let seconds = duration.as_secs();
    for (what, values, unit) in [
        ("start-up and writing beyond the capture's own time", by_duration, "s"),
        ("from ^C to the end", by_interrupt, "s"),
        ("size of the recording", bytes, "MB"),
    ] {
        let summary = Summary::of(values).context("there was a round")?;
        println!("capture of {seconds} s, {what}: {summary} {unit}");
    }
    Ok(())
}

fn size(directory: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(directory).with_context(|| format!("cannot read {}", directory.display()))? {
        bytes += entry?.metadata()?.len();
    }
    Ok(bytes)
}
