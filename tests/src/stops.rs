//! Stops processes for a known time, and compares times that were counted in two ways.

use std::fs;
use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::turns;

/// Stops a process by a signal for `time`, and lets it continue. Returns the least and the most time for which each of its threads
/// was stopped: they differ by the time that the process takes to stop, and the test to notice it.
pub fn stop_for(pid: u32, time: Duration) -> Result<RangeInclusive<Duration>> {
    let process = Pid::from_raw(pid.cast_signed());
    let running = Instant::now();
    kill(process, Signal::SIGSTOP)?;
    turns::until("the process stops", || Ok(is_stopped(pid)?.then_some(())))?;
    let stopped = Instant::now();
    // What is measured, not what is waited for.
    std::thread::sleep(time);
    let least = stopped.elapsed();
    kill(process, Signal::SIGCONT)?;
    Ok(least..=running.elapsed())
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

/// Fails unless `found`, in nanoseconds, is about `truth`: two counts of one time.
pub fn is_about(found: u64, truth: Duration) -> Result<()> {
    is_about_within(found, &(truth..=truth))
}

/// Fails unless `found`, in nanoseconds, is within a range, or beyond it by at most a tenth and 50 ms.
pub fn is_about_within(found: u64, truth: &RangeInclusive<Duration>) -> Result<()> {
    const SLACK: Duration = Duration::from_millis(50);
    let (least, most) = (*truth.start(), *truth.end());
    let (least, most) = (least.saturating_sub(least / 10 + SLACK), most.saturating_add(most / 10 + SLACK));
    let is_within = (least..=most).contains(&Duration::from_nanos(found));
    ensure!(is_within, "{found} ns, and {truth:?} by the other count");
    Ok(())
}
