//! From a directory to the [`Recording`] in it. Every identifier is checked, so that what comes out may be indexed.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use parquet::data_type::ByteArray;
use serde::Deserialize;

use super::check::FileCheck;
use super::limits;
use super::schema::{COUNTERS, FRAMES, OFF_CPU_COUNTERS, SAMPLES, STACKS, THREADS, Table, frame_kind};
use super::source::{Directory, Source};
use super::table_read::{Damage, Group, TableReader, quoted};
use super::{META_FILE, RecordingError};
use crate::excerpt;
use crate::profile::{
    Frame, FrameId, FrameTable, Location, Meta, Module, ModuleId, ModuleTable, OffCpu, Reason, Recording,
    SCHEMA_VERSION, Sample, SampleKind, StackId, StackTable, Symbol, Thread, ThreadIdx, ThreadTable, ThreadTotals,
    Wake,
};
use crate::units::{Addr, CpuId, Nanos, Pid, Tid};

/// Reads the recording in `dir`. Columns and counters that this version does not know are passed over.
///
/// A recording may come from anybody: only regular files of the size that `meta.json` states are read, within the limits of
/// `docs/recording-format.md`.
///
/// # Errors
/// Where `dir` is no recording, was written by a newer quell, cannot be read, is damaged, or is larger than those limits.
pub fn read(dir: &Path) -> Result<Recording, RecordingError> {
    let directory = Directory::open(dir)?;
    let (meta, files) = read_meta(&directory, dir)?;
    let table = |table: &'static Table| CheckedTable::open(&directory, dir, table, &files);
    let threads = table(&THREADS)?.read(read_threads)?;
    let (modules, frames) = table(&FRAMES)?.read(read_frames)?;
    let stacks = table(&STACKS)?.read(|file| read_stacks(file, &frames))?;
    let rows = Rows { threads: threads.rows().len(), stacks: stacks.rows().len() };
    let samples = table(&SAMPLES)?.read(|file| read_samples(file, &rows))?;
    let totals = table(&COUNTERS)?.read(|file| read_counters(file, &rows))?;
    Ok(Recording { meta, modules, frames, stacks, threads, samples, totals })
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
        let why = format!("it has {} bytes, and {} are read at most", source.bytes, limits::META_BYTES);
        return Err(RecordingError::TooLarge { path, why });
    }
    let read = |source: &Source| source.read(0, usize::try_from(source.bytes).map_err(io::Error::other)?);
    let text = read(&source).map_err(|source| RecordingError::Read { path: path.clone(), source })?;
    let damaged = |why: String| RecordingError::Damaged { path: path.clone(), why };
    // An error of serde's quotes what it found, of any length.
    let malformed = |error: serde_json::Error| {
        let (line, column) = (error.line(), error.column());
        damaged(format!("line {line}, column {column}: {}", excerpt::message(error.to_string())))
    };
    // The version first: of a newer one nothing else is known.
    let version: Version = serde_json::from_slice(&text).map_err(malformed)?;
    if version.schema > SCHEMA_VERSION {
        let quell = excerpt::quoted(&version.quell);
        return Err(RecordingError::Newer { path: dir.to_owned(), quell, found: version.schema });
    }
    let checks: Checks = serde_json::from_slice(&text).map_err(malformed)?;
    let meta: Meta = serde_json::from_slice(&text).map_err(malformed)?;
    check_times(&meta).map_err(damaged)?;
    Ok((meta, checks.files))
}

/// Times are signed in the tables: a later one is no time of a capture, and adding two would overflow.
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

/// A table's file that was found to be what was written.
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
        let written = files.get(table.file).ok_or_else(|| damaged(format!("{META_FILE} does not list it")))?;
        if source.bytes != written.bytes {
            return Err(damaged(format!("it has {} bytes, and {} were written", source.bytes, written.bytes)));
        }
        if source.bytes > table.limit.bytes {
            let why = format!("it has {} bytes, and {} are read at most", source.bytes, table.limit.bytes);
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
        // The Parquet decoder panics on some pages that nobody wrote by accident (their checksums are right). Nothing
        // outlives the closure but what it returns, so no half-made state is seen.
        catch_unwind(AssertUnwindSafe(|| rows(&TableReader::open(&self.source, &self.table.limit)?)))
            .unwrap_or_else(|_| Err("its Parquet decoder failed".into()))
            .map_err(|damage| match damage {
                Damage::Wrong(why) => RecordingError::Damaged { path, why },
                Damage::Limit(why) => RecordingError::TooLarge { path, why },
            })
    }
}

fn read_threads(file: &TableReader<'_>) -> Result<ThreadTable, Damage> {
    let mut threads = ThreadTable::default();
    for group in file.groups() {
        group.check_row_numbers("thread_id", threads.rows().len())?;
        let (pids, tids, comms) = (group.u32("pid")?, group.u32("tid")?, group.texts("comm")?);
        for ((pid, tid), comm) in pids.into_iter().zip(tids).zip(comms) {
            let comm = file.text(&comm, limits::COMM_BYTES)?;
            threads.push(Thread { pid: Pid(pid), tid: Tid(tid), comm });
        }
    }
    Ok(threads)
}

fn read_frames(file: &TableReader<'_>) -> Result<(ModuleTable, FrameTable), Damage> {
    let mut frames = FrameTable::default();
    let mut modules = Modules::default();
    for group in file.groups() {
        group.check_row_numbers("frame_id", frames.rows().len())?;
        let kinds = group.texts("kind")?;
        let (names, offsets) = (group.optional_texts("name")?, group.optional_u64("name_offset")?);
        let (addresses, pids) = (group.optional_u64("address")?, group.optional_u32("pid")?);
        let module_ids = group.optional_u32("module_id")?;
        let (paths, build_ids) = (group.optional_texts("module")?, group.optional_texts("build_id")?);
        for (row, kind) in kinds.iter().enumerate() {
            let number = frames.rows().len();
            let missing = |what: &str| format!("frame {number} of kind {} has no {what}", quoted(kind));
            let address = addresses[row].ok_or_else(|| missing("address"));
            let name = names[row].as_ref();
            let mut symbol = None;
            if let (Some(name), Some(offset)) = (name, offsets[row]) {
                symbol = Some(Symbol { name: file.text(name, limits::NAME_BYTES)?, offset });
            }
            let location = match kind.as_utf8().unwrap_or_default() {
                frame_kind::KERNEL => Location::Kernel(Addr(address?)),
                frame_kind::MODULE => {
                    let id = module_ids[row].ok_or_else(|| missing("module_id"))?;
                    let path = paths[row].as_ref().ok_or_else(|| missing("module"))?;
                    Location::Module { module: modules.get(file, id, path, build_ids[row].as_ref())?, offset: address? }
                }
                frame_kind::UNMAPPED => {
                    Location::Unmapped { pid: Pid(pids[row].ok_or_else(|| missing("pid"))?), addr: Addr(address?) }
                }
                frame_kind::LABEL => {
                    let name = name.ok_or_else(|| missing("name"))?;
                    symbol = None;
                    Location::NamedLabel(file.text(name, limits::NAME_BYTES)?)
                }
                _ => return Err(format!("frame {number} is of the unknown kind {}", quoted(kind)).into()),
            };
            if frames.push(Frame { location, symbol }).0 as usize != number {
                return Err(format!("frame {number} repeats an earlier one").into());
            }
        }
    }
    Ok((modules.table, frames))
}

/// Modules by the number they had when they were written.
#[derive(Default)]
struct Modules {
    table: ModuleTable,
    rows: HashMap<u32, ModuleId>,
}

impl Modules {
    /// The module of this number: the path that it was first written with counts.
    fn get(
        &mut self,
        file: &TableReader<'_>,
        written: u32,
        path: &ByteArray,
        build_id: Option<&ByteArray>,
    ) -> Result<ModuleId, Damage> {
        if let Some(known) = self.rows.get(&written) {
            return Ok(*known);
        }
        let path = file.text(path, limits::PATH_BYTES)?.into();
        let build_id = build_id.map(|id| file.text(id, limits::BUILD_ID_BYTES)).transpose()?;
        let id = self.table.push(Module { path, build_id });
        self.rows.insert(written, id);
        Ok(id)
    }
}

fn read_stacks(file: &TableReader<'_>, frames: &FrameTable) -> Result<StackTable, Damage> {
    let mut stacks = StackTable::default();
    let mut depths: Vec<u16> = Vec::new();
    for group in file.groups() {
        group.check_row_numbers("stack_id", stacks.rows().len())?;
        for (parent, frame) in group.optional_u32("parent_id")?.into_iter().zip(group.u32("frame_id")?) {
            let number = stacks.rows().len();
            if parent.is_some_and(|parent| parent as usize >= number) {
                return Err(format!("stack {number} does not come after its parent").into());
            }
            if frame as usize >= frames.rows().len() {
                return Err(format!("stack {number} names frame {frame}, which does not exist").into());
            }
            let depth = parent.map_or(0, |parent| depths[parent as usize]) + 1;
            if depth > limits::STACK_DEPTH {
                let most = limits::STACK_DEPTH;
                return Err(Damage::Limit(format!("stack {number} has more than {most} frames")));
            }
            depths.push(depth);
            if stacks.intern(parent.map(StackId), FrameId(frame)).0 as usize != number {
                return Err(format!("stack {number} repeats an earlier one").into());
            }
        }
    }
    Ok(stacks)
}

/// How many rows there are to refer to.
struct Rows {
    threads: usize,
    stacks: usize,
}

impl Rows {
    fn thread(&self, id: u32) -> Result<ThreadIdx, Damage> {
        if (id as usize) < self.threads {
            return Ok(ThreadIdx(id));
        }
        Err(format!("thread {id} does not exist").into())
    }

    fn stack(&self, id: Option<u32>) -> Result<Option<StackId>, Damage> {
        match id {
            Some(id) if id as usize >= self.stacks => Err(format!("stack {id} does not exist").into()),
            id => Ok(id.map(StackId)),
        }
    }
}

fn read_samples(file: &TableReader<'_>, rows: &Rows) -> Result<Vec<Sample>, Damage> {
    // The number was checked; growing step by step would copy, and take up to twice the memory.
    let mut samples = Vec::with_capacity(file.rows());
    for group in file.groups() {
        read_sample_group(&group, rows, &mut samples)?;
    }
    Ok(samples)
}

fn read_sample_group(group: &Group<'_>, rows: &Rows, samples: &mut Vec<Sample>) -> Result<(), Damage> {
    group.check_row_numbers("sample_id", samples.len())?;
    let (times, values) = (group.amount("time_ns")?, group.amount("value_ns")?);
    let (cpus, threads, stacks) = (group.u32("cpu")?, group.u32("thread_id")?, group.optional_u32("stack_id")?);
    let reasons = group.optional_words("reason", Reason::from_name)?;
    let probabilities = group.f64("probability")?;
    let (runqueues, stills) = (group.optional_amount("runqueue_ns")?, group.optional_bool("still_blocked")?);
    let (wakers, waker_stacks) = (group.optional_u32("waker_thread_id")?, group.optional_u32("waker_stack_id")?);
    let waker_sleeps = group.optional_u32("waker_sample_id")?;
    for row in 0..group.rows() {
        let number = samples.len();
        let at = |why: Damage| Damage::Wrong(format!("sample {number}: {why}"));
        let wake = match wakers[row] {
            None => None,
            Some(waker) => {
                // A later row, or the row itself, would make a chain that never ends.
                if waker_sleeps[row].is_some_and(|sleep| sleep as usize >= number) {
                    return Err(at("its waker's sleep is no earlier sample".into()));
                }
                Some(Wake {
                    waker: rows.thread(waker).map_err(at)?,
                    stack: rows.stack(waker_stacks[row]).map_err(at)?,
                    waker_sleep: waker_sleeps[row],
                })
            }
        };
        let kind = match reasons[row] {
            None => SampleKind::OnCpu,
            Some(reason) => {
                let probability = probabilities[row];
                if !(limits::LOWEST_PROBABILITY..=1.0).contains(&probability) {
                    return Err(at(format!("{probability} is no probability that a sample is taken with").into()));
                }
                let runqueue = Nanos(runqueues[row].unwrap_or(0));
                SampleKind::OffCpu(OffCpu { reason, probability, runqueue, still: stills[row].unwrap_or(false), wake })
            }
        };
        samples.push(Sample {
            time: Nanos(times[row]),
            cpu: CpuId(cpus[row]),
            thread: rows.thread(threads[row]).map_err(at)?,
            stack: rows.stack(stacks[row]).map_err(at)?,
            value: Nanos(values[row]),
            kind,
        });
    }
    Ok(())
}

fn read_counters(file: &TableReader<'_>, rows: &Rows) -> Result<Vec<ThreadTotals>, Damage> {
    let mut totals: Vec<ThreadTotals> = Vec::new();
    for group in file.groups() {
        let (threads, names, values) = (group.u32("thread_id")?, group.texts("name")?, group.amount("value")?);
        for ((thread, name), value) in threads.into_iter().zip(names).zip(values) {
            let thread = rows.thread(thread)?;
            let name = name.as_utf8().unwrap_or_default();
            // A row of totals is written as six counters, the first of which begins it.
            if name == OFF_CPU_COUNTERS[0].0 {
                totals.push(ThreadTotals { thread, count: [0; 3], time: [Nanos(0); 3] });
            }
            for (reason, (count, time)) in OFF_CPU_COUNTERS.into_iter().enumerate() {
                if name != count && name != time {
                    continue;
                }
                let row = totals.last_mut().filter(|row| row.thread == thread);
                let row = row.ok_or_else(|| format!("counter {name} of thread {} stands alone", thread.0))?;
                if name == count {
                    row.count[reason] = value;
                } else {
                    row.time[reason] = Nanos(value);
                }
            }
        }
    }
    Ok(totals)
}
