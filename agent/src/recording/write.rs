//! From a [`Recording`] to its directory.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::{self, Write};
use std::path::Path;

use parquet::data_type::ByteArray;
use parquet::errors::ParquetError;
use serde::Serialize;

use super::check::FileCheck;
use super::replace::{Destination, Published, Replaceable, Staging, written_files};
use super::schema::{COUNTERS, FRAMES, OFF_CPU_COUNTERS, SAMPLES, STACKS, THREADS, Table, frame_kind, sample_kind};
use super::table_write::{Columns, write_table};
use super::{META_FILE, RecordingError};
use crate::file::Directory;
use crate::profile::{Frame, Location, Meta, OffCpu, Reason, Recording, Sample, SampleKind, ThreadIdx, Wake};

/// Writes `recording` as the directory `dir`. A recording that is there already is replaced in one step.
///
/// Modules that no frame lies in are left out; module paths that are not UTF-8 are written with replacement
/// characters.
///
/// # Errors
/// Where `dir` holds something else than a recording, or the system refuses to write; then nothing is left behind, and
/// an older recording stays as it was.
///
/// # Panics
/// Where an identifier in `recording` has no row in its table.
pub fn write(recording: &Recording, dir: &Path) -> Result<Written, RecordingError> {
    let destination = Destination::open(dir)?;
    write_to(recording, &destination)?.in_place(&destination)
}

/// As [`write`], to a place that was looked at before. Where that cannot be had any more, the recording is given another name in
/// the same directory: [`Written::in_place`] tells.
///
/// # Errors
/// The system refuses to write; then nothing is left behind.
///
/// # Panics
/// As [`write`].
pub fn write_to(recording: &Recording, destination: &Destination) -> Result<Written, RecordingError> {
    let staging = Staging::new(destination)?;
    let files = write_files(recording, staging.directory(), destination, None)?;
    Ok(Written::new(staging.publish()?, files))
}

/// A recording that was written: its directory, held open, and what each of its tables is.
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

    /// Whether it has the name that was asked for.
    ///
    /// # Errors
    /// [`RecordingError::Kept`], with the name that it has.
    pub fn in_place(self, destination: &Destination) -> Result<Self, RecordingError> {
        let Self { directory, reason, files } = self;
        let Some(reason) = reason else { return Ok(Self { directory, reason: None, files }) };
        let kept = destination.path().with_file_name(&directory.name);
        Err(RecordingError::Kept { kept, path: destination.path().to_owned(), source: Box::new(reason) })
    }

    /// Writes the recording again, in its own place, now that its code has names. Tables that naming does not change are
    /// taken over as they are.
    ///
    /// # Errors
    /// Those of [`write_to`]; the recording without names stays then.
    pub fn write_named(self, recording: &Recording, destination: &Destination) -> Result<Self, RecordingError> {
        let staging = Staging::new(destination)?;
        let files = write_files(recording, staging.directory(), destination, Some(&self))?;
        let mut named = Self::new(staging.publish_over(&self.directory)?, files);
        named.reason = named.reason.or(self.reason);
        Ok(named)
    }

    /// Gives a table to another directory, where the file system can do that.
    fn hand_over(&self, table: &Table, to: &Directory) -> Option<FileCheck> {
        let check = self.files.get(table.file)?;
        self.directory.directory.link_into(OsStr::new(table.file), to).ok().map(|()| *check)
    }
}

/// `meta.json`: the capture's own facts, and what each file must be.
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
        let is_named = table.file == FRAMES.file;
        let earlier = earlier.filter(|_| !is_named).and_then(|earlier| earlier.hand_over(table, staging));
        let check = match earlier {
            Some(check) => check,
            None => write().map_err(|error| write_error(error, dir, table.file))?,
        };
        files.insert(table.file, check);
        Ok::<_, RecordingError>(())
    };
    add(&SAMPLES, &|| write_samples(recording, &texts, staging))?;
    add(&STACKS, &|| write_stacks(recording, staging))?;
    add(&FRAMES, &|| write_frames(recording, &texts, staging))?;
    add(&THREADS, &|| write_threads(recording, &texts, staging))?;
    add(&COUNTERS, &|| write_counters(recording, &texts, staging))?;
    let meta = serde_json::to_vec_pretty(&MetaFile {
        meta: &recording.meta,
        files: &files,
        written_as: destination.written_as(),
    })
    .map_err(|error| RecordingError::Encode { path: dir.join(META_FILE), why: error.to_string() })?;
    // Last: a directory without it is no recording.
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

/// Text that many rows share.
struct Texts {
    comms: Vec<ByteArray>,
    modules: Vec<(ByteArray, Option<ByteArray>)>,
    reasons: [ByteArray; 3],
}

impl Texts {
    fn new(recording: &Recording) -> Self {
        Self {
            comms: recording.threads.rows().iter().map(|thread| ByteArray::from(thread.comm.as_str())).collect(),
            modules: recording
                .modules
                .rows()
                .iter()
                .map(|module| {
                    let path = module.path.to_string_lossy();
                    (ByteArray::from(&*path), module.build_id.as_deref().map(ByteArray::from))
                })
                .collect(),
            reasons: Reason::ALL.map(|reason| ByteArray::from(reason.name())),
        }
    }

    fn comm(&self, thread: ThreadIdx) -> ByteArray {
        self.comms[thread.0 as usize].clone()
    }

    fn reason(&self, reason: Reason) -> ByteArray {
        let [blocked, preempted, io_wait] = &self.reasons;
        match reason {
            Reason::Blocked => blocked,
            Reason::Preempted => preempted,
            Reason::IoWait => io_wait,
        }
        .clone()
    }
}

fn write_samples(recording: &Recording, texts: &Texts, dir: &Directory) -> Result<FileCheck, ParquetError> {
    let off_cpu = |sample: &Sample| match sample.kind {
        SampleKind::OnCpu => None,
        SampleKind::OffCpu(off) => Some(off),
    };
    let wake = |sample: &Sample| off_cpu(sample).and_then(|off: OffCpu| off.wake);
    let thread = |id: ThreadIdx| recording.threads.get(id);
    let [on_kind, off_kind] = [sample_kind::ON_CPU, sample_kind::OFF_CPU].map(ByteArray::from);
    write_table(dir, &SAMPLES, &recording.samples, |columns, first, rows| {
        let wakes = || rows.iter().map(wake);
        columns.row_numbers("sample_id", first, rows.len())?;
        columns.amount("time_ns", rows.iter().map(|row| row.time.0))?;
        columns.text(
            "kind",
            rows.iter().map(|row| match row.kind {
                SampleKind::OnCpu => on_kind.clone(),
                SampleKind::OffCpu(_) => off_kind.clone(),
            }),
        )?;
        columns.optional_text("reason", rows.iter().map(|row| off_cpu(row).map(|off| texts.reason(off.reason))))?;
        columns.amount("value_ns", rows.iter().map(|row| row.value.0))?;
        columns.f64("probability", rows.iter().map(|row| off_cpu(row).map_or(1.0, |off| off.probability)))?;
        columns.optional_amount("runqueue_ns", rows.iter().map(|row| off_cpu(row).map(|off| off.runqueue.0)))?;
        columns.optional_bool("still_blocked", rows.iter().map(|row| off_cpu(row).map(|off| off.still)))?;
        columns.u32("cpu", rows.iter().map(|row| row.cpu.0))?;
        columns.u32("thread_id", rows.iter().map(|row| row.thread.0))?;
        columns.u32("pid", rows.iter().map(|row| thread(row.thread).pid.0))?;
        columns.u32("tid", rows.iter().map(|row| thread(row.thread).tid.0))?;
        columns.text("comm", rows.iter().map(|row| texts.comm(row.thread)))?;
        columns.optional_u32("stack_id", rows.iter().map(|row| row.stack.map(|stack| stack.0)))?;
        let wakers = || wakes().map(|wake: Option<Wake>| wake.map(|wake| wake.waker));
        columns.optional_u32("waker_thread_id", wakers().map(|waker| waker.map(|waker| waker.0)))?;
        columns.optional_u32("waker_pid", wakers().map(|waker| waker.map(|waker| thread(waker).pid.0)))?;
        columns.optional_u32("waker_tid", wakers().map(|waker| waker.map(|waker| thread(waker).tid.0)))?;
        columns.optional_text("waker_comm", wakers().map(|waker| waker.map(|waker| texts.comm(waker))))?;
        columns.optional_u32("waker_stack_id", wakes().map(|wake| Some(wake?.stack?.0)))?;
        columns.optional_u32("waker_sample_id", wakes().map(|wake| wake?.waker_sleep))
    })
}

fn write_stacks(recording: &Recording, dir: &Directory) -> Result<FileCheck, ParquetError> {
    write_table(dir, &STACKS, recording.stacks.rows(), |columns, first, rows| {
        columns.row_numbers("stack_id", first, rows.len())?;
        columns.optional_u32("parent_id", rows.iter().map(|row| row.parent.map(|parent| parent.0)))?;
        columns.u32("frame_id", rows.iter().map(|row| row.frame.0))
    })
}

fn write_frames(recording: &Recording, texts: &Texts, dir: &Directory) -> Result<FileCheck, ParquetError> {
    let kinds = [frame_kind::KERNEL, frame_kind::MODULE, frame_kind::UNMAPPED, frame_kind::LABEL].map(ByteArray::from);
    let module = |frame: &Frame| match frame.location {
        Location::Module { module, .. } => Some(module),
        _ => None,
    };
    write_table(dir, &FRAMES, recording.frames.rows(), |columns, first, rows| {
        let [kernel, file, unmapped, label] = &kinds;
        columns.row_numbers("frame_id", first, rows.len())?;
        columns.text(
            "kind",
            rows.iter().map(|row| {
                match row.location {
                    Location::Kernel(_) => kernel,
                    Location::Module { .. } => file,
                    Location::Unmapped { .. } => unmapped,
                    Location::Label(_) | Location::NamedLabel(_) => label,
                }
                .clone()
            }),
        )?;
        columns.optional_text(
            "name",
            rows.iter().map(|row| match &row.location {
                Location::Label(label) => Some(ByteArray::from(*label)),
                Location::NamedLabel(label) => Some(ByteArray::from(label.as_str())),
                _ => row.symbol.as_ref().map(|symbol| ByteArray::from(symbol.name.as_str())),
            }),
        )?;
        columns.optional_u64("name_offset", rows.iter().map(|row| row.symbol.as_ref().map(|symbol| symbol.offset)))?;
        columns.optional_u64(
            "address",
            rows.iter().map(|row| match row.location {
                Location::Kernel(addr) | Location::Unmapped { addr, .. } => Some(addr.0),
                Location::Module { offset, .. } => Some(offset),
                Location::Label(_) | Location::NamedLabel(_) => None,
            }),
        )?;
        columns.optional_u32(
            "pid",
            rows.iter().map(|row| match row.location {
                Location::Unmapped { pid, .. } => Some(pid.0),
                _ => None,
            }),
        )?;
        columns.optional_u32("module_id", rows.iter().map(|row| module(row).map(|module| module.0)))?;
        let modules = || rows.iter().map(|row| module(row).map(|module| &texts.modules[module.0 as usize]));
        columns.optional_text("module", modules().map(|module| module.map(|(path, _)| path.clone())))?;
        columns.optional_text("build_id", modules().map(|module| module.and_then(|(_, build_id)| build_id.clone())))
    })
}

fn write_threads(recording: &Recording, texts: &Texts, dir: &Directory) -> Result<FileCheck, ParquetError> {
    write_table(dir, &THREADS, recording.threads.rows(), |columns, first, rows| {
        columns.row_numbers("thread_id", first, rows.len())?;
        columns.u32("pid", rows.iter().map(|row| row.pid.0))?;
        columns.u32("tid", rows.iter().map(|row| row.tid.0))?;
        columns.text("comm", (first..).take(rows.len()).map(|id| texts.comm(ThreadIdx(id))))
    })
}

fn write_counters(recording: &Recording, texts: &Texts, dir: &Directory) -> Result<FileCheck, ParquetError> {
    let names = OFF_CPU_COUNTERS.map(|(count, time)| [ByteArray::from(count), ByteArray::from(time)]);
    let rows: Vec<(ThreadIdx, &ByteArray, u64)> = recording
        .totals
        .iter()
        .flat_map(|row| {
            names.iter().zip(row.count.into_iter().zip(row.time)).flat_map(move |([count, time], (counted, took))| {
                [(row.thread, count, counted), (row.thread, time, took.0)]
            })
        })
        .collect();
    write_table(dir, &COUNTERS, &rows, |columns: &mut Columns<'_>, _, rows| {
        let threads = || rows.iter().map(|row| recording.threads.get(row.0));
        columns.u32("thread_id", rows.iter().map(|row| row.0.0))?;
        columns.u32("pid", threads().map(|thread| thread.pid.0))?;
        columns.u32("tid", threads().map(|thread| thread.tid.0))?;
        columns.text("comm", rows.iter().map(|row| texts.comm(row.0)))?;
        columns.text("name", rows.iter().map(|row| row.1.clone()))?;
        columns.amount("value", rows.iter().map(|row| row.2))
    })
}
