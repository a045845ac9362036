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
    /// A directory on the way to the file is a symbolic link of root or the caller, which another user can have moved there.
    #[error(
        "{} is a symbolic link of {owner}, and others may have moved it there: they can write to a directory that it is in\n\
         hint: give the path that it leads to",
        path.display()
    )]
    MovableLink {
        /// The link.
        path: PathBuf,
        /// Its owner.
        owner: Owner,
    },
    /// What is in the file's place is the caller's, but another user can have moved it there, and could not remove it.
    #[error(
        "{} is {kind} of {owner}, and others may have moved it there: they can write to a directory that it is in\n\
         hint: choose another name, or a directory that only you can write to",
        path.display()
    )]
    Movable {
        /// The path.
        path: PathBuf,
        /// What it is.
        kind: Kind,
        /// Its owner.
        owner: Owner,
    },
    /// The file's place could not be had any more when it was whole. It was given another name.
    #[error("{} was written in place of {}: {source}", kept.display(), path.display())]
    Kept {
        /// Where it is.
        kept: PathBuf,
        /// Where it should be.
        path: PathBuf,
        /// Why it is not.
        source: Box<FileError>,
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
    /// A directory for temporary files in which others can move or remove those of the caller.
    #[error("others can move or remove what is in {}", path.display())]
    Unprotected {
        /// The directory.
        path: PathBuf,
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
    /// A file or directory that quell keeps its state in belongs to another user.
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
