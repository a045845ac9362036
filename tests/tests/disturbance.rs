//! What a capture does to CPUs that it should leave alone.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use nix::sys::signal::Signal;
use quell_tests::agent::Workdir;
use quell_tests::fixture::{Burned, Fixture};
use quell_tests::{needs, skip, turns};

/// An instance of tracefs with one event. Dropping it removes it.
struct Traced {
    directory: PathBuf,
}

impl Traced {
    /// `None` if the kernel does not have the event, or tracefs is not mounted.
    fn new(event: &str) -> Result<Option<Self>> {
        let directory = PathBuf::from(format!("/sys/kernel/tracing/instances/quell-test-{}", std::process::id()));
        if fs::create_dir(&directory).is_err() {
            return Ok(None);
        }
        let traced = Self { directory };
        let enable = traced.directory.join("events").join(event).join("enable");
        if !enable.exists() {
            return Ok(None);
        }
        fs::write(enable, "1").context("cannot enable the event")?;
        Ok(Some(traced))
    }

    /// Forgets all events so far.
    fn clear(&self) -> Result<()> {
        fs::write(self.directory.join("trace"), "").context("cannot clear the trace")
    }

    /// The events of quell and its children, but those by which its own processes wake one another, and those of pages that they
    /// copy or give back.
    fn of_quell(&self) -> Result<Vec<String>> {
        let trace = fs::read_to_string(self.directory.join("trace")).context("cannot read the trace")?;
        let is_wakeup = |line: &str| line.contains("sched_ttwu_pending");
        // A child that was forked copies a page when it first writes to it. If the process ran on another CPU before, the kernel
        // flushes that CPU's entry for the page: seldom more than twice in a capture, and never on a CPU that quell keeps off.
        let is_page = |line: &str| line.contains("flush_tlb_func");
        let lines =
            trace.lines().filter(|line| line.trim_start().starts_with("quell-") && line.contains("csd_queue_cpu"));
        Ok(lines.filter(|line| !is_wakeup(line) && !is_page(line)).map(str::to_owned).collect())
    }
}

impl Drop for Traced {
    fn drop(&mut self) {
        let _ = fs::write(self.directory.join("events/enable"), "0");
        let _ = fs::remove_dir(&self.directory);
    }
}

#[test]
fn a_capture_calls_no_function_on_other_cpus_between_its_start_and_its_end() -> Result<()> {
    needs!(Bpf);
    // 6.4, commit 949fa3f11ced.
    let Some(traced) = Traced::new("csd/csd_queue_cpu")? else { skip!("the event csd_queue_cpu of tracefs") };
    let _alone = turns::alone();
    let dir = Workdir::new()?;
    // With a budget, so that rates fall too.
    let mut burn = Fixture::start("burn", &["--seconds", "1.5", "--threads", "2"])?;
    let quell = dir.spawn(["record", "-a", "-F", "997", "-o", "x.quell"])?;
    quell.captures()?;
    traced.clear()?;
    burn.go()?;
    let _: Burned = burn.finish()?;
    let calls = traced.of_quell()?;
    quell.signal(Signal::SIGINT)?;
    quell.wait()?.expect_code(0)?;
    assert_eq!(calls, Vec::<String>::new());
    // At its start and end it does: the test would see them.
    assert_ne!(traced.of_quell()?, Vec::<String>::new());
    Ok(())
}
