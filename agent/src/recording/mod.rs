//! Recordings on disk: a directory `NAME.quell/` of Parquet tables that any analyst's tool reads, and `meta.json`.
//!
//! | file | a row is |
//! |---|---|
//! | `samples.parquet` | an observation: when, who, where, for how long, and with what probability it was sampled |
//! | `stacks.parquet` | a node of the tree of call stacks: a frame and its caller's row |
//! | `frames.parquet` | a code location, its module, and its name |
//! | `threads.parquet` | a thread under one name |
//! | `counters.parquet` | an exact total of one thread |
//!
//! Columns ending in `_id` are row numbers from 0, those ending in `_ns` nanoseconds; `time_ns` counts from the start of
//! the capture. Where an analyst would ask for a sum, `value_ns / probability` is what a sample stands for:
//!
//! ```sql
//! SELECT comm, kind, sum(value_ns / probability) AS ns FROM 'x.quell/samples.parquet' GROUP BY ALL ORDER BY ns DESC;
//! ```
//!
//! A recording is written under a hidden, random name, synced, and renamed when it is whole; `meta.json` holds each
//! file's size and checksum, so that a damaged file is an error and never a wrong figure.

mod builder;
mod check;
mod footer;
#[cfg(test)]
mod hostile;
mod limits;
mod pages;
mod read;
mod replace;
mod schema;
mod source;
mod table_read;
mod table_write;
#[cfg(test)]
mod tests;
mod thrift;
mod write;

pub use builder::{CodeLocator, RecordingBuilder, StackInterner};
pub use read::read;
pub use replace::Destination;
pub use write::{Written, write, write_to};

use std::io;
use std::path::PathBuf;

use crate::file::FileError;
use crate::profile::SCHEMA_VERSION;

/// How the name of a recording ends, without the dot.
pub const ENDING: &str = "quell";

/// The file of a recording that says what it is.
const META_FILE: &str = "meta.json";

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
        "{path} was written by quell {quell} in format {found}; this quell reads formats up to {SCHEMA_VERSION}: upgrade quell"
    )]
    Newer {
        /// The recording.
        path: PathBuf,
        /// The writer's version.
        quell: String,
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
