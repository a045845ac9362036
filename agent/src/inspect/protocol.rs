//! The messages to and from the children that read other processes.

use serde::{Deserialize, Serialize};

/// The number of a file that the keeper holds, chosen by the sender of the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct FileNumber(pub(crate) u32);

/// A request to a reader.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Request {
    /// Reads the contents of `/proc/PID/maps`.
    Maps {
        /// The PID of the process.
        pid: u32,
    },
    /// Reads memory of a process, up to the first address that cannot be read.
    Memory {
        /// The PID of the process.
        pid: u32,
        /// The first address.
        address: u64,
        /// The number of bytes, at most [`MAX_MEMORY`](super::MAX_MEMORY).
        length: u32,
    },
    /// Reads the program of a process: the path of its executable, a zero byte, and its arguments, each followed by a zero
    /// byte.
    Program {
        /// The PID of the process.
        pid: u32,
    },
    /// Reads the first bytes of a mapped file.
    Magic {
        /// The file. Its path is the data of the message.
        mapped: Mapped,
    },
    /// Opens a mapped file for the keeper.
    Open {
        /// The number of the file in the keeper.
        number: FileNumber,
        /// The file. Its path is the data of the message.
        mapped: Mapped,
    },
    /// Opens `/tmp/perf-PID.map` of a process for the keeper.
    OpenPerfMap {
        /// The number of the file in the keeper.
        number: FileNumber,
        /// The PID of the process.
        pid: u32,
        /// The PID in the PID namespace of the process.
        inner: u32,
        /// The UID that the file must belong to.
        owner: u32,
    },
}

/// A file that is mapped by a process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Mapped {
    /// The PID of the process.
    pub(crate) pid: u32,
    /// The first address of the mapping.
    pub(crate) start: u64,
    /// The address after the last byte of the mapping.
    pub(crate) end: u64,
    /// The device of the inode (major, minor), as in `/proc/PID/maps`.
    pub(crate) device: (u32, u32),
    /// The inode, which distinguishes the file from other files at the same path.
    pub(crate) inode: u64,
}

/// An answer from a reader. Text and memory are the data of the message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Reply {
    /// The request succeeded.
    Done,
    /// A file was opened. The value is its owner.
    Opened(Owner),
    /// The request failed.
    Refused {
        /// The errno.
        errno: i32,
    },
}

/// The owner of a file, who is responsible for its contents: a user may own many files. The device is included because root
/// in a container is not root on the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct Owner {
    /// The UID.
    pub(crate) uid: u32,
    /// The device that the file is on.
    pub(crate) device: u64,
}

/// A request to the keeper. The keeper does not answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Keep {
    /// Receive files from the attached socket.
    From,
    /// Send the file through the attached socket.
    Forward {
        /// The number of the file.
        number: FileNumber,
    },
    /// Close the file.
    Close {
        /// The number of the file.
        number: FileNumber,
    },
}

/// The message that accompanies the descriptor of a file from a reader to the keeper.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Handed {
    /// The number of the file.
    pub(super) number: FileNumber,
}
