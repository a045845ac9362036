//! CPUs that tests can choose from.

use std::fs;

use anyhow::{Context as _, Result};
use nix::sched::{CpuSet, sched_getaffinity};
use nix::unistd::Pid;
use quell::units::CpuSet as CpuList;

/// Those that this process may run on.
pub fn allowed() -> Result<Vec<usize>> {
    let set = sched_getaffinity(Pid::this()).context("cannot read this process's affinity")?;
    Ok((0..CpuSet::count()).filter(|cpu| set.is_set(*cpu).unwrap_or(false)).collect())
}

/// One that the scheduler keeps free of other work (`isolcpus`), and of the tick if there is such a one (`nohz_full`).
pub fn isolated() -> Option<usize> {
    // Of kernels without CONFIG_NO_HZ_FULL the first is not there (drivers/base/cpu.c, 4.2). Where there are none some
    // print nothing, some `(null)` (lib/vsprintf.c).
    let first = |list: &str| {
        let text = fs::read_to_string(format!("/sys/devices/system/cpu/{list}")).ok()?;
        text.trim().parse::<CpuList>().ok()?.iter().next()
    };
    ["nohz_full", "isolated"].into_iter().find_map(first).map(|cpu| cpu.0 as usize)
}
