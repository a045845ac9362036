//! Why a thread is off its CPU, by the probe `offcpu`, against the counts of the kernel and the clock of the fixture.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use quell_tests::cgroup::CpuQuota;
use quell_tests::fixture::{Burned, BurnedThread, Fixture};
use quell_tests::recorded::Recorded;
use quell_tests::stops::{is_about, is_about_within, stop_for};

use crate::harness::{Outcome, skip};
use crate::offcpu::begin;

const THROTTLED: &str = "offcpu.throttled";
const STOPPED: &str = "offcpu.stopped";

pub(crate) fn throttled() -> Result<Outcome> {
    // In microseconds: a fifth of a CPU.
    let quota = match CpuQuota::create(20_000, 100_000) {
        Ok(quota) => quota,
        Err(why) => return skip(why),
    };
    let mut burn = Fixture::start("burn", &["--seconds", "1.5"])?;
    quota.take(burn.pid())?;
    let capture = begin(&["-p", &burn.pid().to_string()])?;
    let before = quota.throttled()?;
    burn.go()?;
    let burned: Burned = burn.finish()?;
    let throttled = Duration::from_nanos(quota.throttled()? - before);
    let recorded = capture.ended()?;
    ensure!(throttled > Duration::from_millis(500), "the quota took only {throttled:?}");
    let thread = the_thread(&burned)?;
    is_only_off_for(THROTTLED, &recorded, thread)?;
    // The first thread is throttled too, as the process starts and exits. The kernel counts the time of a run queue, on which a
    // thread may be that sleeps.
    let threads = [burned.pid, thread.tid].map(|tid| recorded.total_for(tid, THROTTLED));
    let found = threads.iter().sum();
    is_about_within(found, &(off_cpu(thread)..=throttled)).with_context(|| format!("{threads:?}"))?;
    Ok(Outcome::Holds)
}

pub(crate) fn stopped() -> Result<Outcome> {
    let mut burn = Fixture::start("burn", &["--seconds", "1"])?;
    let pid = burn.pid();
    let capture = begin(&["-p", &pid.to_string()])?;
    burn.go()?;
    burn.burns()?;
    let truth = stop_for(pid, Duration::from_millis(400))?;
    let burned: Burned = burn.finish()?;
    let recorded = capture.ended()?;
    let thread = the_thread(&burned)?;
    // The first thread, which waits for the other, is stopped too.
    for tid in [burned.pid, thread.tid] {
        is_about_within(recorded.total_for(tid, STOPPED), &truth)
            .with_context(|| format!("thread {tid} of {burned:?}"))?;
    }
    is_only_off_for(STOPPED, &recorded, thread)?;
    Ok(Outcome::Holds)
}

fn the_thread(burned: &Burned) -> Result<&BurnedThread> {
    burned.threads.first().context("a thread that burns")
}

/// A thread that waits for nothing but its CPU was off it for this reason at least as long as by its own clock, which begins after
/// it and ends before it, and for no other reason.
fn is_only_off_for(metric: &str, recorded: &Recorded, thread: &BurnedThread) -> Result<()> {
    let (found, all) = (recorded.total_for(thread.tid, metric), Duration::from_nanos(recorded.total(thread.tid)));
    let said = || format!("{metric}: {found} ns of {all:?} off the CPU, of {thread:?}");
    is_about_within(found, &(off_cpu(thread)..=Duration::MAX)).with_context(said)?;
    is_about(found, all).with_context(said)
}

/// How long a thread was off its CPU by its own clock.
fn off_cpu(thread: &BurnedThread) -> Duration {
    Duration::from_nanos(thread.wall_ns - thread.cpu_ns)
}
