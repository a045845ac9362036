//! Why a thread does not run, said by what the kernel and the test count themselves.

use std::time::Duration;

use anyhow::{Result, ensure};
use quell_tests::agent::Workdir;
use quell_tests::cgroup::CpuQuota;
use quell_tests::fixture::{Blocked, Burned, Fixture};
use quell_tests::recorded::Recorded;
use quell_tests::stops::{is_about, is_about_within, stop_for};
use quell_tests::{needs, skip, turns, uring};

const FLAGS: [&str; 4] = ["--probe", "offcpu", "-o", "x.quell"];

#[test]
fn time_beyond_a_cpu_quota_is_throttled_and_not_preempted() -> Result<()> {
    needs!(Bpf);
    let _alone = turns::alone();
    let dir = Workdir::new()?;
    let quota = match CpuQuota::create(20_000, 100_000) {
        Ok(quota) => quota,
        Err(why) => skip!(&why),
    };
    let mut burn = Fixture::start("burn", &["--seconds", "1.5"])?;
    quota.take(burn.pid())?;
    let quell = dir.spawn([&["record", "-p", &burn.pid().to_string()][..], &FLAGS].concat())?;
    quell.captures()?;
    let before = quota.throttled()?;
    burn.go()?;
    let burned: Burned = burn.finish()?;
    let throttled = Duration::from_nanos(quota.throttled()? - before);
    quell.wait()?.expect_code(0)?;
    let recorded = Recorded::read(&dir.path("x.quell"))?;
    ensure!(throttled > Duration::from_millis(500), "the quota took only {throttled:?}");
    // At least by the clock of the thread, which begins after it, and at most by the count of the kernel, which has the first
    // thread too.
    let thread = &burned.threads[0];
    let least = Duration::from_nanos(thread.wall_ns - thread.cpu_ns);
    is_about_within(recorded.total_for(thread.tid, "offcpu.throttled"), &(least..=throttled))
}

#[test]
fn a_process_that_a_signal_stops_is_stopped_and_not_blocked() -> Result<()> {
    needs!(Bpf);
    let _alone = turns::alone();
    let dir = Workdir::new()?;
    let mut burn = Fixture::start("burn", &["--seconds", "1"])?;
    let pid = burn.pid();
    let quell = dir.spawn([&["record", "-p", &pid.to_string()][..], &FLAGS].concat())?;
    quell.captures()?;
    burn.go()?;
    burn.burns()?;
    let truth = stop_for(pid, Duration::from_millis(400))?;
    let burned: Burned = burn.finish()?;
    quell.wait()?.expect_code(0)?;
    let recorded = Recorded::read(&dir.path("x.quell"))?;
    is_about_within(recorded.total_for(burned.pid, "offcpu.stopped"), &truth)
}

/// The kernel marks a thread that waits in io_uring_enter(2) as waiting for I/O (`in_iowait`), whatever it waits for
/// (io_cqring_wait, io_uring/io_uring.c, 6.5): also one that waits for a client, or for a timeout.
#[test]
fn a_thread_that_waits_for_io_uring_is_blocked_and_not_waiting_for_io() -> Result<()> {
    needs!(Bpf, Other("io_uring", uring::is_permitted));
    let _alone = turns::alone();
    let dir = Workdir::new()?;
    let mut waiting = Fixture::start("uring", &[])?;
    let quell = dir.spawn([&["record", "-p", &waiting.pid().to_string()][..], &FLAGS].concat())?;
    quell.captures()?;
    waiting.go()?;
    let waited: Blocked = waiting.finish()?;
    quell.wait()?.expect_code(0)?;
    let recorded = Recorded::read(&dir.path("x.quell"))?;
    for thread in &waited.threads {
        let truth = Duration::from_nanos(thread.off_cpu_ns);
        ensure!(truth > Duration::from_millis(200), "it waited only for {truth:?}");
        is_about(recorded.total(thread.tid), truth)?;
        let of_io = recorded.total_for(thread.tid, "offcpu.io-wait");
        ensure!(of_io < thread.off_cpu_ns / 20, "{of_io} ns are waits for I/O, of {truth:?}");
    }
    Ok(())
}
