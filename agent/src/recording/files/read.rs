//! Reads a [`Recording`] from its directory. All row numbers are checked, so that they are valid indices.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use serde::Deserialize;

use super::check::FileCheck;
use super::damage::Damage;
use super::limits;
use super::source::{Directory, Source};
use super::table::Table;
use super::table_read::TableReader;
use super::tables::{References, counters, frames, histograms, labels, processes, samples, stacks, threads};
use super::{META_FILE, RecordingError};
use crate::excerpt;
use crate::recording::{Meta, MetricKind, Recording, SCHEMA_VERSION, Unit};

/// Reads the recording in `dir`. Unknown columns are ignored.
///
/// A recording may be from an untrusted source: only regular files of the size in `meta.json` are read, within the limits of
/// `docs/recording-format.md`.
///
/// # Errors
/// `dir` is not a recording, was written by a newer quell, cannot be read, is damaged, or exceeds these limits.
pub fn read(dir: &Path) -> Result<Recording, RecordingError> {
    let directory = Directory::open(dir)?;
    let (meta, files) = read_meta(&directory, dir)?;
    let table = |table: &'static Table| CheckedTable::open(&directory, dir, table, &files);
    let processes = table(&processes::PROCESSES)?.read(processes::read)?;
    let labels = table(&labels::LABELS)?.read(labels::read)?;
    let (modules, mut frames) = table(&frames::FRAMES)?.read(frames::read)?;
    table(&frames::INLINED)?.read(|file| frames::read_inlined(file, &mut frames))?;
    let stacks = table(&stacks::STACKS)?.read(|file| stacks::read(file, &frames))?;
    let mut references = References {
        meta: &meta,
        processes: processes.rows().len(),
        threads: 0,
        stacks: stacks.rows().len(),
        label_sets: labels.rows().len(),
    };
    let threads = table(&threads::THREADS)?.read(|file| threads::read(file, &references))?;
    references.threads = threads.rows().len();
    let samples = table(&samples::SAMPLES)?.read(|file| samples::read(file, &references))?;
    let counters = table(&counters::COUNTERS)?.read(|file| counters::read(file, &references))?;
    let histograms = table(&histograms::HISTOGRAMS)?.read(|file| histograms::read(file, &references))?;
    Ok(Recording { meta, modules, frames, stacks, processes, threads, labels, samples, counters, histograms })
}

type Files = BTreeMap<String, FileCheck>;

fn read_meta(directory: &Directory, dir: &Path) -> Result<(Meta, Files), RecordingError> {
    #[derive(Deserialize)]
    struct Version {
        schema: u32,
        quell: String,
    }
    #[derive(Deserialize)]
    struct Checks {
        files: Files,
    }
    let source = directory.file(META_FILE)?.ok_or_else(|| RecordingError::NotARecording { path: dir.to_owned() })?;
    let path = source.path.clone();
    if source.bytes > limits::META_BYTES {
        let why = format!("it has {} bytes (limit: {})", source.bytes, limits::META_BYTES);
        return Err(RecordingError::TooLarge { path, why });
    }
    let read = |source: &Source| source.read(0, usize::try_from(source.bytes).map_err(io::Error::other)?);
    let text = read(&source).map_err(|source| RecordingError::Read { path: path.clone(), source })?;
    let damaged = |why: String| RecordingError::Damaged { path: path.clone(), why };
    // An error of serde quotes the invalid text, which can have any length.
    let malformed = |error: serde_json::Error| {
        let (line, column) = (error.line(), error.column());
        damaged(format!("line {line}, column {column}: {}", excerpt::message(error.to_string())))
    };
    // The version first, because nothing else is known about a newer format.
    let version: Version = serde_json::from_slice(&text).map_err(malformed)?;
    if version.schema > SCHEMA_VERSION {
        let quell = excerpt::quoted(&version.quell);
        return Err(RecordingError::Newer { path: dir.to_owned(), quell, found: version.schema });
    }
    if version.schema < SCHEMA_VERSION {
        return Err(RecordingError::Older { path: dir.to_owned(), found: version.schema });
    }
    let checks: Checks = serde_json::from_slice(&text).map_err(malformed)?;
    let meta: Meta = serde_json::from_slice(&text).map_err(malformed)?;
    check_times(&meta).map_err(damaged)?;
    check_metrics(&meta).map_err(damaged)?;
    Ok((meta, checks.files))
}

/// Checks that each metric has exactly one probe, and that intervals have the unit nanoseconds. Reports rely on this.
fn check_metrics(meta: &Meta) -> Result<(), String> {
    let most = limits::METRIC_NAME_BYTES;
    let is_short = |text: &String| !text.is_empty() && text.len() <= most;
    let mut probes = BTreeSet::new();
    for probe in &meta.probes {
        let name = excerpt::quoted(&probe.name);
        if ![&probe.name, &probe.label].into_iter().all(is_short) {
            return Err(format!("the name or the label of probe {name} is empty or longer than {most} bytes"));
        }
        if !probes.insert(&probe.name) {
            return Err(format!("probe {name} is duplicate"));
        }
    }
    let mut metrics = BTreeSet::new();
    for metric in &meta.metrics {
        let name = excerpt::quoted(&metric.name);
        if ![&metric.name, &metric.label].into_iter().all(is_short) {
            return Err(format!("the name or the label of metric {name} is empty or longer than {most} bytes"));
        }
        if !metrics.insert(&metric.name) {
            return Err(format!("metric {name} is duplicate"));
        }
        if !probes.contains(&metric.probe) {
            return Err(format!("metric {name} belongs to the unknown probe {}", excerpt::quoted(&metric.probe)));
        }
        if metric.kind == MetricKind::Interval && metric.unit != Unit::Nanoseconds {
            return Err(format!("metric {name} is an interval in {}", metric.unit.name()));
        }
    }
    match (probes.len(), metrics.len()) {
        (..=limits::PROBES, ..=limits::METRICS) => Ok(()),
        (probes, metrics) => Err(format!(
            "it has {probes} probes and {metrics} metrics (limits: {} and {})",
            limits::PROBES,
            limits::METRICS
        )),
    }
}

/// Times are signed in the tables. Larger ones are invalid, and adding two of them would overflow.
fn check_times(meta: &Meta) -> Result<(), String> {
    let times = [
        ("start_realtime", meta.start_realtime),
        ("start_monotonic", meta.start_monotonic),
        ("duration", meta.duration),
        ("agent_cpu", meta.cost.agent_cpu),
    ];
    match times.into_iter().find(|(_, time)| i64::try_from(time.0).is_err()) {
        Some((name, time)) => Err(format!("{name} is {} ns, more than 292 years", time.0)),
        None => Ok(()),
    }
}

/// The file of a table whose size and checksum were verified.
struct CheckedTable {
    source: Source,
    table: &'static Table,
}

impl CheckedTable {
    fn open(directory: &Directory, dir: &Path, table: &'static Table, files: &Files) -> Result<Self, RecordingError> {
        let missing = || RecordingError::Damaged { path: dir.join(table.file), why: "it is missing".to_owned() };
        let source = directory.file(table.file)?.ok_or_else(missing)?;
        let path = source.path.clone();
        let damaged = |why: String| RecordingError::Damaged { path: path.clone(), why };
        let written = files.get(table.file).ok_or_else(|| damaged(format!("it is not listed in {META_FILE}")))?;
        if source.bytes != written.bytes {
            return Err(damaged(format!("it has {} bytes instead of {}", source.bytes, written.bytes)));
        }
        if source.bytes > table.limit.bytes {
            let why = format!("it has {} bytes (limit: {})", source.bytes, table.limit.bytes);
            return Err(RecordingError::TooLarge { path, why });
        }
        let found = FileCheck::of(&source.file, source.bytes)
            .map_err(|source| RecordingError::Read { path: path.clone(), source })?;
        if found != *written {
            return Err(damaged("its checksum does not match".to_owned()));
        }
        Ok(Self { source, table })
    }

    fn read<T>(self, rows: impl FnOnce(&TableReader<'_>) -> Result<T, Damage>) -> Result<T, RecordingError> {
        let path = self.source.path.clone();
        // The Parquet decoder panics on some malicious pages (with valid checksums). Only the return value leaves the closure,
        // so no inconsistent state is visible after a panic.
        catch_unwind(AssertUnwindSafe(|| rows(&TableReader::open(&self.source, &self.table.limit)?)))
            .unwrap_or_else(|_| Err("its Parquet decoder failed".into()))
            .map_err(|damage| match damage {
                Damage::Wrong(why) => RecordingError::Damaged { path, why },
                Damage::Limit(why) => RecordingError::TooLarge { path, why },
            })
    }
}
