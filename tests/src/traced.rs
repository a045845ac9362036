//! Events that the kernel traces during a test.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result};

/// The call of a function on another CPU, by an interrupt (6.4, commit 949fa3f11ced).
pub const CALL: &str = "csd/csd_queue_cpu";

/// The functions whose calls are not quell's, although it is the thread that runs:
///
/// - `sched_ttwu_pending`, `__hrtick_start`: the scheduler, where a thread is woken.
/// - `nohz_csd_func`: the scheduler, which moves threads to idle CPUs when the tick interrupts whoever runs.
/// - `flush_tlb_func`: a child that was forked copies a page when it first writes to it. If the process ran on another CPU before,
///   the kernel flushes that CPU's entry for the page: seldom more than twice in a capture, and never on a CPU that quell keeps
///   off.
const OF_OTHERS: [&str; 4] = ["sched_ttwu_pending", "__hrtick_start", "nohz_csd_func", "flush_tlb_func"];

/// An instance of tracefs with one event. Dropping it removes it.
#[derive(Debug)]
pub struct Traced {
    directory: PathBuf,
}

impl Traced {
    /// Starts tracing. Returns `None` if the kernel does not have the event, or tracefs is not mounted.
    pub fn new(event: &str) -> Result<Option<Self>> {
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
    pub fn clear(&self) -> Result<()> {
        fs::write(self.directory.join("trace"), "").context("cannot clear the trace")
    }

    /// The calls ([`CALL`]) of quell and its children, except [`OF_OTHERS`].
    pub fn calls_of_quell(&self) -> Result<Vec<String>> {
        let trace = fs::read_to_string(self.directory.join("trace")).context("cannot read the trace")?;
        let is_quell = |line: &&str| line.trim_start().starts_with("quell-") && line.contains("csd_queue_cpu");
        let is_other = |line: &&str| OF_OTHERS.iter().any(|function| line.contains(function));
        Ok(trace.lines().filter(is_quell).filter(|line| !is_other(line)).map(str::to_owned).collect())
    }
}

impl Drop for Traced {
    fn drop(&mut self) {
        let _ = fs::write(self.directory.join("events/enable"), "0");
        let _ = fs::remove_dir(&self.directory);
    }
}
