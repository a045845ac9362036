//! The identity of a process: its users, its executable and its cgroups, as a consistent snapshot.

use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::excerpt;
use crate::host::{Root, Users};
use crate::tune::knob::matched_process::MatchedProcess;
use crate::tune::knob::threads::{self, Thread};
use crate::units::Pid;

/// The identity of a process.
#[derive(Clone, Debug)]
pub(super) struct Identity {
    /// The main thread.
    pub(super) thread: Thread,
    /// The real user ID.
    pub(super) real: u32,
    /// The effective user ID.
    pub(super) effective: u32,
    pub(super) executable: Executable,
    /// The content of `/proc/PID/cgroup`.
    pub(super) cgroups: Vec<u8>,
}

/// The executable of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Executable {
    /// The file at this path.
    File(PathBuf),
    /// A file that differs from the file at this path: the original file was removed or replaced, or is in a mount namespace of
    /// the process.
    Elsewhere(PathBuf),
    /// No executable: a kernel thread.
    None,
    /// The executable cannot be determined, for this reason.
    Unknown(String),
}

/// The maximum number of attempts to read a process that keeps changing.
const TRIES: usize = 3;

impl Identity {
    /// The identity of a process; `None` if it has exited. It is read again if the process changes during the read: its ID may
    /// be reused, or it may execute another program.
    pub(super) fn read(root: &Root, pid: Pid) -> io::Result<Option<Self>> {
        let directory = format!("/proc/{pid}");
        for _ in 0..TRIES {
            let Some(before) = Thread::read(root, &directory)? else { return Ok(None) };
            let Some(identity) = none_if_ended(Self::read_once(root, &directory, before.clone()))? else {
                return Ok(None);
            };
            match Thread::read(root, &directory)? {
                Some(after) if (after.start, &after.name) == (before.start, &before.name) => return Ok(Some(identity)),
                None => return Ok(None),
                Some(_) => {}
            }
        }
        Err(io::Error::other("it changes while it is read"))
    }

    fn read_once(root: &Root, directory: &str, thread: Thread) -> io::Result<Self> {
        let status = root.read_bytes(&format!("{directory}/status"))?;
        let (real, effective) = uids(&status).ok_or_else(|| io::Error::other("its status has no user IDs"))?;
        let cgroups = match root.read_bytes(&format!("{directory}/cgroup")) {
            // The kernel does not support cgroups.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            cgroups => cgroups?,
        };
        Ok(Self { thread, real, effective, executable: Executable::read(root, directory), cgroups })
    }

    /// The process as listed in a plan.
    pub(super) fn matched(&self, users: &Users) -> MatchedProcess {
        let user = match (self.real, self.effective) {
            (real, effective) if real == effective => users.name(real),
            (real, effective) => format!("{} and {}", users.name(real), users.name(effective)),
        };
        MatchedProcess {
            pid: Pid(self.thread.tid.0),
            start: self.thread.start,
            name: excerpt::name(&self.thread.name),
            uid: self.real,
            euid: self.effective,
            user,
            executable: self.executable.shown(),
        }
    }

    /// Whether the process is in the cgroup with this path, or in a descendant of it.
    pub(super) fn is_in(&self, cgroup: &str) -> bool {
        let cgroup = cgroup.trim_end_matches('/').as_bytes();
        let mut paths =
            self.cgroups.split(|&byte| byte == b'\n').filter_map(|line| line.splitn(3, |&byte| byte == b':').nth(2));
        paths.any(|path| path.strip_prefix(cgroup).is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/")))
    }

    /// The change since the plan was made; `None` if nothing has changed.
    pub(super) fn difference(&self, planned: &MatchedProcess) -> Option<&'static str> {
        let executable =
            |shown: &Option<String>| shown.as_deref().map(|shown| shown.trim_end_matches(ELSEWHERE).to_owned());
        match () {
            () if (self.real, self.effective) != (planned.uid, planned.euid) => Some("it has another user"),
            () if executable(&self.executable.shown()) != executable(&planned.executable) => {
                Some("it executes another program")
            }
            () => None,
        }
    }
}

fn none_if_ended<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Err(error) if threads::has_ended(&error) => Ok(None),
        result => result.map(Some),
    }
}

/// The real and the effective user ID from `/proc/PID/status` (proc_pid_status(5)).
pub(super) fn uids(status: &[u8]) -> Option<(u32, u32)> {
    let line = status.split(|&byte| byte == b'\n').find_map(|line| line.strip_prefix(b"Uid:"))?;
    let mut numbers = std::str::from_utf8(line).ok()?.split_ascii_whitespace().map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

/// The suffix for the path of an executable that is not the file at that path.
const ELSEWHERE: &str = " (not the file at that path)";

impl Executable {
    fn read(root: &Root, directory: &str) -> Self {
        let link = format!("{directory}/exe");
        match root.read_link(&link) {
            Ok(path) if !root.is_host() || is_same_file(&link, &path) => Self::File(path),
            // d_path, fs/d_path.c, appends this suffix to the path of a removed file.
            Ok(path) => match path.as_os_str().as_bytes().strip_suffix(b" (deleted)") {
                Some(deleted) => Self::Elsewhere(PathBuf::from(std::ffi::OsStr::from_bytes(deleted))),
                None => Self::Elsewhere(path),
            },
            // proc_exe_link, fs/proc/base.c: a process without an address space has no executable.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Self::None,
            Err(error) => Self::Unknown(error.to_string()),
        }
    }

    fn shown(&self) -> Option<String> {
        match self {
            Self::File(path) => Some(excerpt::path(path.as_os_str().as_bytes())),
            Self::Elsewhere(path) => Some(excerpt::path(path.as_os_str().as_bytes()) + ELSEWHERE),
            Self::None | Self::Unknown(_) => None,
        }
    }
}

/// Whether a link of `/proc` refers to the file at this path. A process in a mount namespace that a user created can show any
/// path that the user chooses.
fn is_same_file(link: &str, path: &Path) -> bool {
    let inode = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
    match (fs::metadata(link), fs::metadata(path)) {
        (Ok(executed), Ok(named)) => inode(executed) == inode(named),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_ids_are_read_for_any_process_name() {
        assert_eq!(uids(b"Name:\tk\xc3\nUmask:\t0022\nUid:\t1000\t0\t0\t0\n"), Some((1000, 0)));
        assert_eq!(uids(b"Name:\tUid:\nUid:\t1\n"), None);
        assert_eq!(uids(b""), None);
    }
}
