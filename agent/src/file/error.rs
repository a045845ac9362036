//! Why a file is not written.

use std::io;
use std::path::PathBuf;

use super::{Kind, Owner};

/// A file that quell does not write, or not read for its own state.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// A system call failed.
    #[error("could not {operation} {}: {source}", path.display())]
    Io {
        /// What was attempted: `open`.
        operation: &'static str,
        /// On what.
        path: PathBuf,
        /// The error of the system call.
        source: io::Error,
    },
    /// The path ends in no name that a file could have.
    #[error("{} does not end in the name of a file\nhint: give a name such as app.html", path.display())]
    BadName {
        /// The path.
        path: PathBuf,
    },
    /// A directory on the way to the file is a symbolic link that another user made.
    #[error(
        "{} is a symbolic link of {owner}, who could point it anywhere\nhint: give the path that it leads to",
        path.display()
    )]
    ForeignLink {
        /// The link.
        path: PathBuf,
        /// Its owner.
        owner: Owner,
    },
    /// Links lead to links without an end.
    #[error("could not open {}: more than {limit} symbolic links", path.display())]
    TooManyLinks {
        /// The path.
        path: PathBuf,
        /// The most links that are followed.
        limit: usize,
    },
    /// Something that another user may have planted is in the file's place.
    #[error(
        "{} is {kind} of {owner}, in a directory that others can write to\n\
         hint: choose a name in a directory that only you can write to, or remove what is there",
        path.display()
    )]
    Planted {
        /// The path.
        path: PathBuf,
        /// What it is.
        kind: Kind,
        /// Its owner.
        owner: Owner,
    },
    /// What is in the file's place cannot take its contents.
    #[error("{} is {kind} of {owner}, which cannot be written\nhint: choose another name", path.display())]
    Unsuitable {
        /// The path.
        path: PathBuf,
        /// What it is.
        kind: Kind,
        /// Its owner.
        owner: Owner,
    },
    /// Nothing can be created in the directory.
    #[error("{} is not writable: {source}", path.display())]
    NotWritable {
        /// The directory, FIFO or device.
        path: PathBuf,
        /// The error of access(2).
        source: io::Error,
    },
    /// A FIFO has no reader.
    #[error("no process reads from the FIFO {}\nhint: start its reader first", path.display())]
    NoReader {
        /// The FIFO.
        path: PathBuf,
    },
    /// The reader of a pipe, or a device, does not take more.
    #[error("{} has taken nothing for {seconds} s", path.display())]
    Stalled {
        /// The pipe or device.
        path: PathBuf,
        /// How long it was waited for.
        seconds: u64,
    },
    /// A number that names no descriptor which this process was started with and may write to.
    #[error("file descriptor {number} is not open for writing\nhint: open it in the shell, as in {number}>FILE")]
    Descriptor {
        /// The number.
        number: i32,
    },
    /// Another process exchanged what was written before it had its name.
    #[error("{} was exchanged by another process while it was written\nhint: choose a directory that only you can write to", path.display())]
    Exchanged {
        /// The path.
        path: PathBuf,
    },
    /// A file or directory that quell keeps its state in belongs to somebody else.
    #[error("{} belongs to {owner}, who could change it\nhint: remove it, or give it to root", path.display())]
    ForeignState {
        /// The file or directory.
        path: PathBuf,
        /// Its owner.
        owner: Owner,
    },
}

impl FileError {
    /// The error of a system call, or another one's kind: to tell a missing file from one that is refused.
    #[must_use]
    pub fn kind(&self) -> io::ErrorKind {
        match self {
            Self::Io { source, .. } | Self::NotWritable { source, .. } => source.kind(),
            _ => io::ErrorKind::Other,
        }
    }
}

/// For callers that have a path in their own error: that of a system call is passed on as it is.
impl From<FileError> for io::Error {
    fn from(error: FileError) -> Self {
        match error {
            FileError::Io { source, .. } => source,
            error => Self::other(error),
        }
    }
}
