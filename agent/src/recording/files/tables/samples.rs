//! One row for each sample, in the order in which the samples ended. `value / probability` is the estimate of a row. Thread
//! names are included beside the IDs, so that common queries need no join.

use parquet::errors::ParquetError;

use super::super::check::FileCheck;
use super::super::damage::Damage;
use super::super::limits::{self, TableLimit};
use super::super::table::Table;
use super::super::table_read::{Group, TableReader};
use super::super::table_write::write_table;
use super::{References, Texts};
use crate::file::Directory;
use crate::recording::{Recording, Sample, SampleIdx, ThreadIdx, Wake};
use crate::units::{CpuId, Nanos};

pub(in crate::recording::files) const SAMPLES: Table = Table {
    file: "samples.parquet",
    columns: "message samples {
        required int32 sample_id (INTEGER(32, false));
        required int64 time_ns;
        required binary metric (STRING);
        required int64 value;
        required double probability;
        optional int64 runqueue_ns;
        required boolean ongoing;
        required int32 cpu (INTEGER(32, false));
        required int32 thread_id (INTEGER(32, false));
        required int32 pid (INTEGER(32, false));
        required int32 tid (INTEGER(32, false));
        required binary comm (STRING);
        optional int32 stack_id (INTEGER(32, false));
        optional int32 waker_thread_id (INTEGER(32, false));
        optional int32 waker_pid (INTEGER(32, false));
        optional int32 waker_tid (INTEGER(32, false));
        optional binary waker_comm (STRING);
        optional int32 waker_stack_id (INTEGER(32, false));
        optional int32 waker_sample_id (INTEGER(32, false));
        optional int32 label_set_id (INTEGER(32, false));
    }",
    rising: &["sample_id", "time_ns"],
    unique: &[],
    limit: TableLimit { rows: 32 << 20, rows_per_kib: 512, bytes: 2 << 30 },
};

pub(in crate::recording::files) fn write(
    recording: &Recording,
    texts: &Texts,
    dir: &Directory,
) -> Result<FileCheck, ParquetError> {
    let thread = |id: ThreadIdx| recording.threads.get(id);
    write_table(dir, &SAMPLES, &recording.samples, |columns, first, rows| {
        columns.row_numbers("sample_id", first, rows.len())?;
        columns.amount("time_ns", rows.iter().map(|row| row.time.0))?;
        columns.text("metric", rows.iter().map(|row| texts.metric(row.metric)))?;
        columns.amount("value", rows.iter().map(|row| row.value))?;
        columns.f64("probability", rows.iter().map(|row| row.probability))?;
        columns.optional_amount("runqueue_ns", rows.iter().map(|row| Some(row.runqueue?.0)))?;
        columns.bool("ongoing", rows.iter().map(|row| row.ongoing))?;
        columns.u32("cpu", rows.iter().map(|row| row.cpu.0))?;
        columns.u32("thread_id", rows.iter().map(|row| row.thread.row()))?;
        columns.u32("pid", rows.iter().map(|row| thread(row.thread).pid.0))?;
        columns.u32("tid", rows.iter().map(|row| thread(row.thread).tid.0))?;
        columns.text("comm", rows.iter().map(|row| texts.comm(row.thread)))?;
        columns.optional_u32("stack_id", rows.iter().map(|row| Some(row.stack?.row())))?;
        let wakes = || rows.iter().map(|row| row.wake);
        columns.optional_u32("waker_thread_id", wakes().map(|wake| Some(wake?.waker.row())))?;
        columns.optional_u32("waker_pid", wakes().map(|wake| Some(thread(wake?.waker).pid.0)))?;
        columns.optional_u32("waker_tid", wakes().map(|wake| Some(thread(wake?.waker).tid.0)))?;
        columns.optional_text("waker_comm", wakes().map(|wake| Some(texts.comm(wake?.waker))))?;
        columns.optional_u32("waker_stack_id", wakes().map(|wake| Some(wake?.stack?.row())))?;
        columns.optional_u32("waker_sample_id", wakes().map(|wake| Some(wake?.waker_sleep?.row())))?;
        columns.optional_u32("label_set_id", rows.iter().map(|row| Some(row.labels?.row())))
    })
}

pub(in crate::recording::files) fn read(
    file: &TableReader<'_>,
    references: &References<'_>,
) -> Result<Vec<Sample>, Damage> {
    // The number of rows was checked. Growing the vector step by step would copy it, and take up to twice the memory.
    let mut samples = Vec::with_capacity(file.rows());
    for group in file.groups() {
        read_group(&group, references, &mut samples)?;
    }
    Ok(samples)
}

fn read_group(group: &Group<'_>, references: &References<'_>, samples: &mut Vec<Sample>) -> Result<(), Damage> {
    group.check_row_numbers("sample_id", samples.len())?;
    let metrics = group.words("metric", |name| references.metric(name))?;
    let (times, values, probabilities) = (group.amount("time_ns")?, group.amount("value")?, group.f64("probability")?);
    let (runqueues, ongoing) = (group.optional_amount("runqueue_ns")?, group.bool("ongoing")?);
    let (cpus, threads, stacks) = (group.u32("cpu")?, group.u32("thread_id")?, group.optional_u32("stack_id")?);
    let (wakers, waker_stacks) = (group.optional_u32("waker_thread_id")?, group.optional_u32("waker_stack_id")?);
    let waker_sleeps = group.optional_u32("waker_sample_id")?;
    let labels = group.optional_u32("label_set_id")?;
    for row in 0..group.rows() {
        let number = samples.len();
        let at = |why: Damage| Damage::Wrong(format!("sample {number}: {why}"));
        let wake = match wakers[row] {
            None => None,
            Some(waker) => {
                // A reference to a later row, or to the row itself, could result in an endless chain.
                if waker_sleeps[row].is_some_and(|sleep| sleep as usize >= number) {
                    return Err(at("the sleep of its waker is not an earlier sample".into()));
                }
                Some(Wake {
                    waker: references.thread(waker).map_err(at)?,
                    stack: references.stack(waker_stacks[row]).map_err(at)?,
                    waker_sleep: waker_sleeps[row].map(SampleIdx::new),
                })
            }
        };
        let probability = probabilities[row];
        if !(limits::LOWEST_PROBABILITY..=1.0).contains(&probability) {
            return Err(at(format!("{probability} is not a valid probability").into()));
        }
        samples.push(Sample {
            time: Nanos(times[row]),
            value: values[row],
            probability,
            runqueue: runqueues[row].map(Nanos),
            thread: references.thread(threads[row]).map_err(at)?,
            cpu: CpuId(cpus[row]),
            stack: references.stack(stacks[row]).map_err(at)?,
            wake,
            labels: references.labels(labels[row]).map_err(at)?,
            metric: metrics[row],
            ongoing: ongoing[row],
        });
    }
    Ok(())
}
