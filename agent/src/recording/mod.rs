//! A stand-in for the reader and writer of recordings, which another branch brings.

use std::path::{Path, PathBuf};

use crate::profile::Recording;

/// Why a recording was not read or written.
#[derive(Debug, thiserror::Error)]
pub enum RecordingError {
    /// This branch cannot.
    #[error("recordings are not read or written yet: {}", .0.display())]
    Absent(PathBuf),
}

/// Reads a recording.
///
/// # Errors
/// Always, in this branch.
pub fn read(directory: &Path) -> Result<Recording, RecordingError> {
    Err(RecordingError::Absent(directory.to_owned()))
}

/// Writes a recording.
///
/// # Errors
/// Always, in this branch.
pub fn write(_: &Recording, directory: &Path) -> Result<(), RecordingError> {
    Err(RecordingError::Absent(directory.to_owned()))
}
