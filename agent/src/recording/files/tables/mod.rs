//! The tables of a recording: the columns of each table, its writer and its reader.

pub(super) mod counters;
pub(super) mod frames;
pub(super) mod histograms;
pub(super) mod labels;
pub(super) mod processes;
pub(super) mod samples;
mod scope;
pub(super) mod stacks;
pub(super) mod threads;

use parquet::data_type::ByteArray;

use super::damage::Damage;
use super::table::Table;
use crate::recording::{LabelSetId, Meta, MetricId, ProcessIdx, Recording, StackId, ThreadIdx};

/// All tables.
pub(super) const ALL: [&Table; 9] = [
    &samples::SAMPLES,
    &stacks::STACKS,
    &frames::FRAMES,
    &frames::INLINED,
    &processes::PROCESSES,
    &threads::THREADS,
    &labels::LABELS,
    &counters::COUNTERS,
    &histograms::HISTOGRAMS,
];

/// Texts that many rows share. Cloning one copies no bytes.
pub(super) struct Texts {
    comms: Vec<ByteArray>,
    metrics: Vec<ByteArray>,
}

impl Texts {
    pub(super) fn new(recording: &Recording) -> Self {
        Self {
            comms: recording.threads.rows().iter().map(|thread| ByteArray::from(thread.comm.as_str())).collect(),
            metrics: recording.meta.metrics.iter().map(|metric| ByteArray::from(metric.name.as_str())).collect(),
        }
    }

    fn comm(&self, thread: ThreadIdx) -> ByteArray {
        self.comms[thread.index()].clone()
    }

    fn metric(&self, metric: MetricId) -> ByteArray {
        self.metrics[metric.index()].clone()
    }
}

/// The tables to which the rows of another table may refer.
pub(super) struct References<'a> {
    pub(super) meta: &'a Meta,
    pub(super) processes: usize,
    pub(super) threads: usize,
    pub(super) stacks: usize,
    pub(super) label_sets: usize,
}

impl References<'_> {
    fn process(&self, id: u32) -> Result<ProcessIdx, Damage> {
        exists("process", id, self.processes).map(ProcessIdx::new)
    }

    fn thread(&self, id: u32) -> Result<ThreadIdx, Damage> {
        exists("thread", id, self.threads).map(ThreadIdx::new)
    }

    fn stack(&self, id: Option<u32>) -> Result<Option<StackId>, Damage> {
        id.map(|id| exists("stack", id, self.stacks).map(StackId::new)).transpose()
    }

    fn labels(&self, id: Option<u32>) -> Result<Option<LabelSetId>, Damage> {
        id.map(|id| exists("label set", id, self.label_sets).map(LabelSetId::new)).transpose()
    }

    /// A metric by name. A linear search is sufficient, because there are few metrics.
    fn metric(&self, name: &str) -> Option<MetricId> {
        self.meta.metric_named(name)
    }
}

fn exists(what: &str, id: u32, rows: usize) -> Result<u32, Damage> {
    if (id as usize) < rows { Ok(id) } else { Err(format!("{what} {id} does not exist").into()) }
}
