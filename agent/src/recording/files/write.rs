//! Writes a [`Recording`] to its directory.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::{self, Write};
use std::path::Path;

use parquet::errors::ParquetError;
use serde::Serialize;

use super::check::FileCheck;
use super::replace::{Destination, Published, Replaceable, Staging, written_files};
use super::table::Table;
use super::tables::{Texts, counters, frames, histograms, labels, processes, samples, stacks, threads};
use super::{META_FILE, RecordingError};
use crate::file::Directory;
use crate::recording::{Hashes, Meta, Recording};

/// Writes `recording` to the directory `dir`. An existing recording is replaced atomically.
///
/// Modules without frames are omitted. Module paths that are not UTF-8 are written with replacement characters.
///
/// # Errors
/// `dir` is not a recording, or writing fails. Nothing is left behind, and an existing recording is unchanged.
///
/// # Panics
/// If a row number in `recording` is invalid.
pub fn write(recording: &Recording, dir: &Path) -> Result<Written, RecordingError> {
    let destination = Destination::open(dir)?;
    write_to(recording, &destination)?.in_place(&destination)
}

/// Like [`write`], to a path that was checked before. If it is no longer available, the recording gets another name in the same
/// directory, see [`Written::in_place`].
///
/// # Errors
/// Writing fails. Nothing is left behind.
///
/// # Panics
/// The panics of [`write`].
pub fn write_to(recording: &Recording, destination: &Destination) -> Result<Written, RecordingError> {
    let staging = Staging::new(destination)?;
    let files = write_files(recording, staging.directory(), destination, None)?;
    Ok(Written::new(staging.publish()?, files))
}

/// A written recording: its open directory, and the sizes and checksums of its tables.
#[derive(Debug)]
pub struct Written {
    directory: Replaceable,
    reason: Option<RecordingError>,
    files: BTreeMap<&'static str, FileCheck>,
}

impl Written {
    fn new(published: Published, files: BTreeMap<&'static str, FileCheck>) -> Self {
        let Published { name, directory, reason } = published;
        let written = written_files().map(OsStr::to_owned).collect();
        Self { directory: Replaceable { name, directory, files: written }, reason, files }
    }

    /// Whether it has the requested name.
    ///
    /// # Errors
    /// [`RecordingError::Kept`], with its name.
    pub fn in_place(self, destination: &Destination) -> Result<Self, RecordingError> {
        let Self { directory, reason, files } = self;
        let Some(reason) = reason else { return Ok(Self { directory, reason: None, files }) };
        let kept = destination.path().with_file_name(&directory.name);
        Err(RecordingError::Kept { kept, path: destination.path().to_owned(), source: Box::new(reason) })
    }

    /// Overwrites the recording after symbolization. Tables that symbolization does not change are linked from the previous one.
    ///
    /// # Errors
    /// The errors of [`write_to`]. The recording without names is then kept.
    pub fn write_named(self, recording: &Recording, destination: &Destination) -> Result<Self, RecordingError> {
        let staging = Staging::new(destination)?;
        let files = write_files(recording, staging.directory(), destination, Some(&self))?;
        let mut named = Self::new(staging.publish_over(&self.directory)?, files);
        named.reason = named.reason.or(self.reason);
        Ok(named)
    }

    /// Links a table into another directory, if the file system supports hard links.
    fn hand_over(&self, table: &Table, to: &Directory) -> Option<FileCheck> {
        let check = self.files.get(table.file)?;
        self.directory.directory.link_into(OsStr::new(table.file), to).ok().map(|()| *check)
    }
}

/// The contents of `meta.json`: the metadata, and the sizes and checksums of the files.
#[derive(Serialize)]
struct MetaFile<'a> {
    #[serde(flatten)]
    meta: &'a Meta,
    files: &'a BTreeMap<&'static str, FileCheck>,
    #[serde(skip_serializing_if = "Option::is_none")]
    written_as: Option<String>,
}

fn write_files(
    recording: &Recording,
    staging: &Directory,
    destination: &Destination,
    earlier: Option<&Written>,
) -> Result<BTreeMap<&'static str, FileCheck>, RecordingError> {
    let dir = destination.path();
    let texts = Texts::new(recording);
    let mut files = BTreeMap::new();
    let mut add = |table: &'static Table, write: &dyn Fn() -> Result<FileCheck, ParquetError>| {
        // Symbolization changes only these tables.
        let is_named = [frames::FRAMES.file, frames::INLINED.file].contains(&table.file);
        let earlier = earlier.filter(|_| !is_named).and_then(|earlier| earlier.hand_over(table, staging));
        let check = match earlier {
            Some(check) => check,
            None => write().map_err(|error| write_error(error, dir, table.file))?,
        };
        files.insert(table.file, check);
        Ok::<_, RecordingError>(())
    };
    add(&samples::SAMPLES, &|| samples::write(recording, &texts, staging))?;
    add(&stacks::STACKS, &|| stacks::write(recording, Hashes::of(recording).stacks, staging))?;
    add(&frames::FRAMES, &|| frames::write(recording, Hashes::of_frames(recording), staging))?;
    add(&frames::INLINED, &|| frames::write_inlined(recording, staging))?;
    add(&processes::PROCESSES, &|| processes::write(recording, staging))?;
    add(&threads::THREADS, &|| threads::write(recording, &texts, staging))?;
    add(&labels::LABELS, &|| labels::write(recording, staging))?;
    add(&counters::COUNTERS, &|| counters::write(recording, &texts, staging))?;
    add(&histograms::HISTOGRAMS, &|| histograms::write(recording, &texts, staging))?;
    let meta = serde_json::to_vec_pretty(&MetaFile {
        meta: &recording.meta,
        files: &files,
        written_as: destination.written_as(),
    })
    .map_err(|error| RecordingError::Encode { path: dir.join(META_FILE), why: error.to_string() })?;
    // Written last, because a directory without this file is not a recording.
    let mut file = staging.create_file(OsStr::new(META_FILE))?;
    let written = file.write_all(&meta).and_then(|()| file.write_all(b"\n")).and_then(|()| file.sync_all());
    written.map(|()| files).map_err(|source| RecordingError::Write { path: dir.join(META_FILE), source })
}

fn write_error(error: ParquetError, dir: &Path, file: &str) -> RecordingError {
    let path = dir.join(file);
    match error {
        ParquetError::External(error) => match error.downcast::<io::Error>() {
            Ok(source) => RecordingError::Write { path, source: *source },
            Err(error) => RecordingError::Encode { path, why: error.to_string() },
        },
        error => RecordingError::Encode { path, why: error.to_string() },
    }
}
