//! From a directory to the [`Recording`] in it. Every identifier is checked, so that what comes out may be indexed.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::check::FileCheck;
use super::schema::{COUNTERS, FRAMES, OFF_CPU_COUNTERS, SAMPLES, STACKS, THREADS, Table, frame_kind};
use super::table_read::{Damage, Group, TableReader};
use super::{META_FILE, RecordingError};
use crate::profile::{
    Frame, FrameId, FrameTable, Location, Meta, Module, ModuleId, ModuleTable, OffCpu, Reason, Recording,
    SCHEMA_VERSION, Sample, SampleKind, StackId, StackTable, Symbol, Thread, ThreadIdx, ThreadTable, ThreadTotals,
    Wake,
};
use crate::units::{Addr, CpuId, Nanos, Pid, Tid};

/// Reads the recording in `dir`. Columns and counters that this version does not know are passed over.
///
/// # Errors
/// Where `dir` is no recording, was written by a newer quell, cannot be read, or is damaged.
pub fn read(dir: &Path) -> Result<Recording, RecordingError> {
    let (meta, files) = read_meta(dir)?;
    let table = |table: &'static Table| Source::check(dir, table, &files);
    let threads = table(&THREADS)?.read(read_threads)?;
    let (modules, frames) = table(&FRAMES)?.read(read_frames)?;
    let stacks = table(&STACKS)?.read(|file| read_stacks(file, &frames))?;
    let limits = Limits { threads: threads.rows().len(), stacks: stacks.rows().len() };
    let samples = table(&SAMPLES)?.read(|file| read_samples(file, &limits))?;
    let totals = table(&COUNTERS)?.read(|file| read_counters(file, &limits))?;
    Ok(Recording { meta, modules, frames, stacks, threads, samples, totals })
}

type Files = BTreeMap<String, FileCheck>;

fn read_meta(dir: &Path) -> Result<(Meta, Files), RecordingError> {
    #[derive(Deserialize)]
    struct Version {
        schema: u32,
        quell: String,
    }
    #[derive(Deserialize)]
    struct Checks {
        files: Files,
    }
    let path = dir.join(META_FILE);
    let text = fs::read(&path).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory if dir.exists() => {
            RecordingError::NotARecording { path: dir.to_owned() }
        }
        io::ErrorKind::NotFound => RecordingError::Missing { path: dir.to_owned() },
        _ => RecordingError::Read { path: dir.to_owned(), source },
    })?;
    let damaged = |error: serde_json::Error| RecordingError::Damaged { path: path.clone(), why: error.to_string() };
    // The version first: of a newer one nothing else is known.
    let version: Version = serde_json::from_slice(&text).map_err(damaged)?;
    if version.schema > SCHEMA_VERSION {
        return Err(RecordingError::Newer { path: dir.to_owned(), quell: version.quell, found: version.schema });
    }
    let checks: Checks = serde_json::from_slice(&text).map_err(damaged)?;
    Ok((serde_json::from_slice(&text).map_err(damaged)?, checks.files))
}

/// A table's file that was found to be what was written.
struct Source {
    path: PathBuf,
}

impl Source {
    fn check(dir: &Path, table: &Table, files: &Files) -> Result<Self, RecordingError> {
        let path = dir.join(table.file);
        let found = FileCheck::of(&path).map_err(|source| RecordingError::Read { path: path.clone(), source })?;
        let why = match files.get(table.file) {
            Some(written) if *written == found => return Ok(Self { path }),
            Some(written) if written.bytes != found.bytes => {
                format!("it has {} bytes, and {} were written", found.bytes, written.bytes)
            }
            Some(_) => "its checksum does not match".to_owned(),
            None => format!("{META_FILE} does not list it"),
        };
        Err(RecordingError::Damaged { path, why })
    }

    fn read<T>(self, rows: impl FnOnce(&TableReader) -> Result<T, Damage>) -> Result<T, RecordingError> {
        // The Parquet decoder panics on some files that nobody wrote by accident (their checksums are right). Nothing
        // outlives the closure but what it returns, so no half-made state is seen.
        catch_unwind(AssertUnwindSafe(|| rows(&TableReader::open(&self.path)?)))
            .unwrap_or_else(|_| Err("its Parquet decoder failed".to_owned()))
            .map_err(|why| RecordingError::Damaged { path: self.path, why })
    }
}

fn read_threads(file: &TableReader) -> Result<ThreadTable, Damage> {
    let mut threads = ThreadTable::default();
    for group in file.groups() {
        let group = group?;
        group.check_row_numbers("thread_id", threads.rows().len())?;
        let (pids, tids, comms) = (group.u32("pid")?, group.u32("tid")?, group.text("comm")?);
        for ((pid, tid), comm) in pids.into_iter().zip(tids).zip(comms) {
            threads.push(Thread { pid: Pid(pid), tid: Tid(tid), comm });
        }
    }
    Ok(threads)
}

fn read_frames(file: &TableReader) -> Result<(ModuleTable, FrameTable), Damage> {
    let mut frames = FrameTable::default();
    let mut modules = Modules::default();
    for group in file.groups() {
        let group = group?;
        group.check_row_numbers("frame_id", frames.rows().len())?;
        let kinds = group.text("kind")?;
        let (mut names, offsets) = (group.optional_text("name")?, group.optional_u64("name_offset")?);
        let (addresses, pids) = (group.optional_u64("address")?, group.optional_u32("pid")?);
        let module_ids = group.optional_u32("module_id")?;
        let (mut paths, mut build_ids) = (group.optional_text("module")?, group.optional_text("build_id")?);
        for (row, kind) in kinds.iter().enumerate() {
            let number = frames.rows().len();
            let missing = |what: &str| format!("frame {number} of kind {kind} has no {what}");
            let address = addresses[row].ok_or_else(|| missing("address"));
            let location = match kind.as_str() {
                frame_kind::KERNEL => Location::Kernel(Addr(address?)),
                frame_kind::MODULE => {
                    let id = module_ids[row].ok_or_else(|| missing("module_id"))?;
                    let path = paths[row].take().ok_or_else(|| missing("module"))?;
                    Location::Module { module: modules.get(id, path, build_ids[row].take()), offset: address? }
                }
                frame_kind::UNMAPPED => {
                    Location::Unmapped { pid: Pid(pids[row].ok_or_else(|| missing("pid"))?), addr: Addr(address?) }
                }
                frame_kind::LABEL => Location::NamedLabel(names[row].take().ok_or_else(|| missing("name"))?),
                _ => return Err(format!("frame {number} is of the unknown kind `{kind}`")),
            };
            let symbol = match (names[row].take(), offsets[row]) {
                (Some(name), Some(offset)) => Some(Symbol { name, offset }),
                _ => None,
            };
            if frames.push(Frame { location, symbol }).0 as usize != number {
                return Err(format!("frame {number} repeats an earlier one"));
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
    fn get(&mut self, written: u32, path: String, build_id: Option<String>) -> ModuleId {
        *self.rows.entry(written).or_insert_with(|| self.table.push(Module { path: path.into(), build_id }))
    }
}

fn read_stacks(file: &TableReader, frames: &FrameTable) -> Result<StackTable, Damage> {
    let mut stacks = StackTable::default();
    for group in file.groups() {
        let group = group?;
        group.check_row_numbers("stack_id", stacks.rows().len())?;
        for (parent, frame) in group.optional_u32("parent_id")?.into_iter().zip(group.u32("frame_id")?) {
            let number = stacks.rows().len();
            if parent.is_some_and(|parent| parent as usize >= number) {
                return Err(format!("stack {number} does not come after its parent"));
            }
            if frame as usize >= frames.rows().len() {
                return Err(format!("stack {number} names frame {frame}, which does not exist"));
            }
            if stacks.intern(parent.map(StackId), FrameId(frame)).0 as usize != number {
                return Err(format!("stack {number} repeats an earlier one"));
            }
        }
    }
    Ok(stacks)
}

/// How many rows there are to refer to.
struct Limits {
    threads: usize,
    stacks: usize,
}

impl Limits {
    fn thread(&self, id: u32) -> Result<ThreadIdx, Damage> {
        if (id as usize) < self.threads {
            return Ok(ThreadIdx(id));
        }
        Err(format!("thread {id} does not exist"))
    }

    fn stack(&self, id: Option<u32>) -> Result<Option<StackId>, Damage> {
        match id {
            Some(id) if id as usize >= self.stacks => Err(format!("stack {id} does not exist")),
            id => Ok(id.map(StackId)),
        }
    }
}

fn read_samples(file: &TableReader, limits: &Limits) -> Result<Vec<Sample>, Damage> {
    let mut samples = Vec::new();
    for group in file.groups() {
        read_sample_group(&group?, limits, &mut samples)?;
    }
    Ok(samples)
}

fn read_sample_group(group: &Group<'_>, limits: &Limits, samples: &mut Vec<Sample>) -> Result<(), Damage> {
    group.check_row_numbers("sample_id", samples.len())?;
    let (times, values) = (group.amount("time_ns")?, group.amount("value_ns")?);
    let (cpus, threads, stacks) = (group.u32("cpu")?, group.u32("thread_id")?, group.optional_u32("stack_id")?);
    let reasons = group.optional_words("reason", Reason::from_name)?;
    let probabilities = group.f64("probability")?;
    let (runqueues, stills) = (group.optional_amount("runqueue_ns")?, group.optional_bool("still_blocked")?);
    let (wakers, waker_stacks) = (group.optional_u32("waker_thread_id")?, group.optional_u32("waker_stack_id")?);
    let waker_sleeps = group.optional_u32("waker_sample_id")?;
    samples.reserve(group.rows());
    for row in 0..group.rows() {
        let number = samples.len();
        let at = |why: Damage| format!("sample {number}: {why}");
        let wake = match wakers[row] {
            None => None,
            Some(waker) => {
                // A later row, or the row itself, would make a chain that never ends.
                if waker_sleeps[row].is_some_and(|sleep| sleep as usize >= number) {
                    return Err(at("its waker's sleep is no earlier sample".to_owned()));
                }
                Some(Wake {
                    waker: limits.thread(waker).map_err(at)?,
                    stack: limits.stack(waker_stacks[row]).map_err(at)?,
                    waker_sleep: waker_sleeps[row],
                })
            }
        };
        let kind = match reasons[row] {
            None => SampleKind::OnCpu,
            Some(reason) => {
                let probability = probabilities[row];
                if !(probability > 0.0 && probability <= 1.0) {
                    return Err(at(format!("{probability} is no probability")));
                }
                let runqueue = Nanos(runqueues[row].unwrap_or(0));
                SampleKind::OffCpu(OffCpu { reason, probability, runqueue, still: stills[row].unwrap_or(false), wake })
            }
        };
        samples.push(Sample {
            time: Nanos(times[row]),
            cpu: CpuId(cpus[row]),
            thread: limits.thread(threads[row]).map_err(at)?,
            stack: limits.stack(stacks[row]).map_err(at)?,
            value: Nanos(values[row]),
            kind,
        });
    }
    Ok(())
}

fn read_counters(file: &TableReader, limits: &Limits) -> Result<Vec<ThreadTotals>, Damage> {
    let mut totals: Vec<ThreadTotals> = Vec::new();
    for group in file.groups() {
        let group = group?;
        let (threads, names, values) = (group.u32("thread_id")?, group.text("name")?, group.amount("value")?);
        for ((thread, name), value) in threads.into_iter().zip(names).zip(values) {
            let thread = limits.thread(thread)?;
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
