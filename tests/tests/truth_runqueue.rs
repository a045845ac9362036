//! Run-queue latencies are those that the kernel itself counts for each thread.

use std::fs;

use anyhow::{Context as _, Result};
use quell::recording::{Histogram, Scope};
use quell_tests::agent::Workdir;
use quell_tests::fixture::{Fixture, Queued};
use quell_tests::recorded::Recorded;
use quell_tests::{needs, turns};

/// How many waits, and how long they were altogether.
#[derive(Clone, Copy, Debug, Default)]
struct Sum {
    waits: u64,
    nanos: f64,
}

fn sum<'a>(histograms: impl Iterator<Item = &'a Histogram>) -> Sum {
    let mut sum = Sum::default();
    for value in histograms.flat_map(|histogram| histogram.counts.iter_recorded()) {
        sum.waits += value.count_since_last_iteration();
        sum.nanos += value.value_iterated_to() as f64 * value.count_since_last_iteration() as f64;
    }
    sum
}

/// The cgroup of the current process in the hierarchy of version 2.
fn own_cgroup() -> Result<String> {
    let cgroups = fs::read_to_string("/proc/self/cgroup")?;
    Ok(cgroups.lines().find_map(|line| line.strip_prefix("0::")).context("no cgroup of version 2")?.to_owned())
}

#[test]
fn waits_are_as_many_and_as_long_as_the_kernel_counts_them() -> Result<()> {
    needs!(Bpf);
    let _alone = turns::alone();
    let mut fixture = Fixture::start("runqueue", &[])?;
    let cpu = quell::host::cpus_online()?.iter().last().context("a CPU")?;
    fixture.pin(cpu.0 as usize)?;
    let dir = Workdir::new()?;
    let pid = fixture.pid().to_string();
    let quell = dir.spawn(["record", "-p", &pid, "--probe", "runqueue", "-o", "x.quell"])?;
    quell.captures()?;
    fixture.go()?;
    let truth: Queued = fixture.finish()?;
    quell.wait()?.expect_code(0)?;
    let recorded = Recorded::read(&dir.path("x.quell"))?;

    let of = |metric: &str, scope: &dyn Fn(&Scope) -> bool| {
        let histograms = recorded.recording.histograms.iter();
        sum(histograms.filter(|histogram| {
            recorded.recording.meta.metrics[histogram.metric.index()].name == metric && scope(&histogram.scope)
        }))
    };
    let everywhere = |metric: &str| of(metric, &|scope| matches!(scope, Scope::Cpu(_)));
    let (woken, preempted) = (everywhere("runqueue.woken"), everywhere("runqueue.preempted"));
    let said = format!("{woken:?} {preempted:?} {truth:?}");
    // Beside those that are in the truth: the main thread waits for the others, and each may wait once more after it has
    // read its own counts.
    let more = |counted: u64, truth: u64| counted.checked_sub(truth).is_some_and(|more| more <= 16);
    assert!(truth.waits > 1_000 && truth.preempted > 20, "{said}");
    assert!(more(woken.waits + preempted.waits, truth.waits), "{said}");
    assert!(more(preempted.waits, truth.preempted), "{said}");
    // A bucket is 1/32 wide, and a wait of the main thread is not in the truth.
    let nanos = woken.nanos + preempted.nanos;
    assert!((nanos / truth.run_delay_ns as f64 - 1.0).abs() < 0.03 + 20e6 / truth.run_delay_ns as f64, "{said}");

    // On one CPU, in one cgroup.
    let cgroup = own_cgroup()?;
    for (metric, all) in [("runqueue.woken", woken), ("runqueue.preempted", preempted)] {
        for one in [
            of(metric, &|scope| *scope == Scope::Cpu(cpu)),
            of(metric, &|scope| *scope == Scope::Cgroup(cgroup.clone())),
        ] {
            assert_eq!(one.waits, all.waits, "{metric}");
        }
    }
    Ok(())
}
