//! The BPF programs of a process, and what the kernel says they cost.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result};
use aya::programs::loaded_programs;

/// Runs of a BPF program, and the time they took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Runs {
    pub(crate) count: u64,
    pub(crate) time: Duration,
}

/// The ids of the BPF programs that a process holds open: its own, whoever else loads some meanwhile.
pub(crate) fn held_by(pid: u32) -> Vec<u32> {
    // The process may end at any moment; then it holds none.
    let Ok(descriptors) = fs::read_dir(format!("/proc/{pid}/fdinfo")) else { return Vec::new() };
    let texts = descriptors.flatten().filter_map(|descriptor| fs::read_to_string(descriptor.path()).ok());
    let ids = texts.filter_map(|text| text.lines().find_map(|line| line.strip_prefix("prog_id:")?.trim().parse().ok()));
    let mut ids: Vec<u32> = ids.collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}

/// What these programs have cost so far, by name. Counted only while statistics are enabled.
pub(crate) fn runs(ids: &[u32]) -> Result<BTreeMap<String, Runs>> {
    let mut found: BTreeMap<String, Runs> = BTreeMap::new();
    for program in loaded_programs() {
        // One that was unloaded between its listing and this is not among those asked for.
        let Ok(program) = program else { continue };
        if ids.contains(&program.id()) {
            let runs = found.entry(String::from_utf8_lossy(program.name()).into_owned()).or_default();
            runs.count += program.run_count();
            runs.time += program.run_time();
        }
    }
    Ok(found)
}

/// What was added between two readings.
pub(crate) fn since(before: &BTreeMap<String, Runs>, after: BTreeMap<String, Runs>) -> BTreeMap<String, Runs> {
    let added = after.into_iter().map(|(name, runs)| {
        let earlier = before.get(&name).copied().unwrap_or_default();
        let count = runs.count.saturating_sub(earlier.count);
        (name, Runs { count, time: runs.time.saturating_sub(earlier.time) })
    });
    added.collect()
}

/// Context switches of the machine since it started (`ctxt` in /proc/stat, fs/proc/stat.c).
pub(crate) fn context_switches() -> Result<u64> {
    let text = fs::read_to_string("/proc/stat").context("cannot read /proc/stat")?;
    let line = text.lines().find_map(|line| line.strip_prefix("ctxt ")).context("no `ctxt` in /proc/stat")?;
    Ok(line.trim().parse()?)
}
