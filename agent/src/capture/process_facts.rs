//! Data about the processes of a capture: executable, command line, user, cgroup, container.
//!
//! The data of a process is read soon after its first sample, since many processes are short-lived. This costs about 50 us, so the
//! rate is limited, and the other processes wait.

use std::collections::VecDeque;
use std::fs::File;
use std::io::Read as _;

use hashbrown::{HashMap, HashSet};

use crate::host;
use crate::recording::{Process, ProcessIdx, ProcessTable};
use crate::symbolize::AddressSpaces;
use crate::units::{Nanos, Pid};

/// The maximum number of processes per second: 1 % of a CPU.
const PER_SECOND: u64 = 200;

/// The maximum number of processes at once, such as those that run when a capture begins.
const AT_ONCE: u64 = 400;

/// The maximum number of waiting processes that are read after the capture.
const AT_THE_END: u64 = 1_000;

/// The maximum number of waiting processes.
const MAX_WAITING: usize = 16_384;

/// The memory limit for the text of all processes, in bytes. Command lines have up to 4 KiB each.
const MAX_BYTES: usize = 32 << 20;

/// The maximum size of `/proc/PID/cgroup`, in bytes: a path of 4 KiB in each of fifteen hierarchies.
const MAX_CGROUP: u64 = 64 << 10;

/// Reads the data of new processes, at a limited rate.
#[derive(Debug)]
pub(super) struct ProcessFacts {
    /// The number of rows that were queued.
    known: usize,
    waiting: VecDeque<ProcessIdx>,
    /// The same rows as a set, so that a process that executes many programs is queued once.
    is_waiting: HashSet<ProcessIdx>,
    permits: u64,
    /// The time up to which permits were added. The remainder of less than one permit is kept.
    refilled: Nanos,
    bytes: usize,
}

impl ProcessFacts {
    pub(super) fn new(now: Nanos) -> Self {
        Self {
            known: 0,
            waiting: VecDeque::new(),
            is_waiting: HashSet::new(),
            permits: AT_ONCE,
            refilled: now,
            bytes: 0,
        }
    }

    /// Fills in new and waiting rows, as far as the rate limit permits.
    pub(super) fn update(&mut self, processes: &mut ProcessTable, now: Nanos, look: &mut dyn FnMut(Pid) -> Process) {
        let more = now.since(self.refilled).0 / (Nanos::SECOND.0 / PER_SECOND);
        self.permits = (self.permits + more).min(AT_ONCE);
        self.refilled.0 += more * (Nanos::SECOND.0 / PER_SECOND);
        // New ones first, because they may be short-lived.
        for row in self.known..processes.rows().len() {
            let id = ProcessIdx::from_index(row);
            if self.permits > 0 {
                self.fill_in(processes, id, look);
            } else {
                self.wait(id);
            }
        }
        self.known = processes.rows().len();
        self.serve_waiting(processes, look);
    }

    /// Queues a process again that has executed another program.
    pub(super) fn exec(&mut self, processes: &ProcessTable, pid: Pid) {
        if let Some(id) = processes.find(pid).filter(|id| id.index() < self.known) {
            self.wait(id);
        }
    }

    fn wait(&mut self, id: ProcessIdx) {
        if self.waiting.len() < MAX_WAITING && self.is_waiting.insert(id) {
            self.waiting.push_back(id);
        }
    }

    /// Fills in the waiting rows at the end of the capture.
    pub(super) fn finish(&mut self, processes: &mut ProcessTable, now: Nanos, look: &mut dyn FnMut(Pid) -> Process) {
        self.update(processes, now, look);
        self.permits = AT_THE_END;
        self.serve_waiting(processes, look);
    }

    fn serve_waiting(&mut self, processes: &mut ProcessTable, look: &mut dyn FnMut(Pid) -> Process) {
        while self.permits > 0
            && let Some(id) = self.waiting.pop_front()
        {
            self.is_waiting.remove(&id);
            self.fill_in(processes, id, look);
        }
    }

    fn fill_in(&mut self, processes: &mut ProcessTable, id: ProcessIdx, look: &mut dyn FnMut(Pid) -> Process) {
        let pid = processes.get(id).pid;
        // The idle threads have no process. A process that is gone may have left its PID to another.
        if pid == Pid(0) || processes.find(pid) != Some(id) || self.bytes >= MAX_BYTES {
            return;
        }
        let row = processes.get_mut(id);
        self.permits -= 1;
        let found = look(row.pid);
        // If the process has exited in the meantime, the known data is kept.
        if found.user.is_some() {
            self.bytes += size(&found);
            *row = found;
        }
    }
}

/// The number of bytes of the texts of a process.
fn size(process: &Process) -> usize {
    let words = process.command_line.iter().flatten().map(|word| word.len() + size_of::<String>()).sum::<usize>();
    let path = process.executable.as_ref().map_or(0, |path| path.as_os_str().len());
    words + path + process.cgroup.as_ref().map_or(0, String::len) + process.container.as_ref().map_or(0, String::len)
}

/// Adds the names of the users, which are read at the end of a capture, once for all processes.
pub(super) fn name_users(processes: &mut ProcessTable, name: impl Fn(u32) -> Option<String>) {
    let mut known: HashMap<u32, Option<String>> = HashMap::new();
    for row in 0..processes.rows().len() {
        let process = processes.get_mut(ProcessIdx::from_index(row));
        process.user_name = process.user.and_then(|user| known.entry(user).or_insert_with(|| name(user)).clone());
    }
}

/// Reads the data of a process. Data that requires privileges is requested from a child process.
pub(super) fn look(pid: Pid, spaces: &mut AddressSpaces) -> Process {
    let Some(user) = host::user_of(pid) else { return Process::new(pid) };
    let mut cgroups = Vec::new();
    // The kernel provides this without accessing the process, so it cannot block.
    let read =
        File::open(format!("/proc/{pid}/cgroup")).and_then(|file| file.take(MAX_CGROUP).read_to_end(&mut cgroups));
    let cgroups = String::from_utf8_lossy(if read.is_ok() { &cgroups } else { &[] });
    let program = spaces.program(pid).unwrap_or_default();
    Process {
        pid,
        command_line: program.arguments,
        executable: program.path,
        cgroup: cgroup(&cgroups).map(str::to_owned),
        container: container(&cgroups).map(str::to_owned),
        user: Some(user),
        user_name: None,
    }
}

/// The path in the hierarchy of version 2, from the contents of `/proc/PID/cgroup` (cgroups(7)).
fn cgroup(text: &str) -> Option<&str> {
    text.lines().find_map(|line| line.strip_prefix("0::"))
}

/// The container ID: the innermost directory that is named by 64 hexadecimal digits, in the hierarchy of version 2 or any other.
/// Runtimes name them `docker-ID.scope`, `cri-containerd-ID.scope`, `crio-ID.scope` and `libpod-ID.scope` if systemd creates the
/// cgroup, else `docker/ID`, `kubepods/.../ID`, `crio-ID` and `libpod_parent/libpod-ID`; containerd with a path in the form of
/// systemd names them `SLICE:cri-containerd:ID`.
fn container(text: &str) -> Option<&str> {
    let paths = text.lines().filter_map(|line| line.splitn(3, ':').nth(2));
    paths.filter_map(|path| path.rsplit('/').find_map(container_id)).next()
}

fn container_id(directory: &str) -> Option<&str> {
    let name = directory.strip_suffix(".scope").unwrap_or(directory);
    let (runtime, id) = name.rsplit_once(['-', ':']).unwrap_or(("", name));
    // The monitor of a container (`libpod-conmon-ID`, `crio-conmon-ID`) runs outside of it.
    let is_monitor = runtime.ends_with("conmon");
    (!is_monitor && id.len() == 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    #[test]
    fn a_container_is_found_by_its_cgroup() {
        for path in [
            format!("0::/system.slice/docker-{ID}.scope"),
            format!("0::/kubepods.slice/kubepods-pod12.slice/cri-containerd-{ID}.scope"),
            format!("0::/kubepods/burstable/pod12-34/{ID}"),
            format!("0::/system.slice/docker-{ID}.scope/init"),
            format!("5:cpu,cpuacct:/docker/{ID}\n0::/"),
            format!("0::/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod1_2.slice/crio-{ID}.scope"),
            format!("0::/kubepods/pod12/crio-{ID}"),
            format!("0::/machine.slice/libpod-{ID}.scope/container"),
            format!("0::/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-{ID}.scope/container"),
            format!("0::/libpod_parent/libpod-{ID}"),
            format!("0::/system.slice/podman.service/libpod-payload-{ID}"),
            format!("0::/system.slice/containerd.service/kubepods-burstable-pod1_2.slice:cri-containerd:{ID}"),
            format!("11:memory:/system.slice/containerd.service/k8s.io/{ID}\n0::/"),
        ] {
            assert_eq!(container(&path), Some(ID), "{path}");
        }
        let monitors =
            [format!("0::/machine.slice/libpod-conmon-{ID}.scope"), format!("0::/k.slice/crio-conmon-{ID}.scope")];
        for path in &monitors {
            assert_eq!(container(path), None, "{path}");
        }
        for path in ["0::/user.slice", "0::/", "", &format!("0::/{ID}0"), &format!("0::/{}g", &ID[..63])] {
            assert_eq!(container(path), None, "{path}");
        }
        assert_eq!(cgroup("12:pids:/a\n0::/b/c\n"), Some("/b/c"));
        assert_eq!(cgroup("12:pids:/a\n"), None);
    }

    /// A table with this many processes, and the number of reads of each.
    fn looked(count: u32) -> (ProcessTable, Vec<u32>) {
        let mut processes = ProcessTable::default();
        for pid in 0..count {
            processes.intern(Pid(pid));
        }
        (processes, vec![0; count as usize])
    }

    fn found(pid: Pid, looks: &mut [u32]) -> Process {
        looks[pid.0 as usize] += 1;
        Process { user: Some(1), ..Process::new(pid) }
    }

    #[test]
    fn processes_are_looked_at_once_and_at_a_limited_rate() {
        let (mut processes, mut looks) = looked(5_000);
        let mut facts = ProcessFacts::new(Nanos(0));
        let mut sum = |facts: &mut ProcessFacts, now: u64| {
            facts.update(&mut processes, Nanos(now), &mut |pid| found(pid, &mut looks));
            looks.iter().map(|count| u64::from(*count)).sum::<u64>()
        };
        assert_eq!(sum(&mut facts, 0), AT_ONCE);
        assert_eq!(sum(&mut facts, 0), AT_ONCE);
        // The size of the time steps does not matter.
        for step in 1..=1_000 {
            sum(&mut facts, step * 1_000_000);
        }
        assert_eq!(sum(&mut facts, Nanos::SECOND.0), AT_ONCE + PER_SECOND);
        assert_eq!(sum(&mut facts, 100 * Nanos::SECOND.0), 2 * AT_ONCE + PER_SECOND, "none are saved up");
        facts.finish(&mut processes, Nanos(100 * Nanos::SECOND.0), &mut |pid| found(pid, &mut looks));
        assert_eq!(looks.iter().sum::<u32>() as u64, 2 * AT_ONCE + PER_SECOND + AT_THE_END);
        assert!(looks[0] == 0 && looks.iter().all(|count| *count <= 1), "the idle threads have no process");
    }

    #[test]
    fn a_process_that_ends_is_known_as_what_it_was_and_one_that_executes_as_what_it_is() {
        let mut processes = ProcessTable::default();
        let id = processes.intern(Pid(7));
        let named = |name: &str| Process { user: Some(1), cgroup: Some(name.to_owned()), ..Process::new(Pid(7)) };
        let mut facts = ProcessFacts::new(Nanos(0));
        facts.exec(&processes, Pid(7));
        facts.update(&mut processes, Nanos(0), &mut |_| named("first"));
        facts.exec(&processes, Pid(7));
        facts.update(&mut processes, Nanos(0), &mut |_| named("second"));
        assert_eq!(processes.get(id).cgroup.as_deref(), Some("second"));
        facts.exec(&processes, Pid(7));
        facts.exec(&processes, Pid(8));
        facts.update(&mut processes, Nanos(0), &mut |pid| Process::new(pid));
        assert_eq!(processes.get(id).cgroup.as_deref(), Some("second"));
    }

    #[test]
    fn processes_take_bounded_memory_whatever_their_arguments() {
        let (mut processes, mut looks) = looked(400);
        let mut facts = ProcessFacts::new(Nanos(0));
        facts.update(&mut processes, Nanos(0), &mut |pid| Process {
            command_line: Some(vec!["x".repeat(1 << 20)]),
            ..found(pid, &mut looks)
        });
        assert_eq!(looks.iter().sum::<u32>(), 32);
    }

    #[test]
    fn users_are_named_once_each() {
        let (mut processes, _) = looked(4);
        for (row, user) in [Some(5), Some(5), Some(6), None].into_iter().enumerate() {
            processes.get_mut(ProcessIdx::from_index(row)).user = user;
        }
        let asked = std::cell::Cell::new(0);
        name_users(&mut processes, |user| {
            asked.set(asked.get() + 1);
            (user == 5).then(|| "redis".to_owned())
        });
        let names: Vec<_> = processes.rows().iter().map(|process| process.user_name.as_deref()).collect();
        assert_eq!((names, asked.get()), (vec![Some("redis"), Some("redis"), None, None], 2));
    }

    #[test]
    fn this_process_is_described() {
        let mut spaces = AddressSpaces::new(Box::new(crate::inspect::Direct::default()));
        let own = look(Pid(std::process::id()), &mut spaces);
        assert_eq!(own.executable, std::env::current_exe().ok());
        let arguments: Vec<String> = std::env::args().collect();
        assert_eq!(own.command_line, Some(arguments));
        assert_eq!(own.user, Some(nix::unistd::getuid().as_raw()));
        assert_eq!(look(Pid(u32::MAX), &mut spaces), Process::new(Pid(u32::MAX)), "there is none");
    }
}
