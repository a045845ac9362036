//! Putting a recording together while it is captured: what every probe adds to.

mod shares;
mod stacks;

use std::collections::BTreeMap;

pub use stacks::{RawStacks, StackInterner};

use crate::recording::{
    Counter, Declared, Histogram, Location, MetricId, MetricSpec, ModuleTable, ProcessTable, Sample, SampleIdx,
    StackId, ThreadIdx, ThreadTable,
};
use crate::units::{Addr, CpuId, Nanos, Pid, Tid};

/// Tells in which file the code of a process lies, while the process lives.
pub trait CodeLocator {
    /// The file and offset of an address in `pid`; `None` where no code is known to be. New files enter `modules`.
    fn locate_code(&mut self, pid: Pid, addr: Addr, modules: &mut ModuleTable) -> Option<Location>;
}

/// A recording that grows.
pub struct RecordingBuilder {
    /// Code.
    pub stacks: StackInterner,
    /// Files with code.
    pub modules: ModuleTable,
    /// Probes and their metrics.
    pub declared: Declared,
    /// Processes.
    pub processes: ProcessTable,
    /// Threads.
    pub threads: ThreadTable,
    /// Samples in the order in which they ended.
    pub samples: Vec<Sample>,
    /// Exact totals.
    pub counters: Vec<Counter>,
    /// Exact distributions.
    pub histograms: Vec<Histogram>,
    /// Records without the record that they belong to.
    pub unmatched: u64,
    /// Share of the capture that each CPU was idle.
    pub idle: BTreeMap<CpuId, f64>,
    /// When the capture began, on the clock of the records.
    begin: Nanos,
}

impl RecordingBuilder {
    /// Of a capture that begins at `begin`, on the clock of the records.
    #[must_use]
    pub fn new(begin: Nanos) -> Self {
        Self {
            stacks: StackInterner::default(),
            modules: ModuleTable::default(),
            declared: Declared::default(),
            processes: ProcessTable::default(),
            threads: ThreadTable::default(),
            samples: Vec::new(),
            counters: Vec::new(),
            histograms: Vec::new(),
            unmatched: 0,
            idle: BTreeMap::new(),
            begin,
        }
    }

    /// When the capture began, on the clock of the records.
    #[must_use]
    pub fn begin(&self) -> Nanos {
        self.begin
    }

    /// A moment on the clock of the records, from the beginning of the capture; 0 for an earlier one.
    #[must_use]
    pub fn since_begin(&self, time: Nanos) -> Nanos {
        time.since(self.begin)
    }

    /// Declares the metrics of a probe, and returns the first. The others follow it.
    pub fn declare(&mut self, probe: &str, label: &str, metrics: &[MetricSpec]) -> MetricId {
        self.declared.add(probe, label, metrics)
    }

    /// The row of a thread under a name (NUL-terminated).
    pub fn thread(&mut self, pid: Pid, tid: Tid, comm: [u8; 16]) -> ThreadIdx {
        self.threads.intern(&mut self.processes, pid, tid, comm)
    }

    /// The stack of a record of process `pid`; `None` where no frame was walked.
    pub fn stack(&mut self, pid: Pid, raw: RawStacks<'_>, code: &mut dyn CodeLocator) -> Option<StackId> {
        self.stacks.intern(pid, raw, code, &mut self.modules)
    }

    /// Adds a sample. Returns its row.
    pub fn push(&mut self, sample: Sample) -> SampleIdx {
        let row = SampleIdx::from_index(self.samples.len());
        self.samples.push(sample);
        row
    }
}
