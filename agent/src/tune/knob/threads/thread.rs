//! Threads, as listed in `/proc`.

use std::fmt;
use std::io;
use std::path::PathBuf;

use crate::excerpt;
use crate::host::{Host, Root};
use crate::tune::knob::error::KnobError;
use crate::units::{Pid, Tid};

/// A thread. The kernel reuses thread IDs, so the start time is part of its identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::tune::knob) struct Thread {
    pub(in crate::tune::knob) tid: Tid,
    /// The parent process: the process that forked it, or that became its parent later.
    pub(in crate::tune::knob) parent: Tid,
    /// The start time in clock ticks since boot: field 22 of `/proc/TID/stat`.
    pub(in crate::tune::knob) start: u64,
    /// The name, as bytes: the kernel may truncate it within a character.
    pub(in crate::tune::knob) name: Vec<u8>,
    flags: u64,
    state: u8,
}

/// Threads, and remarks about those that could not be read.
#[derive(Clone, Debug, Default)]
pub(in crate::tune::knob) struct ThreadList {
    pub(in crate::tune::knob) threads: Vec<Thread>,
    /// A remark for each thread that could not be read.
    pub(in crate::tune::knob) unreadable: Vec<String>,
}

// include/linux/sched.h
const PF_NO_SETAFFINITY: u64 = 0x0400_0000;
const PF_KTHREAD: u64 = 0x0020_0000;

impl Thread {
    /// Reads the thread of a directory of `/proc`; `None` if the thread has exited.
    pub(in crate::tune::knob) fn read(root: &Root, directory: &str) -> io::Result<Option<Self>> {
        match root.read_bytes(&format!("{directory}/stat")) {
            Ok(stat) => match Self::parse(&stat) {
                Some(thread) => Ok(Some(thread)),
                None => Err(io::Error::other("it is not the stat line of a thread")),
            },
            Err(error) if has_ended(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The thread with this ID, regardless of its start time; `None` if there is none.
    pub(super) fn with_tid(host: &Host, tid: Tid) -> io::Result<Option<Self>> {
        Self::read(&host.root, &directory(&host.root, tid.0))
    }

    /// The thread of a part of a value; `None` if the thread has exited. Its name and cgroup may have changed.
    pub(super) fn of_part(root: &Root, part: &str) -> Result<Option<Self>, KnobError> {
        let (tid, start) = parse_part(part).ok_or_else(|| KnobError::Malformed {
            path: PathBuf::from("/proc"),
            reason: format!("{} does not name a thread", excerpt::quoted(part)),
        })?;
        let directory = directory(root, tid);
        let thread = Self::read(root, &directory).map_err(|source| unreadable(root, &directory, source))?;
        Ok(thread.filter(|thread| thread.start == start))
    }

    /// The name of the thread as a part of a value: its ID and start time.
    pub(in crate::tune::knob) fn part(&self) -> String {
        format!("{}@{}", self.tid, self.start)
    }

    /// Whether the thread is a kernel thread.
    pub(in crate::tune::knob) fn is_kernel_thread(&self) -> bool {
        self.flags & PF_KTHREAD != 0
    }

    /// Whether the thread is a kernel thread with an affinity that can be changed. Per-CPU kernel threads are bound to their
    /// CPU.
    pub(in crate::tune::knob) fn is_movable_kernel_thread(&self) -> bool {
        self.is_kernel_thread() && self.flags & PF_NO_SETAFFINITY == 0
    }

    /// Whether the thread has exited and was not reaped yet.
    pub(in crate::tune::knob) fn is_zombie(&self) -> bool {
        matches!(self.state, b'Z' | b'X')
    }

    /// Parses `/proc/TID/stat` (proc_pid_stat(5)). The name is in parentheses, and may itself contain parentheses.
    fn parse(stat: &[u8]) -> Option<Self> {
        let begin = stat.iter().position(|&byte| byte == b'(')?;
        let end = stat.iter().rposition(|&byte| byte == b')')?;
        let name = stat.get(begin + 1..end)?.to_vec();
        // Except for the name, the line consists of numbers and a letter.
        let tid = std::str::from_utf8(&stat[..begin]).ok()?.trim().parse().ok()?;
        let fields: Vec<&str> = std::str::from_utf8(&stat[end + 1..]).ok()?.split_ascii_whitespace().collect();
        // Fields 3, 4, 9 and 22 of the line; the first one here is field 3.
        let number = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
        let state = fields.first()?.bytes().next()?;
        let parent = fields.get(1)?.parse().ok()?;
        Some(Self { tid: Tid(tid), parent: Tid(parent), start: number(22)?, name, flags: number(9)?, state })
    }
}

/// Formats the thread for messages: `412 (nginx)`.
impl fmt::Display for Thread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.tid, excerpt::name(&self.name))
    }
}

fn parse_part(part: &str) -> Option<(u32, u64)> {
    let (tid, start) = part.split_once('@')?;
    Some((tid.parse().ok()?, start.parse().ok()?))
}

/// The directory of a thread in `/proc`.
fn directory(root: &Root, tid: u32) -> String {
    // The kernel has a directory in /proc for each thread, but lists only the directories of processes. In a tree, the
    // directory of another thread exists only below its process.
    let own = format!("/proc/{tid}");
    if root.is_host() || root.has(&format!("{own}/stat")) {
        return own;
    }
    let processes = root.list("/proc").unwrap_or_default().into_iter();
    let task = processes.map(|process| format!("/proc/{process}/task/{tid}")).find(|task| root.has(task));
    task.unwrap_or(own)
}

fn unreadable(root: &Root, path: &str, source: io::Error) -> KnobError {
    KnobError::Read { path: root.display_path(path), source }
}

/// The threads whose directories are in `directory`, except those that exit during the scan. A thread that cannot be read does
/// not prevent the others from being listed.
fn list(root: &Root, directory: &str) -> Result<ThreadList, KnobError> {
    let names = match root.list(directory) {
        Err(error) if has_ended(&error) => Vec::new(),
        names => names.map_err(|source| unreadable(root, directory, source))?,
    };
    let mut list = ThreadList::default();
    for name in names.into_iter().filter(|name| name.parse::<u32>().is_ok()) {
        let own = format!("{directory}/{name}");
        match Thread::read(root, &own) {
            Ok(thread) => list.threads.extend(thread),
            Err(error) => list.unreadable.push(format!("thread {name} is skipped: {own}/stat: {error}")),
        }
    }
    Ok(list)
}

/// The main threads of all processes, and all kernel threads.
pub(in crate::tune::knob) fn processes(root: &Root) -> Result<ThreadList, KnobError> {
    list(root, "/proc")
}

/// The threads of a process.
pub(in crate::tune::knob) fn threads_of(root: &Root, pid: Pid) -> Result<ThreadList, KnobError> {
    list(root, &format!("/proc/{pid}/task"))
}

/// Whether an error means that a thread has exited.
pub(in crate::tune::knob) fn has_ended(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(libc::ESRCH)
}

/// Reads all processes and threads of a tree.
#[cfg(feature = "fuzzing")]
pub(crate) fn fuzz_processes(root: &Root) {
    if let Ok(processes) = processes(root) {
        for thread in &processes.threads {
            let _ = thread.part();
        }
    }
    let _ = threads_of(root, Pid(10));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stat_line_is_parsed_for_any_thread_name() {
        let rest = b" S 2 0 0 0 -1 2129984 0 0 0 0 0 0 0 0 20 0 1 0 10523 0 0 18446744073709551615 0";
        // The last name is truncated within a character.
        for (name, shown) in
            [(&b"a) b) c"[..], "a) b) c"), (b"", ""), (b"(\n) R 1", "( ) R 1"), (b"k\xc3", "k\u{fffd}")]
        {
            let thread = Thread::parse(&[b"412 (", name, b")", rest].concat()).expect("a thread");
            assert_eq!((thread.part().as_str(), thread.name.as_slice()), ("412@10523", name));
            assert_eq!(thread.to_string(), format!("412 ({shown})"));
            assert!(thread.is_movable_kernel_thread() && !thread.is_zombie());
        }
        for wrong in [&b""[..], b"\xff", b"412 (a", b"412 )a( S 2", b"412 (a) S 2"] {
            assert!(Thread::parse(wrong).is_none(), "{wrong:?}");
        }
    }
}
