//! CPUs that tests can use.

use std::fs;

use anyhow::{Context as _, Result};
use nix::sched::{CpuSet, sched_getaffinity};
use nix::unistd::Pid;
use quell::units::CpuSet as CpuList;

/// The CPUs that this process may run on.
pub fn allowed() -> Result<Vec<usize>> {
    let set = sched_getaffinity(Pid::this()).context("cannot read this process's affinity")?;
    Ok((0..CpuSet::count()).filter(|cpu| set.is_set(*cpu).unwrap_or(false)).collect())
}

/// An isolated CPU: without the tick if there is one, else without other work (`isolcpus`).
pub fn isolated() -> Option<usize> {
    without_tick().or_else(|| first("isolated"))
}

/// A CPU without the tick while it runs a single thread (`nohz_full`).
pub fn without_tick() -> Option<usize> {
    // The file does not exist without CONFIG_NO_HZ_FULL (drivers/base/cpu.c, 4.2).
    first("nohz_full")
}

/// The first CPU of a list. Without such CPUs, kernels print nothing or `(null)` (lib/vsprintf.c).
fn first(list: &str) -> Option<usize> {
    let text = fs::read_to_string(format!("/sys/devices/system/cpu/{list}")).ok()?;
    let cpus = text.trim().parse::<CpuList>().ok()?;
    cpus.iter().next().map(|cpu| cpu.0 as usize)
}
