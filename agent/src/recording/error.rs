//! What may go wrong with recordings on disk.

use std::io;
use std::path::PathBuf;

use super::SCHEMA_VERSION;
use crate::file::FileError;

/// Why a recording was not written or read.
#[derive(Debug, thiserror::Error)]
pub enum RecordingError {
    /// The system refused to write.
    #[error("could not write {path}: {source}")]
    Write {
        /// What was written; where the whole was put together under a temporary name, the path it would have had.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The system refused to read.
    #[error("could not read {path}: {source}")]
    Read {
        /// What was read.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A table or `meta.json` could not be encoded.
    #[error("could not encode {path}: {why}")]
    Encode {
        /// The file.
        path: PathBuf,
        /// What the encoder says.
        why: String,
    },
    /// Something else stands where the recording should go.
    #[error("{path} exists and is not a quell recording; choose another name, or move it away")]
    Occupied {
        /// What is in the way.
        path: PathBuf,
    },
    /// A recording that would be replaced holds something that quell did not write.
    #[error(
        "{path} is not part of the recording {recording}, which would be replaced\nhint: move it away, or choose another name"
    )]
    OtherFile {
        /// What is in the way.
        path: PathBuf,
        /// The recording that it is in.
        recording: PathBuf,
    },
    /// The recording's place could not be had any more when it was whole. It was given another name.
    #[error("{kept} was written in place of {path}: {source}")]
    Kept {
        /// Where it is.
        kept: PathBuf,
        /// Where it should be.
        path: PathBuf,
        /// Why it is not.
        source: Box<RecordingError>,
    },
    /// The name cannot be that of a directory: it is empty, or ends in `..`.
    #[error("`{path}` cannot name a recording; give a name such as app.quell")]
    BadName {
        /// The name.
        path: PathBuf,
    },
    /// Nothing may be written there, or not by name and descriptor.
    #[error(transparent)]
    File(#[from] FileError),
    /// There is nothing to read.
    #[error("there is no {path}; `quell record -o NAME.quell` writes a recording")]
    Missing {
        /// What was to be read.
        path: PathBuf,
    },
    /// What was to be read is no recording.
    #[error("{path} is not a quell recording; name a directory that `quell record -o NAME.quell` wrote")]
    NotARecording {
        /// What was to be read.
        path: PathBuf,
    },
    /// The recording was made by a newer quell.
    #[error(
        "{path} was written by quell {quell} in format {found}; this quell reads format {SCHEMA_VERSION}: upgrade quell"
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
    #[error("{path} was written in format {found}, which no release of quell reads or writes: capture again")]
    Older {
        /// The recording.
        path: PathBuf,
        /// The writer's [`SCHEMA_VERSION`].
        found: u32,
    },
    /// A file asks for more memory or time than reading a recording may take.
    #[error(
        "{path} is larger than quell reads: {why}\nhint: docs/recording-format.md states the limits; capture for a shorter time, fewer processes or CPUs, or at a lower frequency (-F)"
    )]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// What there is too much of, and the limit.
        why: String,
    },
    /// A file is not what was written.
    #[error("{path} is damaged: {why}; copy the recording again, or record anew")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
}
