//! What is asked of the children that read other processes, and what they answer.

use serde::{Deserialize, Serialize};

/// A file that the keeper holds, by a number that the asker gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct FileNumber(pub(crate) u32);

/// What a reader is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Request {
    /// The text of `/proc/PID/maps`.
    Maps {
        /// The process.
        pid: u32,
    },
    /// Memory of a process, up to where it cannot be read.
    Memory {
        /// The process.
        pid: u32,
        /// The first address.
        address: u64,
        /// How many bytes, at most [`MAX_MEMORY`](super::MAX_MEMORY).
        length: u32,
    },
    /// Which program a process runs: the path of its file, a zero byte, and its arguments, each with a zero byte behind it.
    Program {
        /// The process.
        pid: u32,
    },
    /// The first bytes of a mapped file.
    Magic {
        /// The file. Its path is the message's data.
        mapped: Mapped,
    },
    /// Opens a mapped file for the keeper.
    Open {
        /// What the keeper calls it.
        number: FileNumber,
        /// The file. Its path is the message's data.
        mapped: Mapped,
    },
    /// Opens `/tmp/perf-PID.map` of a process for the keeper.
    OpenPerfMap {
        /// What the keeper calls it.
        number: FileNumber,
        /// The process.
        pid: u32,
        /// Its number in its own PID namespace.
        inner: u32,
        /// The user whose file it must be.
        owner: u32,
    },
}

/// A file that a process has mapped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Mapped {
    /// The process.
    pub(crate) pid: u32,
    /// First address of the mapping.
    pub(crate) start: u64,
    /// The address after the last.
    pub(crate) end: u64,
    /// The device that its inode is on (major, minor), as the kernel lists it.
    pub(crate) device: (u32, u32),
    /// Its inode, which tells it from another file at the same path.
    pub(crate) inode: u64,
}

/// What a reader answers. Text and memory are the message's data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Reply {
    /// The request was carried out.
    Done,
    /// Done; for what was opened, whose it is.
    Opened(Owner),
    /// Refused, by errno.
    Refused {
        /// The errno.
        errno: i32,
    },
}

/// Who answers for the content of a file: the same user may have many files, and a container's root is not the host's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct Owner {
    /// Its user.
    pub(crate) uid: u32,
    /// The device that it is on.
    pub(crate) device: u64,
}

/// What the keeper is asked. It does not answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Keep {
    /// Take files from the socket that comes with this.
    From,
    /// Send the file through the socket that comes with this.
    Forward {
        /// The file.
        number: FileNumber,
    },
    /// Close the file.
    Close {
        /// The file.
        number: FileNumber,
    },
}

/// What a reader says to the keeper with a file's descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Handed {
    /// What it is called.
    pub(super) number: FileNumber,
}
