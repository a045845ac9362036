//! Errors of journals.

use std::io;
use std::path::{Path, PathBuf};

use crate::excerpt;
use crate::file::FileError;

/// A journal that cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// A file or directory cannot be accessed.
    #[error("could not {operation} {}: {source}{}", path.display(), root_hint(source))]
    Io {
        /// The operation, such as `write`.
        operation: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The error from the kernel.
        r#source: io::Error,
    },
    /// A file or directory was not created by quell, or belongs to another user.
    #[error(transparent)]
    File(FileError),
    /// Nothing can be appended: the file cannot be opened for writing, or an earlier failure left an incomplete record.
    #[error("could not append to {}: {reason}", path.display())]
    NotWritable {
        /// The file.
        path: PathBuf,
        /// The error message of the failure.
        reason: String,
    },
    /// A record that is not at the end of the file is damaged. A crash can damage only the end.
    #[error(
        "{} is damaged at line {line}: {reason}; original values that can be read: {originals}\n\
         hint: restore these values manually, then move the file away",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The line number, starting at 1.
        line: usize,
        /// The problem.
        reason: String,
        /// The original values that can be read, as JSON; `unknown` if there are none.
        originals: String,
    },
    /// An intact record that this version of quell does not understand.
    #[error(
        "{} was written by quell {}, and this version does not understand line {line}: {reason}; original values that can be read: \
         {originals}\nhint: roll it back with that version of quell",
        path.display(),
        excerpt::value(version)
    )]
    Foreign {
        /// The file.
        path: PathBuf,
        /// The version of quell that wrote the file.
        version: String,
        /// The line number, starting at 1.
        line: usize,
        /// The part that is not understood.
        reason: String,
        /// The original values that can be read, as JSON; `unknown` if there are none.
        originals: String,
    },
}

pub(super) fn io_error(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> JournalError {
    let path = path.to_owned();
    move |source| JournalError::Io { operation, path, source }
}

pub(super) fn file_error(operation: &'static str, path: &Path) -> impl FnOnce(FileError) -> JournalError {
    let path = path.to_owned();
    move |error| match error {
        FileError::Io { source, .. } => JournalError::Io { operation, path, source },
        error => JournalError::File(error),
    }
}

fn root_hint(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::PermissionDenied => "\nhint: journals are readable by root alone",
        _ => "",
    }
}
