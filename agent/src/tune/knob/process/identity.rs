//! Who a process is: its users, its executable and its cgroups, read so that they are of one process.

use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::excerpt;
use crate::host::{Root, Users};
use crate::tune::MatchedProcess;
use crate::tune::knob::threads::{self, Thread};
use crate::units::Pid;

/// Who a process is.
#[derive(Clone, Debug)]
pub(super) struct Identity {
    /// Its first thread.
    pub(super) thread: Thread,
    pub(super) real: u32,
    pub(super) effective: u32,
    pub(super) executable: Executable,
    /// `/proc/PID/cgroup`.
    pub(super) cgroups: Vec<u8>,
}

/// What a process executes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Executable {
    /// The file that is at this path.
    File(PathBuf),
    /// One that was at this path, or is there in a mount namespace of the process.
    Elsewhere(PathBuf),
    /// Nothing: a kernel thread.
    None,
    /// It may not be read.
    Unknown(String),
}

/// So often a process is read again that changes meanwhile.
const TRIES: usize = 3;

impl Identity {
    /// Who the process of a number is; `None` where it has ended. It is read again where it became another in between: its number may
    /// be given out anew, and it may execute another program.
    pub(super) fn read(root: &Root, pid: Pid) -> io::Result<Option<Self>> {
        let directory = format!("/proc/{pid}");
        for _ in 0..TRIES {
            let Some(before) = Thread::read(root, &directory)? else { return Ok(None) };
            let Some(identity) = ended_is_none(Self::read_once(root, &directory, before.clone()))? else {
                return Ok(None);
            };
            match Thread::read(root, &directory)? {
                Some(after) if (after.start, &after.name) == (before.start, &before.name) => return Ok(Some(identity)),
                None => return Ok(None),
                Some(_) => {}
            }
        }
        Err(io::Error::other("it becomes another process again and again"))
    }

    fn read_once(root: &Root, directory: &str, thread: Thread) -> io::Result<Self> {
        let status = root.read_bytes(&format!("{directory}/status"))?;
        let (real, effective) = uids(&status).ok_or_else(|| io::Error::other("its status has no users"))?;
        let cgroups = match root.read_bytes(&format!("{directory}/cgroup")) {
            // A kernel without cgroups.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            cgroups => cgroups?,
        };
        Ok(Self { thread, real, effective, executable: Executable::read(root, directory), cgroups })
    }

    /// As a plan names it.
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

    /// Whether it is in a cgroup of this path, or in one below.
    pub(super) fn is_in(&self, group: &str) -> bool {
        let group = group.trim_end_matches('/').as_bytes();
        let mut paths =
            self.cgroups.split(|&byte| byte == b'\n').filter_map(|line| line.splitn(3, |&byte| byte == b':').nth(2));
        paths.any(|path| path.strip_prefix(group).is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/")))
    }

    /// What keeps this from being the process that a plan names; `None` where it is that one still.
    pub(super) fn difference(&self, planned: &MatchedProcess) -> Option<&'static str> {
        let executable = |shown: &Option<String>| shown.as_deref().map(|shown| shown.trim_end_matches(GONE).to_owned());
        match () {
            () if (self.real, self.effective) != (planned.uid, planned.euid) => Some("its user has changed"),
            () if executable(&self.executable.shown()) != executable(&planned.executable) => {
                Some("it executes another program")
            }
            () => None,
        }
    }
}

fn ended_is_none<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Err(error) if threads::has_ended(&error) => Ok(None),
        result => result.map(Some),
    }
}

/// The real and the effective user of `/proc/PID/status` (proc_pid_status(5)).
pub(super) fn uids(status: &[u8]) -> Option<(u32, u32)> {
    let line = status.split(|&byte| byte == b'\n').find_map(|line| line.strip_prefix(b"Uid:"))?;
    let mut numbers = std::str::from_utf8(line).ok()?.split_ascii_whitespace().map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

/// What is said of an executable that is not at its path.
const GONE: &str = " (not the file at that path)";

impl Executable {
    fn read(root: &Root, directory: &str) -> Self {
        let link = format!("{directory}/exe");
        match root.read_link(&link) {
            Ok(path) if !root.is_host() || is_same_file(&link, &path) => Self::File(path),
            // d_path, fs/d_path.c, says so of a file that was removed.
            Ok(path) => match path.as_os_str().as_bytes().strip_suffix(b" (deleted)") {
                Some(deleted) => Self::Elsewhere(PathBuf::from(std::ffi::OsStr::from_bytes(deleted))),
                None => Self::Elsewhere(path),
            },
            // proc_exe_link, fs/proc/base.c: without an address space there is none.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Self::None,
            Err(error) => Self::Unknown(error.to_string()),
        }
    }

    fn shown(&self) -> Option<String> {
        match self {
            Self::File(path) => Some(excerpt::path(path.as_os_str().as_bytes())),
            Self::Elsewhere(path) => Some(excerpt::path(path.as_os_str().as_bytes()) + GONE),
            Self::None | Self::Unknown(_) => None,
        }
    }
}

/// Whether the file that a link of `/proc` leads to is the one of this path: a process of a user's own mount namespace shows whatever
/// path that user likes.
fn is_same_file(link: &str, path: &Path) -> bool {
    let place = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
    match (fs::metadata(link), fs::metadata(path)) {
        (Ok(executed), Ok(there)) => place(executed) == place(there),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_read_whatever_the_name_is() {
        assert_eq!(uids(b"Name:\tk\xc3\nUmask:\t0022\nUid:\t1000\t0\t0\t0\n"), Some((1000, 0)));
        assert_eq!(uids(b"Name:\tUid:\nUid:\t1\n"), None);
        assert_eq!(uids(b""), None);
    }
}
