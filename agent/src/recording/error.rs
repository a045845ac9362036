//! Errors of recordings on disk.

use std::io;
use std::path::PathBuf;

use super::SCHEMA_VERSION;
use crate::file::FileError;

/// The reason why a recording could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum RecordingError {
    /// A write failed.
    #[error("could not write {path}: {source}")]
    Write {
        /// The file or recording. For a file under a temporary name, this is its final path.
        path: PathBuf,
        /// The error of the system call.
        r#source: io::Error,
    },
    /// A read failed.
    #[error("could not read {path}: {source}")]
    Read {
        /// The file or recording.
        path: PathBuf,
        /// The error of the system call.
        r#source: io::Error,
    },
    /// A table or `meta.json` could not be encoded.
    #[error("could not encode {path}: {why}")]
    Encode {
        /// The file.
        path: PathBuf,
        /// The message of the encoder.
        why: String,
    },
    /// A file or directory that is not a recording has the path of the recording.
    #[error("{path} exists and is not a quell recording\nhint: move it away, or choose another name")]
    Occupied {
        /// The path of the file or directory.
        path: PathBuf,
    },
    /// A recording that would be overwritten contains a file that quell did not write.
    #[error(
        "{path} is in the recording {recording}, which would be overwritten, but does not belong to it\nhint: move it away, or choose another name"
    )]
    OtherFile {
        /// The path of the file or directory.
        path: PathBuf,
        /// The recording that contains it.
        recording: PathBuf,
    },
    /// The recording was written under another name, because its path was no longer available when it was complete.
    #[error("{path} could not be written, the recording is in {kept}: {source}")]
    Kept {
        /// The path of the recording.
        kept: PathBuf,
        /// The intended path.
        path: PathBuf,
        /// The reason why the intended path was not available.
        r#source: Box<RecordingError>,
    },
    /// The name is not one of a directory: it is empty, or ends in `..`.
    #[error("`{path}` is not a valid name of a recording\nhint: use a name such as app.quell")]
    BadName {
        /// The invalid name.
        path: PathBuf,
    },
    /// The path may not be written.
    #[error(transparent)]
    File(#[from] FileError),
    /// The recording does not exist.
    #[error("{path} does not exist\nhint: `quell record -o NAME.quell` writes a recording")]
    Missing {
        /// The path of the recording.
        path: PathBuf,
    },
    /// The directory is not a recording.
    #[error("{path} is not a quell recording\nhint: use a directory that `quell record -o NAME.quell` wrote")]
    NotARecording {
        /// The path of the recording.
        path: PathBuf,
    },
    /// The recording was made by a newer quell.
    #[error(
        "{path} was written by quell {quell} in format {found}, and this quell reads format {SCHEMA_VERSION}\nhint: upgrade quell"
    )]
    Newer {
        /// The recording.
        path: PathBuf,
        /// The writer's version.
        quell: String,
        /// The writer's [`SCHEMA_VERSION`].
        found: u32,
    },
    /// The recording was made by a quell that was never released.
    #[error("{path} has format {found}, which no release of quell supports\nhint: record again")]
    Older {
        /// The recording.
        path: PathBuf,
        /// The writer's [`SCHEMA_VERSION`].
        found: u32,
    },
    /// A file requires more memory or time than the limits allow.
    #[error(
        "{path} exceeds a limit: {why}\nhint: record for a shorter time, fewer processes or CPUs, or with a lower -F; docs/recording-format.md lists the limits"
    )]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The exceeded limit.
        why: String,
    },
    /// A file was modified after it was written.
    #[error("{path} is damaged: {why}\nhint: copy the recording again, or record again")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// A description of the damage.
        why: String,
    },
}

impl RecordingError {
    /// The kind of the system call's error; `Other` for all other errors.
    #[must_use]
    pub fn kind(&self) -> io::ErrorKind {
        match self {
            Self::Write { source, .. } | Self::Read { source, .. } => source.kind(),
            Self::File(error) => error.kind(),
            _ => io::ErrorKind::Other,
        }
    }
}
