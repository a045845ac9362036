//! Threads as parts of a value: which there are, where they run, and putting each back.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::PathBuf;

use super::parts::{self, Change};
use super::{KnobError, Reading};
use crate::excerpt;
use crate::host::{Host, Root};
use crate::sys::sched;
use crate::tune::{Policy, Value};
use crate::units::{CpuId, CpuSet, Pid, Tid};

/// A thread. Its number alone does not name it: numbers are given again, so the time of its start is part of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Thread {
    pub(super) tid: Tid,
    /// The process that it was forked from, or that took it up.
    pub(super) parent: Tid,
    /// In clock ticks since boot: field 22 of `/proc/TID/stat`.
    pub(super) start: u64,
    /// What it calls itself: bytes, which the kernel cuts wherever a character ends or not.
    pub(super) name: Vec<u8>,
    flags: u64,
    state: u8,
}

/// Threads, and why others are not among them.
#[derive(Clone, Debug, Default)]
pub(super) struct Listed {
    pub(super) threads: Vec<Thread>,
    /// A remark for each that could not be read.
    pub(super) unread: Vec<String>,
}

// include/linux/sched.h
const PF_NO_SETAFFINITY: u64 = 0x0400_0000;
const PF_KTHREAD: u64 = 0x0020_0000;

impl Thread {
    /// The thread whose directory in `/proc` is `directory`; `None` where it has ended.
    pub(super) fn read(root: &Root, directory: &str) -> io::Result<Option<Self>> {
        match root.read_bytes(&format!("{directory}/stat")) {
            Ok(stat) => match Self::parse(&stat) {
                Some(thread) => Ok(Some(thread)),
                None => Err(io::Error::other("it is not the line of a thread")),
            },
            Err(error) if has_ended(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The thread that a value names; `None` where it has ended. It may have another name by now, and be in another cgroup.
    fn of_part(root: &Root, part: &str) -> Result<Option<Self>, KnobError> {
        let parsed =
            part.split_once('@').and_then(|(tid, start)| Some((tid.parse::<u32>().ok()?, start.parse().ok()?)));
        let why = || format!("{} names no thread", excerpt::quoted(part));
        let (tid, start): (u32, u64) =
            parsed.ok_or_else(|| KnobError::Understand { path: PathBuf::from("/proc"), why: why() })?;
        let directory = directory(root, tid);
        let thread = Self::read(root, &directory).map_err(|source| unread(root, &directory, source))?;
        Ok(thread.filter(|thread| thread.start == start))
    }

    /// How a value names it.
    pub(super) fn part(&self) -> String {
        format!("{}@{}", self.tid, self.start)
    }

    /// Whether it is the kernel's own.
    pub(super) fn is_kernel_thread(&self) -> bool {
        self.flags & PF_KTHREAD != 0
    }

    /// Whether it is a kernel thread that may be moved: those of one CPU may not.
    pub(super) fn is_movable_kernel_thread(&self) -> bool {
        self.is_kernel_thread() && self.flags & PF_NO_SETAFFINITY == 0
    }
}

/// As people are told of it.
impl fmt::Display for Thread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.tid, excerpt::name(&self.name))
    }
}

impl Thread {
    /// Reads `/proc/TID/stat` (proc_pid_stat(5)). The name is in parentheses, and may have some itself.
    fn parse(stat: &[u8]) -> Option<Self> {
        let begin = stat.iter().position(|&byte| byte == b'(')?;
        let end = stat.iter().rposition(|&byte| byte == b')')?;
        let name = stat.get(begin + 1..end)?.to_vec();
        // All but the name is numbers and a letter.
        let tid = std::str::from_utf8(&stat[..begin]).ok()?.trim().parse().ok()?;
        let fields: Vec<&str> = std::str::from_utf8(&stat[end + 1..]).ok()?.split_ascii_whitespace().collect();
        // Fields 3, 4, 9 and 22 of the whole line; the first here is field 3.
        let number = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
        let state = fields.first()?.bytes().next()?;
        let parent = fields.get(1)?.parse().ok()?;
        Some(Self { tid: Tid(tid), parent: Tid(parent), start: number(22)?, name, flags: number(9)?, state })
    }

    /// Whether nothing is left of it but its number and exit code.
    pub(super) fn is_zombie(&self) -> bool {
        matches!(self.state, b'Z' | b'X')
    }
}

/// The directory of any thread.
fn directory(root: &Root, tid: u32) -> String {
    // The kernel has one for each, though a list of /proc shows those of processes only. A tree has what a list shows.
    let own = format!("/proc/{tid}");
    if root.is_host() || root.has(&format!("{own}/stat")) {
        return own;
    }
    let processes = root.list("/proc").unwrap_or_default().into_iter();
    let found = processes.map(|process| format!("/proc/{process}/task/{tid}")).find(|task| root.has(task));
    found.unwrap_or(own)
}

fn unread(root: &Root, path: &str, source: io::Error) -> KnobError {
    KnobError::Read { path: root.display_path(path), source }
}

/// The threads whose directories are in `directory`, without those that end while this reads. One that cannot be read keeps no
/// other from being found.
fn listed(root: &Root, directory: &str) -> Result<Listed, KnobError> {
    let names = match root.list(directory) {
        Err(error) if has_ended(&error) => Vec::new(),
        names => names.map_err(|source| unread(root, directory, source))?,
    };
    let mut listed = Listed::default();
    for name in names.into_iter().filter(|name| name.parse::<u32>().is_ok()) {
        let own = format!("{directory}/{name}");
        match Thread::read(root, &own) {
            Ok(thread) => listed.threads.extend(thread),
            Err(error) => listed.unread.push(format!("thread {name} is left out: {own}/stat: {error}")),
        }
    }
    Ok(listed)
}

/// Every process and kernel thread, as its first thread.
pub(super) fn processes(root: &Root) -> Result<Listed, KnobError> {
    listed(root, "/proc")
}

/// The threads of a process.
pub(super) fn threads_of(root: &Root, pid: Pid) -> Result<Listed, KnobError> {
    listed(root, &format!("/proc/{pid}/task"))
}

/// Something that each thread has.
pub(super) trait Attribute {
    /// What a thread has; an error of the kind `NotFound` where it has ended.
    fn get(&self, host: &Host, thread: &Thread) -> io::Result<Value>;
    fn set(&self, host: &Host, thread: &Thread, value: &Value) -> io::Result<()>;
}

/// What a thread has; `None` where it has ended.
pub(super) fn get(host: &Host, thread: &Thread, attribute: &dyn Attribute) -> Result<Option<Value>, KnobError> {
    match attribute.get(host, thread) {
        Ok(value) => Ok(Some(value)),
        Err(error) if has_ended(&error) => Ok(None),
        Err(source) => Err(KnobError::Read { path: path(thread), source }),
    }
}

/// What each of some threads has; why there is none where there is none. One that cannot be read is left out, with a remark.
pub(super) fn survey(
    host: &Host,
    listed: Listed,
    attribute: &dyn Attribute,
    none: impl FnOnce() -> String,
) -> (Reading, Vec<String>) {
    let (mut parts, mut remarks) = (BTreeMap::new(), listed.unread);
    for thread in &listed.threads {
        match get(host, thread, attribute) {
            Ok(Some(value)) => drop(parts.insert(thread.part(), value)),
            Ok(None) => {}
            Err(error) => remarks.push(format!("left out: {error}")),
        }
    }
    (if parts.is_empty() { Reading::Absent(none()) } else { Reading::Value(Value::Each(parts)) }, remarks)
}

/// What each thread of a value has that has not ended, whatever it is called by now and wherever it is.
pub(super) fn read_back(
    host: &Host,
    parts: &BTreeMap<String, Value>,
    attribute: &dyn Attribute,
) -> Result<Reading, KnobError> {
    let mut now = BTreeMap::new();
    for thread in still_there(host, parts)? {
        if let Some(value) = get(host, &thread, attribute)? {
            now.insert(thread.part(), value);
        }
    }
    Ok(match now.is_empty() {
        true => Reading::Absent("all of them have ended".to_owned()),
        false => Reading::Value(Value::Each(now)),
    })
}

/// Whether a thread has a value; one that has ended has none.
pub(super) fn has(host: &Host, thread: &Thread, attribute: &dyn Attribute, value: &Value) -> Result<bool, KnobError> {
    Ok(get(host, thread, attribute)?.as_ref() == Some(value))
}

/// The threads of a value that have not ended.
fn still_there(host: &Host, parts: &BTreeMap<String, Value>) -> Result<Vec<Thread>, KnobError> {
    let threads = parts.keys().map(|part| Thread::of_part(&host.root, part));
    Ok(threads.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
}

/// A value for each part of `before` and no other.
pub(super) fn spread(before: &Value, wanted: &Value) -> Value {
    match before {
        Value::Each(parts) => Value::Each(parts.keys().map(|part| (part.clone(), wanted.clone())).collect()),
        _ => wanted.clone(),
    }
}

/// Gives threads one value: those that `chosen` finds; or each its own, and then those that the value names. Where one refuses,
/// those before it get back what they had.
pub(super) fn write(
    host: &Host,
    chosen: impl FnOnce() -> Result<Vec<Thread>, KnobError>,
    attribute: &dyn Attribute,
    value: &Value,
) -> Result<(), KnobError> {
    parts::all_or_none(&changes(host, chosen, attribute, value)?, |thread, value| set(host, thread, attribute, value))
}

/// Gives each thread of a value its own, as many as take it.
pub(super) fn restore(
    host: &Host,
    chosen: impl FnOnce() -> Result<Vec<Thread>, KnobError>,
    attribute: &dyn Attribute,
    before: &Value,
) -> Result<(), KnobError> {
    let changes = changes(host, chosen, attribute, before)?;
    parts::as_many_as_can_be(&changes, |thread, value| set(host, thread, attribute, value))
}

fn changes(
    host: &Host,
    chosen: impl FnOnce() -> Result<Vec<Thread>, KnobError>,
    attribute: &dyn Attribute,
    value: &Value,
) -> Result<Vec<Change<Thread>>, KnobError> {
    let threads = match value {
        Value::Each(parts) => still_there(host, parts)?,
        _ => chosen()?,
    };
    let mut changes = Vec::new();
    for thread in threads {
        let wanted = match value {
            Value::Each(parts) => parts.get(&thread.part()),
            value => Some(value),
        };
        let Some(now) = get(host, &thread, attribute)? else { continue };
        if let Some(wanted) = wanted.filter(|wanted| **wanted != now) {
            changes.push(Change { part: thread, now, wanted: wanted.clone() });
        }
    }
    Ok(changes)
}

/// Gives a thread a value; nothing where it has ended.
pub(super) fn set(host: &Host, thread: &Thread, attribute: &dyn Attribute, value: &Value) -> Result<(), KnobError> {
    match attribute.set(host, thread, value) {
        Err(error) if !has_ended(&error) => Err(KnobError::from_write(path(thread), value.to_string(), error)),
        Err(_) => Ok(()),
        // The call takes a number, which may have been given out anew since the thread was found.
        Ok(()) => match Thread::read(&host.root, &directory(&host.root, thread.tid.0)) {
            Ok(Some(now)) if now.start != thread.start => {
                Err(KnobError::Reused { was: thread.to_string(), is: now.to_string() })
            }
            _ => Ok(()),
        },
    }
}

fn path(thread: &Thread) -> PathBuf {
    PathBuf::from(format!("thread {thread}"))
}

pub(super) fn has_ended(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(libc::ESRCH)
}

/// The CPUs that a thread may run on.
pub(super) struct Affinity;

/// What the line of `/proc/TID/status` begins with that has them.
const ALLOWED: &str = "Cpus_allowed_list:";

impl Attribute for Affinity {
    fn get(&self, host: &Host, thread: &Thread) -> io::Result<Value> {
        if host.root.is_host() {
            return sched::affinity(thread.tid).map(Value::Cpus);
        }
        let status = host.root.read_bytes(&format!("/proc/{}/status", thread.tid))?;
        let line = status.split(|&byte| byte == b'\n').find_map(|line| line.strip_prefix(ALLOWED.as_bytes()));
        let list = String::from_utf8_lossy(line.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?).into_owned();
        list.parse().map(Value::Cpus).map_err(io::Error::other)
    }

    fn set(&self, host: &Host, thread: &Thread, value: &Value) -> io::Result<()> {
        let Value::Cpus(cpus) = value else { return Err(io::ErrorKind::InvalidInput.into()) };
        if !host.root.is_host() {
            // No kernel moves it in a tree.
            let file = format!("/proc/{}/status", thread.tid);
            let status = host.root.read_bytes(&file)?;
            let mut anew = Vec::new();
            for line in status.split_inclusive(|&byte| byte == b'\n') {
                match line.starts_with(ALLOWED.as_bytes()) {
                    true => anew.extend_from_slice(format!("{ALLOWED}\t{cpus}\n").as_bytes()),
                    false => anew.extend_from_slice(line),
                }
            }
            return host.root.write(&file, anew);
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
        let text = match host.root.read_text(&fake(thread)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => "other:0".to_owned(),
            text => text?,
        };
        Ok(Value::Text(text.trim().to_owned()))
    }

    fn set(&self, host: &Host, thread: &Thread, value: &Value) -> io::Result<()> {
        let policy: Policy = value.to_string().parse().map_err(io::Error::other)?;
        if host.root.is_host() {
            return policy.set(thread.tid);
        }
        host.root.create_directories(&format!("{FAKE}/{}", thread.tid))?;
        host.root.put(&fake(thread), &policy.to_string())
    }
}

/// Where a tree has the policy of a thread.
fn fake(thread: &Thread) -> String {
    format!("{FAKE}/{}/policy", thread.tid)
}

const FAKE: &str = "/run/quell-fake/threads";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stat_line_is_read_whatever_the_thread_is_called() {
        let rest = b" S 2 0 0 0 -1 2129984 0 0 0 0 0 0 0 0 20 0 1 0 10523 0 0 18446744073709551615 0";
        // The last is cut in the middle of a character.
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
