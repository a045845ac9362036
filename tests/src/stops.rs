//! Stops processes for a known time, and compares times that were counted in two ways.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::turns;

/// Stops a process by a signal for `time`, and lets it continue. Returns the time for which all its threads were stopped.
pub fn stop_for(pid: u32, time: Duration) -> Result<Duration> {
    let process = Pid::from_raw(pid.cast_signed());
    kill(process, Signal::SIGSTOP)?;
    turns::until("the process stops", || Ok(is_stopped(pid)?.then_some(())))?;
    let begin = Instant::now();
    // What is measured, not what is waited for.
    std::thread::sleep(time);
    let stopped = begin.elapsed();
    kill(process, Signal::SIGCONT)?;
    Ok(stopped)
}

/// Whether all threads of a process are stopped, by their states in `/proc/PID/task/TID/stat`.
fn is_stopped(pid: u32) -> Result<bool> {
    for thread in fs::read_dir(format!("/proc/{pid}/task")).context("cannot list the threads of a process")? {
        if !fs::read_to_string(thread?.path().join("stat"))?.contains(") T ") {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Fails unless `found`, in nanoseconds, is `truth` within a tenth and 50 ms: two counts of one time.
pub fn is_about(found: u64, truth: Duration) -> Result<()> {
    let allowed = truth / 10 + Duration::from_millis(50);
    ensure!(Duration::from_nanos(found).abs_diff(truth) < allowed, "{found} ns, and {truth:?} by the other count");
    Ok(())
}
