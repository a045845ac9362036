//! Recordings that are written and read back.

mod damage;
mod generated;
mod replaced;

use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use proptest::sample::Index;
use tempfile::TempDir;

use super::check::FileCheck;
use super::table::Table;
use super::*;
use crate::file::Directory;
use crate::recording::example::{self, CPU, Example};
use crate::recording::{Frame, FrameId, Hashes, Location, Module, Recording, Sample, Scope, Symbol};
use crate::units::Nanos;
use generated::recording;

pub(in crate::recording::files) const TABLES: [&Table; 9] = tables::ALL;

fn module(recording: &Recording, frame: &Frame) -> Option<Module> {
    match frame.location {
        Location::Module { module, .. } => Some(recording.modules.get(module).clone()),
        _ => None,
    }
}

/// Asserts that two recordings are equal, except for the numbers of modules, which are not preserved.
fn assert_same(left: &Recording, right: &Recording) {
    assert_eq!(left.meta, right.meta);
    assert_eq!(left.frames.rows().len(), right.frames.rows().len());
    for (one, other) in left.frames.rows().iter().zip(right.frames.rows()) {
        assert_eq!(module(left, one), module(right, other));
        assert_eq!((&one.symbol, &one.source), (&other.symbol, &other.source));
        match (&one.location, &other.location) {
            (Location::Module { offset: one, .. }, Location::Module { offset: other, .. }) => assert_eq!(one, other),
            (one, other) => assert_eq!(one, other),
        }
    }
    assert_eq!(Hashes::of(left), Hashes::of(right));
    assert_eq!(left.stacks.rows(), right.stacks.rows());
    assert_eq!(left.processes.rows(), right.processes.rows());
    assert_eq!(left.threads.rows(), right.threads.rows());
    assert_eq!(left.labels.rows(), right.labels.rows());
    assert_eq!(left.samples, right.samples);
    assert_eq!(left.counters, right.counters);
    assert_eq!(left.histograms, right.histograms);
}

/// One thread, one stack and one sample, as the basis of tests with a single invalid row.
pub(in crate::recording::files) fn smallest() -> Recording {
    let mut example = Example::new();
    let thread = example.thread(1, 2, "worker");
    let stack = example.stack("app kernel:read");
    let sample = example.sample(CPU, thread, stack, 7);
    sample.time = Nanos(5);
    example.counter(example::BLOCKED, Scope::Thread(thread), 1, 3);
    example.recording
}

pub(in crate::recording::files) fn written(recording: &Recording) -> (TempDir, PathBuf) {
    let parent = TempDir::new().expect("a temporary directory");
    let dir = parent.path().join("x.quell");
    write(recording, &dir).expect("a writable directory");
    (parent, dir)
}

/// The directory of a recording after a table was removed, for writing another one with its name.
fn without(dir: &Path, table: &Table) -> Directory {
    fs::remove_file(dir.join(table.file)).expect("a file");
    Directory::open(dir).expect("a directory")
}

/// Updates the sizes and checksums in `meta.json` for the current files, as an attacker would do.
pub(in crate::recording::files) fn vouch(dir: &Path) {
    let mut meta = meta_json(dir);
    for table in TABLES {
        let file = fs::File::open(dir.join(table.file)).expect("a file");
        let check = FileCheck::of(&file, u64::MAX).expect("a file");
        meta["files"][table.file] = serde_json::to_value(check).expect("plain numbers");
    }
    fs::write(dir.join(META_FILE), meta.to_string()).expect("a writable file");
}

pub(in crate::recording::files) fn meta_json(dir: &Path) -> serde_json::Value {
    serde_json::from_slice(&fs::read(dir.join(META_FILE)).expect("a file")).expect("JSON")
}

fn entries(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(dir)
        .expect("a directory")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_is_what_is_read(recording in recording()) {
        let (_parent, dir) = written(&recording);
        assert_same(&recording, &read(&dir).expect("a whole recording"));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]

    #[test]
    fn a_file_that_was_cut_or_changed_is_an_error(
        recording in recording(), table in 0usize..10, at in any::<Index>(), change in proptest::option::of(1u8..),
    ) {
        let (_parent, dir) = written(&recording);
        let path = dir.join(TABLES.get(table).map_or(META_FILE, |table| table.file));
        let mut bytes = fs::read(&path).expect("a file");
        let at = at.index(bytes.len());
        match change {
            Some(change) => bytes[at] ^= change,
            None => bytes.truncate(at),
        }
        fs::write(&path, &bytes).expect("a writable file");
        let read = read(&dir);
        // A changed digit in `meta.json` is a valid value, and a missing final newline is not an error. All other damage is
        // detected.
        prop_assert!(table == 9 || matches!(read, Err(RecordingError::Damaged { .. })), "{read:?}");
    }
}

/// Symbolization rewrites only the tables that it changes. The others, including hashes, are kept unchanged.
#[test]
fn the_hashes_of_a_recording_are_the_same_before_and_after_it_is_named() {
    let parent = TempDir::new().expect("a temporary directory");
    let dir = parent.path().join("x.quell");
    let destination = Destination::open(&dir).expect("a free name");
    let mut recording = smallest();
    let raw = write_to(&recording, &destination).expect("written");
    let before = fs::read(dir.join("stacks.parquet")).expect("a file");
    for row in 0..recording.frames.rows().len() {
        recording.frames.set_symbol(FrameId::from_index(row), Symbol { name: "found".to_owned(), offset: 0 });
    }
    raw.write_named(&recording, &destination).expect("written");
    assert!(before == fs::read(dir.join("stacks.parquet")).expect("a file"));
    assert_same(&recording, &read(&dir).expect("a whole recording"));
}

#[test]
fn a_recording_of_several_row_groups_reads_back_whole() {
    let mut recording = smallest();
    let sample = recording.samples[0];
    // Times and lengths that are not predictable, because a table with too many rows for its size is rejected.
    let random = |row: u64| row.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
    let samples = (0..300_000).map(|row| Sample { time: Nanos(random(row)), value: random(!row), ..sample });
    recording.samples = samples.collect();
    let (_parent, dir) = written(&recording);
    assert_same(&recording, &read(&dir).expect("a whole recording"));
}
