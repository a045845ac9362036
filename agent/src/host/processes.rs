//! Lists the processes that exist, their descendants, and the processes of a cgroup.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::Path;

use crate::units::Pid;

/// The PIDs of all processes at the time of the call; empty if `/proc` cannot be listed.
#[must_use]
pub fn processes() -> Vec<Pid> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok().map(Pid)).collect()
}

/// The given processes and their descendants at the time of the call. A process whose parent has exited has been reparented (to
/// init or a subreaper) and is left out, unless its new parent is included.
#[must_use]
pub fn family(of: &[Pid]) -> Vec<Pid> {
    let mut children: BTreeMap<Pid, Vec<Pid>> = BTreeMap::new();
    for pid in processes() {
        if let Some(parent) = parent(pid) {
            children.entry(parent).or_default().push(pid);
        }
    }
    let mut family: BTreeSet<Pid> = of.iter().copied().collect();
    let mut new: Vec<Pid> = of.to_vec();
    while let Some(pid) = new.pop() {
        new.extend(children.get(&pid).into_iter().flatten().filter(|child| family.insert(**child)));
    }
    family.into_iter().collect()
}

/// The real UID of a process; `None` if its status cannot be read, as after it has exited.
pub(crate) fn user_of(pid: Pid) -> Option<u32> {
    identity(pid).ok().map(|(user, _)| user)
}

/// The real UID of a process and its PID in its own PID namespace, from `/proc/PID/status`, which does not block.
pub(crate) fn identity(pid: Pid) -> io::Result<(u32, u32)> {
    let status = fs::read(format!("/proc/{pid}/status"))?;
    let field = |name: &[u8]| status.split(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(name));
    let number = |text: &[u8]| std::str::from_utf8(text).ok()?.parse().ok();
    let fields = |line: &'_ [u8]| -> Vec<u32> { line.split(u8::is_ascii_whitespace).filter_map(number).collect() };
    let user = field(b"Uid:").and_then(|line| fields(line).first().copied());
    let inner = field(b"NSpid:").and_then(|line| fields(line).last().copied()).unwrap_or(pid.0);
    Ok((user.ok_or(io::ErrorKind::InvalidData)?, inner))
}

/// The parent of a process: field 4 of `/proc/PID/stat`. The name before it is in parentheses and may itself contain
/// parentheses (proc_pid_stat(5)).
fn parent(pid: Pid) -> Option<Pid> {
    parent_in(&fs::read(format!("/proc/{pid}/stat")).ok()?)
}

fn parent_in(stat: &[u8]) -> Option<Pid> {
    let end = stat.iter().rposition(|&byte| byte == b')')?;
    // The fields after the name are a letter and numbers.
    std::str::from_utf8(&stat[end + 1..]).ok()?.split_ascii_whitespace().nth(1)?.parse().ok().map(Pid)
}

/// The processes of a cgroup and of its descendants at the time of the call. Cgroups that cannot be read are left out: they may
/// have been removed in the meantime.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parent_is_told_whatever_the_process_is_called() {
        for name in [&b"sh"[..], b"a) S 9 (b", b"k\xc3", b"\xff\xfe", b""] {
            assert_eq!(parent_in(&[b"412 (", name, b") S 7 0 0"].concat()), Some(Pid(7)), "{name:?}");
        }
        assert_eq!(parent_in(b"412 (\xff"), None);
    }
}
