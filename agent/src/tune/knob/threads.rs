//! Threads as parts of a value: which there are, where they run, and putting each back.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::str::FromStr;

use super::{KnobError, Reading};
use crate::host::{Host, Root};
use crate::sys::sched;
use crate::tune::{Policy, Value};
use crate::units::{CpuId, CpuSet, Pid, Tid};

/// A thread. Its number alone does not name it: numbers are given again, so the time of its start is part of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Thread {
    pub(super) tid: Tid,
    /// In clock ticks since boot: field 22 of `/proc/TID/stat`.
    pub(super) start: u64,
    pub(super) name: String,
    flags: u64,
}

// include/linux/sched.h
const PF_NO_SETAFFINITY: u64 = 0x0400_0000;
const PF_KTHREAD: u64 = 0x0020_0000;

impl Thread {
    /// The thread whose directory in `/proc` is `directory`; `None` where it has ended.
    fn read(root: &Root, directory: &str) -> Option<Self> {
        root.read(&format!("{directory}/stat")).ok()?.parse().ok()
    }

    /// How a value names it.
    pub(super) fn part(&self) -> String {
        format!("{}@{}", self.tid, self.start)
    }

    /// Whether it is a kernel thread that may be moved: those of one CPU may not.
    pub(super) fn is_movable_kernel_thread(&self) -> bool {
        self.flags & PF_KTHREAD != 0 && self.flags & PF_NO_SETAFFINITY == 0
    }
}

impl FromStr for Thread {
    type Err = ();

    /// Reads `/proc/TID/stat` (proc_pid_stat(5)). The name is in parentheses, and may have some itself.
    fn from_str(stat: &str) -> Result<Self, ()> {
        let (begin, end) = (stat.find('(').ok_or(())?, stat.rfind(')').ok_or(())?);
        let tid = stat.get(..begin).and_then(|tid| tid.trim().parse().ok()).ok_or(())?;
        let fields: Vec<&str> = stat.get(end + 1..).ok_or(())?.split_whitespace().collect();
        // Fields 9 and 22 of the whole line; the first here is field 3.
        let number = |field: usize| fields.get(field - 3).and_then(|text| text.parse().ok()).ok_or(());
        let name = stat.get(begin + 1..end).ok_or(())?.to_owned();
        Ok(Self { tid: Tid(tid), start: number(22)?, name, flags: number(9)? })
    }
}

/// Every process and kernel thread, as its first thread.
pub(super) fn processes(root: &Root) -> Vec<Thread> {
    let numbers = root.list("/proc").unwrap_or_default().into_iter().filter(|name| name.parse::<u32>().is_ok());
    numbers.filter_map(|pid| Thread::read(root, &format!("/proc/{pid}"))).collect()
}

/// The threads of a process.
pub(super) fn threads_of(root: &Root, pid: Pid) -> Vec<Thread> {
    let task = format!("/proc/{pid}/task");
    let tids = root.list(&task).unwrap_or_default();
    tids.into_iter().filter_map(|tid| Thread::read(root, &format!("{task}/{tid}"))).collect()
}

/// Something that each thread has.
pub(super) trait Attribute {
    /// What a thread has; an error of the kind `NotFound` where it has ended.
    fn get(&self, host: &Host, thread: &Thread) -> io::Result<Value>;
    fn set(&self, host: &Host, thread: &Thread, value: &Value) -> io::Result<()>;
}

/// What each of some threads has; why there is none where there is none.
pub(super) fn read(
    host: &Host,
    threads: &[Thread],
    attribute: &dyn Attribute,
    none: impl FnOnce() -> String,
) -> Result<Reading, KnobError> {
    let mut parts = BTreeMap::new();
    for thread in threads {
        match attribute.get(host, thread) {
            Ok(value) => drop(parts.insert(thread.part(), value)),
            Err(error) if has_ended(&error) => {}
            Err(source) => return Err(KnobError::Read { path: path(thread), source }),
        }
    }
    Ok(if parts.is_empty() { Reading::Absent(none()) } else { Reading::Value(Value::Each(parts)) })
}

/// Gives threads one value, or each its own. Where one refuses, those before it get back what they had.
pub(super) fn write(
    host: &Host,
    threads: &[Thread],
    attribute: &dyn Attribute,
    value: &Value,
) -> Result<(), KnobError> {
    let mut changed: Vec<(&Thread, Value)> = Vec::new();
    for thread in threads {
        let wanted = match value {
            Value::Each(parts) => parts.get(&thread.part()),
            value => Some(value),
        };
        let Some(wanted) = wanted else { continue };
        let result = attribute.get(host, thread).and_then(|now| {
            if now != *wanted {
                attribute.set(host, thread, wanted)?;
                changed.push((thread, now));
            }
            Ok(())
        });
        match result {
            Err(error) if !has_ended(&error) => {
                for (thread, before) in changed.into_iter().rev() {
                    // It took the value before, so it takes it again, or has ended.
                    let _ = attribute.set(host, thread, &before);
                }
                return Err(KnobError::from_write(path(thread), wanted.to_string(), error));
            }
            _ => {}
        }
    }
    Ok(())
}

fn path(thread: &Thread) -> PathBuf {
    PathBuf::from(format!("thread {} ({})", thread.tid, thread.name))
}

fn has_ended(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(libc::ESRCH)
}

/// The CPUs that a thread may run on.
pub(super) struct Affinity;

impl Attribute for Affinity {
    fn get(&self, host: &Host, thread: &Thread) -> io::Result<Value> {
        if host.root.is_host() {
            return sched::affinity(thread.tid).map(Value::Cpus);
        }
        let status = || host.root.read(&format!("/proc/{}/status", thread.tid));
        let text = fake(host, thread, "cpus").map_or_else(
            || {
                let status = status()?;
                let line = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).map(str::to_owned);
                line.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
            },
            fs::read_to_string,
        )?;
        text.parse().map(Value::Cpus).map_err(io::Error::other)
    }

    fn set(&self, host: &Host, thread: &Thread, value: &Value) -> io::Result<()> {
        let Value::Cpus(cpus) = value else { return Err(io::ErrorKind::InvalidInput.into()) };
        if !host.root.is_host() {
            return put_fake(host, thread, "cpus", &cpus.to_string());
        }
        let online = host.topology.online();
        if online.difference(cpus).is_empty() {
            // Everywhere is everywhere, on CPUs that come online later too.
            return sched::set_affinity(thread.tid, &(0..8192).map(CpuId).collect::<CpuSet>());
        }
        sched::set_affinity(thread.tid, cpus)
    }
}

/// How a thread is scheduled.
pub(super) struct Scheduling;

impl Attribute for Scheduling {
    fn get(&self, host: &Host, thread: &Thread) -> io::Result<Value> {
        if host.root.is_host() {
            return Ok(Value::Text(Policy::of(thread.tid)?.to_string()));
        }
        let text = fake(host, thread, "policy").map_or_else(|| Ok("other:0".to_owned()), fs::read_to_string)?;
        Ok(Value::Text(text.trim().to_owned()))
    }

    fn set(&self, host: &Host, thread: &Thread, value: &Value) -> io::Result<()> {
        let policy: Policy = value.to_string().parse().map_err(io::Error::other)?;
        if host.root.is_host() { policy.set(thread.tid) } else { put_fake(host, thread, "policy", &policy.to_string()) }
    }
}

/// What was set of a thread of a tree: the files of `/proc` cannot be written.
fn fake(host: &Host, thread: &Thread, name: &str) -> Option<PathBuf> {
    let path = host.root.path(&format!("/run/quell-fake/threads/{}/{name}", thread.tid));
    path.exists().then_some(path)
}

fn put_fake(host: &Host, thread: &Thread, name: &str, text: &str) -> io::Result<()> {
    let folder = host.root.path(&format!("/run/quell-fake/threads/{}", thread.tid));
    fs::create_dir_all(&folder)?;
    fs::write(folder.join(name), text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stat_line_is_read_whatever_the_thread_is_called() {
        let line = "412 (a) b) c) S 2 0 0 0 -1 2129984 0 0 0 0 0 0 0 0 20 0 1 0 10523 0 0 18446744073709551615 0";
        let thread: Thread = line.parse().expect("a thread");
        assert_eq!((thread.part().as_str(), thread.name.as_str()), ("412@10523", "a) b) c"));
        assert!(thread.is_movable_kernel_thread());
    }
}
