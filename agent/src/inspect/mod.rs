//! Other processes, seen from outside: their mappings, memory, and the files that they have mapped.
//!
//! An access to another process may take long or never return, because a FUSE server or a userfaultfd(2) handler may be
//! behind its files and memory. So child processes do the accesses, and are killed on a timeout ([`Children`]): one
//! reader for urgent requests, another that opens files, a starter that forks these two, and the keeper that holds the
//! files. None of them parses anything, so readers and their starter can have the privileges for this; quell itself
//! needs none.

mod allowance;
mod children;
#[cfg(test)]
mod direct;
mod keeper;
mod protocol;
mod reader;
mod strikes;

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use children::Children;
#[cfg(test)]
pub(crate) use direct::Direct;
pub(crate) use keeper::Keeper;
pub(crate) use protocol::{FileNumber, Mapped, Owner};
pub(crate) use reader::serve as serve_reader;
use strikes::Responsible;

use crate::child::Channel;
use crate::units::{Addr, Pid};

/// Reads the memory of other processes while they live.
pub trait ProcessMemory {
    /// Up to `length` bytes from `address` on; fewer where the memory that is resident ends. `None` where none can be read.
    fn read(&mut self, pid: Pid, address: Addr, length: u32) -> Option<Vec<u8>>;
}

/// How much of `/proc/PID/maps` is read, in bytes: the 65,530 mappings that a process may have by default
/// (`vm.max_map_count`), at 128 bytes each.
const MAX_MAPS: u64 = 8 << 20;

/// How much memory is read at once, in bytes.
pub(crate) const MAX_MEMORY: u32 = 64 << 10;

/// How much of a process's arguments is read, in bytes.
const MAX_ARGUMENTS: u32 = 4 << 10;

/// The longest message to or between children, in bytes: a path of 4 KiB, as JSON and as it is.
const MAX_REQUEST: usize = 64 << 10;

/// The longest answer of a reader, in bytes.
const MAX_ANSWER: usize = MAX_MAPS as usize + MAX_REQUEST;

/// A file to be opened.
#[derive(Clone, Debug)]
pub(crate) enum ToOpen<'a> {
    /// A file that a process has mapped, and its path there.
    Mapped(Mapped, &'a Path),
    /// The process's list of the code that it made at run time, `/tmp/perf-PID.map`.
    PerfMap(Pid),
}

/// What a process runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Program {
    /// The path of its file, as the process sees it; `None` for a kernel thread.
    pub(crate) path: Option<PathBuf>,
    /// Its arguments, the program's name first; `None` if they could not be read.
    pub(crate) arguments: Option<Vec<String>>,
}

impl Program {
    /// From a reader's answer, see `Request::Program`.
    fn parse(answer: &[u8]) -> Self {
        let (path, arguments) = answer.split_at(answer.iter().position(|byte| *byte == 0).unwrap_or(answer.len()));
        // Each ends in a zero byte; the last may have been cut.
        let arguments = arguments.strip_prefix(&[0]).unwrap_or_default();
        let whole = arguments.strip_suffix(&[0]).unwrap_or(arguments);
        let words = || whole.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into_owned());
        Self {
            path: (!path.is_empty()).then(|| PathBuf::from(OsStr::from_bytes(path))),
            arguments: (!arguments.is_empty()).then(|| words().collect()),
        }
    }
}

/// Access to other processes. Every call has a time limit, and the limit shrinks with each timeout.
pub(crate) trait ProcessAccess: Send {
    /// The text of `/proc/PID/maps`, at most its first 8 MiB.
    ///
    /// # Errors
    /// The process has ended, may not be looked at, or did not answer in time (`TimedOut`).
    fn maps(&mut self, pid: Pid) -> io::Result<Vec<u8>>;

    /// Memory of a process from `address` on, up to where it cannot be read; at most [`MAX_MEMORY`] bytes.
    ///
    /// # Errors
    /// As [`ProcessAccess::maps`], and where nothing is mapped at `address`.
    fn memory(&mut self, pid: Pid, address: Addr, length: u32) -> io::Result<Vec<u8>>;

    /// Which program a process runs, and its arguments as far as they are resident: at most their first 4 KiB.
    ///
    /// # Errors
    /// As [`ProcessAccess::maps`].
    fn program(&mut self, pid: Pid) -> io::Result<Program>;

    /// Whether a mapped file begins as an ELF file does.
    fn is_elf(&mut self, mapped: &Mapped, path: &Path) -> bool;

    /// Begins to open a file, which is held open then.
    fn open(&mut self, file: ToOpen<'_>) -> FileNumber;

    /// What came of [`ProcessAccess::open`] since the last call. Waits for `patience` at most where nothing has come yet.
    fn opened(&mut self, patience: Duration) -> Vec<(FileNumber, io::Result<Owner>)>;

    /// Whether files are still being opened.
    fn is_opening(&self) -> bool;

    /// Closes a file.
    fn close(&mut self, number: FileNumber);

    /// Has an open file sent through a socket, for [`receive_file`].
    ///
    /// # Errors
    /// The file's keeper has ended.
    fn forward(&mut self, number: FileNumber, to: UnixStream) -> io::Result<()>;

    /// Processes whose mappings, memory or files were not to be had in time.
    fn unanswered(&self) -> u64;

    /// CPU time that was used for all this by other processes of quell.
    fn cpu(&self) -> Duration;

    /// Those processes.
    fn processes(&self) -> Vec<Pid>;
}

/// The file that [`ProcessAccess::forward`] sent.
///
/// # Errors
/// It was not held.
pub(crate) fn receive_file(from: UnixStream) -> io::Result<std::fs::File> {
    let mut channel = Channel::new(from, MAX_REQUEST).taking_descriptors();
    let message = channel.receive::<protocol::Handed>()?;
    let file = message.and_then(|message| message.descriptors.into_iter().next());
    file.map(std::fs::File::from).ok_or_else(|| io::ErrorKind::NotFound.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_read_from_what_a_reader_answers() {
        let parsed = |answer: &[u8]| {
            let Program { path, arguments } = Program::parse(answer);
            (path.map(|path| path.display().to_string()), arguments.map(|words| words.join("|")))
        };
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(parsed(b"/bin/app\0app\0-x\0"), (some("/bin/app"), some("app|-x")));
        assert_eq!(
            parsed(b"/bin/app\0app\0\0x"),
            (some("/bin/app"), some("app||x")),
            "an empty one, and one that was cut"
        );
        assert_eq!(parsed(b"/bin/app\0\0"), (some("/bin/app"), some("")), "one that is empty");
        assert_eq!(parsed(b"\0"), (None, None));
        assert_eq!(parsed(b""), (None, None));
        assert_eq!(parsed(b"\xff\0\xff"), (some("\u{fffd}"), some("\u{fffd}")));
    }
}
