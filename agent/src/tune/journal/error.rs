//! What can be wrong with a journal.

use std::io;
use std::path::{Path, PathBuf};

use crate::excerpt;
use crate::file::FileError;

/// A journal that cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// A file or directory fails.
    #[error("could not {what} {}: {source}{}", path.display(), root_needed(source))]
    Io {
        /// What was tried: `write`.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A directory or file is not what quell has made, or not its own.
    #[error(transparent)]
    File(FileError),
    /// It cannot be opened to be written, or an earlier failure left it in a state that nothing may be added to.
    #[error("nothing can be added to {}: {why}", path.display())]
    Stopped {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// A record in the middle is damaged: not by a crash, which can only cut the end.
    #[error(
        "{} is damaged at line {line}: {why}; put back by hand what it has changed, then move it away; original values that \
         can still be read: {known}",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong.
        why: String,
        /// The original values that can still be read, as JSON; `unknown` where there are none.
        known: String,
    },
    /// A whole record that this version does not know.
    #[error(
        "{} was written by quell {}, and this version does not understand line {line}: {why}; undo it with that one; \
         original values that can be read: {known}",
        path.display(),
        excerpt::value(version)
    )]
    Foreign {
        /// The file.
        path: PathBuf,
        /// Who wrote it.
        version: String,
        /// The line, from 1.
        line: usize,
        /// What is not understood.
        why: String,
        /// The original values that can be read, as JSON; `unknown` where there are none.
        known: String,
    },
}

pub(super) fn failed(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> JournalError {
    let path = path.to_owned();
    move |source| JournalError::Io { what, path, source }
}

pub(super) fn refused(what: &'static str, path: &Path) -> impl FnOnce(FileError) -> JournalError {
    let path = path.to_owned();
    move |error| match error {
        FileError::Io { source, .. } => JournalError::Io { what, path, source },
        error => JournalError::File(error),
    }
}

fn root_needed(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::PermissionDenied => "\nhint: what is in force is for root alone to read and change",
        _ => "",
    }
}
