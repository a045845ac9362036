//! What a capture does to CPUs that it should leave alone.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use perf_event::Builder;
use perf_event::events::Software;
use quell_tests::capture::Capture;
use quell_tests::cpus;
use quell_tests::fixture::{Burned, Fixture};
use quell_tests::traced::{CALL, Traced};

use crate::harness::{Outcome, skip};

/// The functions that quell calls on other CPUs: none, but at the start and the end of a capture.
pub(crate) fn no_ipis() -> Result<Outcome> {
    let Some(traced) = Traced::new(CALL)? else { return skip("this kernel has no event csd_queue_cpu") };
    // With a budget, so that rates fall too.
    let mut burn = Fixture::start("burn", &["--seconds", "1.5", "--threads", "2"])?;
    let capture = Capture::begin(&["-a", "-F", "997"])?;
    traced.clear()?;
    burn.go()?;
    let _: Burned = burn.finish()?;
    let calls = traced.calls_of_quell()?;
    capture.stopped()?;
    ensure!(calls.is_empty(), "{calls:#?}");
    ensure!(!traced.calls_of_quell()?.is_empty(), "none at the end either: this test would see none");
    Ok(Outcome::Holds)
}

/// The most interrupts that a CPU has in a second without a tick: a fifth of the slowest tick (`CONFIG_HZ=100`).
const MOST_WITHOUT_TICK: u64 = 20;

pub(crate) fn tick_stays_off() -> Result<Outcome> {
    let Some(cpu) = cpus::without_tick() else { return skip("this kernel is built without CONFIG_NO_HZ_FULL") };
    let alone = interrupts_in_a_busy_second(cpu)?;
    if alone > MOST_WITHOUT_TICK {
        return skip("the tick of a CPU that runs one thread does not stop here");
    }
    let capture = Capture::begin(&["-a"])?;
    let captured = interrupts_in_a_busy_second(cpu)?;
    capture.stopped()?;
    // For an event with a frequency the kernel keeps every tick, whatever the CPU of the event (`account_freq_event_nohz`,
    // kernel/events/core.c): the test sees a tick that is on. Not one of a timer, whose frequency the kernel makes a period.
    let mut event = Builder::new(Software::DUMMY);
    event.any_pid().one_cpu(0).include_kernel().sample_frequency(1);
    let event = event.build().context("cannot open an event with a frequency")?;
    let ticking = interrupts_in_a_busy_second(cpu)?;
    drop(event);
    let said =
        format!("interrupts of the timer of CPU {cpu}: {alone}, {captured} during a capture, {ticking} with a tick");
    // Not as many as in a second of the tick: a virtual CPU that its host does not run misses some.
    ensure!(ticking > 2 * MOST_WITHOUT_TICK, "{said}");
    ensure!(captured <= MOST_WITHOUT_TICK, "{said}");
    Ok(Outcome::Holds)
}

/// The interrupts of the local timer of a CPU that runs one thread for a second.
fn interrupts_in_a_busy_second(cpu: usize) -> Result<u64> {
    let mut burn = Fixture::start("burn", &["--seconds", "1"])?;
    burn.pin(cpu)?;
    burn.go()?;
    // The threads that start it run there too, and with more than one the tick is on.
    burn.burns()?;
    let before = timer_interrupts(cpu)?;
    let _: Burned = burn.finish()?;
    Ok(timer_interrupts(cpu)? - before)
}

/// The interrupts of the local timer of a CPU so far (`LOC` of `/proc/interrupts`, on x86).
fn timer_interrupts(cpu: usize) -> Result<u64> {
    let path = "/proc/interrupts";
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {path}"))?;
    let count = || {
        let mut lines = text.lines();
        let column = lines.next()?.split_whitespace().position(|name| name == format!("CPU{cpu}"))?;
        let counts = lines.find_map(|line| line.trim_start().strip_prefix("LOC:"))?;
        counts.split_whitespace().nth(column)?.parse().ok()
    };
    count().with_context(|| format!("no LOC of CPU {cpu} in {path}:\n{text}"))
}
