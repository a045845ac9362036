//! Compares the run-queue latency in a recording with the kernel's counts for the threads of the fixture `runqueue`.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use quell::recording::{Histogram, Scope};
use quell::units::CpuId;

use crate::fixture::Queued;
use crate::recorded::Recorded;

/// The number of waits, and their total and maximum duration in nanoseconds.
#[derive(Clone, Copy, Debug, Default)]
struct Sum {
    waits: u64,
    nanos: f64,
    longest: f64,
}

impl Sum {
    fn of<'a>(histograms: impl Iterator<Item = &'a Histogram>) -> Self {
        let mut sum = Self::default();
        for value in histograms.flat_map(|histogram| histogram.counts.iter_recorded()) {
            sum.longest = sum.longest.max(value.value_iterated_to() as f64);
            sum.waits += value.count_since_last_iteration();
            sum.nanos += value.value_iterated_to() as f64 * value.count_since_last_iteration() as f64;
        }
        sum
    }
}

/// The sum of the histograms of a metric, for the scopes that `chosen` selects.
fn sum(recorded: &Recorded, metric: &str, chosen: impl Fn(&Scope) -> bool) -> Sum {
    let metrics = &recorded.recording.meta.metrics;
    let histograms = recorded.recording.histograms.iter();
    Sum::of(histograms.filter(|histogram| metrics[histogram.metric.index()].name == metric && chosen(&histogram.scope)))
}

/// The cgroup (version 2) of the current process.
fn own_cgroup() -> Result<String> {
    let cgroups = fs::read_to_string("/proc/self/cgroup")?;
    Ok(cgroups.lines().find_map(|line| line.strip_prefix("0::")).context("no cgroup of version 2")?.to_owned())
}

/// Fails unless the recording contains all waits of the fixture, and at most `exits` others. The fixture ran on one CPU, in
/// the cgroup of the current process. A thread may wait again when it exits, after it has read its own counts.
pub fn check(recorded: &Recorded, truth: &Queued, cpu: CpuId, exits: u64) -> Result<()> {
    let everywhere = |metric: &str| sum(recorded, metric, |scope| matches!(scope, Scope::Cpu(_)));
    let (woken, preempted) = (everywhere("runqueue.woken"), everywhere("runqueue.preempted"));
    let said = format!("{woken:?} {preempted:?} {truth:?}");
    ensure!(truth.waits > 1_000 && truth.preempted > 20, "the fixture waited too seldom: {said}");
    let agrees = |counted: u64, truth: u64| counted.checked_sub(truth).is_some_and(|more| more <= exits);
    ensure!(agrees(woken.waits + preempted.waits, truth.waits), "waits: {said}");
    ensure!(agrees(preempted.waits, truth.preempted), "waits after preemption: {said}");
    // A bucket is 1/32 of its values wide. Each wait that is missing in the kernel's counts is at most as long as the
    // longest one.
    let more = (woken.waits + preempted.waits - truth.waits) as f64 * woken.longest.max(preempted.longest);
    let (nanos, truth) = (woken.nanos + preempted.nanos, truth.run_delay_ns as f64);
    ensure!((0.97 * truth..1.03 * truth + more).contains(&nanos), "length of the waits: {said}");
    let cgroup = own_cgroup()?;
    for (metric, all) in [("runqueue.woken", woken), ("runqueue.preempted", preempted)] {
        let on_cpu = sum(recorded, metric, |scope| *scope == Scope::Cpu(cpu));
        ensure!(on_cpu.waits == all.waits, "{metric}: {} waits on {cpu}: {said}", on_cpu.waits);
        let in_cgroup = sum(recorded, metric, |scope| *scope == Scope::Cgroup(cgroup.clone()));
        ensure!(in_cgroup.waits == all.waits, "{metric}: {} waits in {cgroup}: {said}", in_cgroup.waits);
    }
    Ok(())
}
