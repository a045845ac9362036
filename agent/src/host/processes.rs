//! Which processes there are.

use std::fs;
use std::path::Path;

use crate::units::Pid;

/// Every process, as they are now; none where `/proc` cannot be listed.
#[must_use]
pub fn processes() -> Vec<Pid> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok().map(Pid)).collect()
}

/// The processes of a cgroup and of those below it, as they are now. Those that cannot be read are left out: they may have
/// gone while this reads.
#[must_use]
pub fn processes_in(cgroup: &Path) -> Vec<Pid> {
    let mut pids: Vec<Pid> = fs::read_to_string(cgroup.join("cgroup.procs"))
        .unwrap_or_default()
        .lines()
        .filter_map(|line| line.parse().ok().map(Pid))
        .collect();
    for entry in fs::read_dir(cgroup).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            pids.extend(processes_in(&entry.path()));
        }
    }
    pids
}
