//! Errors of writing files.

use std::io;
use std::path::PathBuf;

use super::{Kind, Owner};

/// The reason why quell does not write a file, or does not read a file of its own state.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// A system call failed.
    #[error("could not {operation} {}: {source}", path.display())]
    Io {
        /// The operation, such as `open`.
        operation: &'static str,
        /// The path of the operation.
        path: PathBuf,
        /// The error of the system call.
        r#source: io::Error,
    },
    /// The path does not end in a file name.
    #[error("{} does not end in a file name\nhint: use a name such as app.html", path.display())]
    BadName {
        /// The path.
        path: PathBuf,
    },
    /// A directory on the way to the file is a symbolic link that another user made.
    #[error(
        "{} is a symbolic link of {owner}, who can change its target\nhint: use the path of the target",
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
        "{} is a symbolic link of {owner} that another user may have moved there, because a directory of the path is writable for others\n\
         hint: use the path of the target",
        path.display()
    )]
    MovableLink {
        /// The link.
        path: PathBuf,
        /// Its owner.
        owner: Owner,
    },
    /// The path has a file of the caller that another user may have moved there, but could not remove.
    #[error(
        "{} is {kind} of {owner} that another user may have moved there, because a directory of the path is writable for others\n\
         hint: choose another name, or a directory that only you can write to",
        path.display()
    )]
    Movable {
        /// The path.
        path: PathBuf,
        /// The type of the file.
        kind: Kind,
        /// Its owner.
        owner: Owner,
    },
    /// The file was written under another name, because its path was no longer available when it was complete.
    #[error("{} could not be written, the result is in {}: {source}", path.display(), kept.display())]
    Kept {
        /// The path of the file.
        kept: PathBuf,
        /// The intended path.
        path: PathBuf,
        /// The reason why the intended path was not available.
        r#source: Box<FileError>,
    },
    /// The path has more symbolic links than are followed.
    #[error("could not open {}: more than {limit} symbolic links", path.display())]
    TooManyLinks {
        /// The path.
        path: PathBuf,
        /// The maximum number of links.
        limit: usize,
    },
    /// The path has a file that another user may have planted.
    #[error(
        "{} is {kind} of {owner}, in a directory that others can write to\n\
         hint: remove it, or choose a directory that only you can write to",
        path.display()
    )]
    Planted {
        /// The path.
        path: PathBuf,
        /// The type of the file.
        kind: Kind,
        /// Its owner.
        owner: Owner,
    },
    /// The path has a file that cannot be written, such as a directory.
    #[error("{} is {kind} of {owner} and cannot be written\nhint: choose another name", path.display())]
    Unsuitable {
        /// The path.
        path: PathBuf,
        /// The type of the file.
        kind: Kind,
        /// Its owner.
        owner: Owner,
    },
    /// The directory, FIFO or device is not writable for the caller.
    #[error("{} is not writable: {source}", path.display())]
    NotWritable {
        /// The directory, FIFO or device.
        path: PathBuf,
        /// The error of access(2).
        r#source: io::Error,
    },
    /// A FIFO has no reader.
    #[error("no process reads from the FIFO {}\nhint: start its reader first", path.display())]
    NoReader {
        /// The FIFO.
        path: PathBuf,
    },
    /// The reader of a pipe, or a device, accepts no more data.
    #[error("{} has accepted no data for {seconds} s", path.display())]
    Stalled {
        /// The pipe or device.
        path: PathBuf,
        /// The timeout, in seconds.
        seconds: u64,
    },
    /// Other users can move or remove the caller's files in a directory for temporary files.
    #[error("other users can move or remove files in {}", path.display())]
    Unprotected {
        /// The directory.
        path: PathBuf,
    },
    /// The number is not a descriptor that this process inherited and may write to.
    #[error("file descriptor {number} is not open for writing\nhint: open it in the shell, as in {number}>FILE")]
    Descriptor {
        /// The number.
        number: i32,
    },
    /// Another process replaced the temporary file before it was renamed.
    #[error("{} was replaced by another process while it was written\nhint: choose a directory that only you can write to", path.display())]
    Exchanged {
        /// The path.
        path: PathBuf,
    },
    /// A file or directory that quell keeps its state in belongs to another user.
    #[error("{} belongs to {owner}, who can change it\nhint: remove it, or `chown` it to root", path.display())]
    ForeignState {
        /// The file or directory.
        path: PathBuf,
        /// Its owner.
        owner: Owner,
    },
}

impl FileError {
    /// The kind of the system call's error, which distinguishes a missing file from a refused one; `Other` for all other
    /// errors.
    #[must_use]
    pub fn kind(&self) -> io::ErrorKind {
        match self {
            Self::Io { source, .. } | Self::NotWritable { source, .. } => source.kind(),
            _ => io::ErrorKind::Other,
        }
    }
}

/// For callers whose own error contains the path: the error of a system call is passed on unchanged.
impl From<FileError> for io::Error {
    fn from(error: FileError) -> Self {
        match error {
            FileError::Io { source, .. } => source,
            error => Self::other(error),
        }
    }
}
