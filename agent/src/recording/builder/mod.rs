//! Builds a recording during a capture, from the data of all probes.

mod shares;
mod sliced;
mod stacks;

use std::collections::BTreeMap;

pub(crate) use shares::Shares;
pub use sliced::{Reading, SlicedTotal};
pub use stacks::{RawStacks, StackInterner, StackLosses, WalkedStack};

use crate::recording::{
    Counter, Declared, Histogram, Location, MetricId, MetricSpec, ModuleTable, ProcessTable, Sample, SampleIdx,
    ThreadIdx, ThreadTable,
};
use crate::units::{Addr, CpuId, Nanos, Pid, Tid};

/// Finds the file of a user address, while the process exists.
pub trait CodeLocator {
    /// The file and offset of an address in `pid`; `None` if no mapping is known. New files are added to `modules`.
    fn locate_code(&mut self, pid: Pid, addr: Addr, modules: &mut ModuleTable) -> Option<Location>;

    /// A number that changes with the process that has the PID, and when addresses of it get another meaning.
    fn version(&mut self, pid: Pid) -> u64;
}

/// The time of a CPU in a part of a capture that a hypervisor gave to other guests (steal time).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StealTime {
    /// The CPU.
    pub cpu: CpuId,
    /// The start of the part, from the start of the capture.
    pub from: Nanos,
    /// The end of the part; not included.
    pub until: Nanos,
    /// The steal time.
    pub time: Nanos,
}

/// A recording that is being built.
pub struct RecordingBuilder {
    /// Code locations and stacks.
    pub stacks: StackInterner,
    /// Files from which code was mapped.
    pub modules: ModuleTable,
    /// Probes and their metrics.
    pub declared: Declared,
    /// The processes of samples and counters.
    pub processes: ProcessTable,
    /// The threads of samples and counters.
    pub threads: ThreadTable,
    /// Samples in the order in which they ended.
    pub samples: Vec<Sample>,
    /// Totals that were counted in the kernel.
    pub counters: Vec<Counter>,
    /// Distributions that were counted in the kernel.
    pub histograms: Vec<Histogram>,
    /// What the stacks of `samples` lack.
    pub stack_losses: StackLosses,
    /// Records whose matching record is missing, such as an end without a start.
    pub unmatched: u64,
    /// The share of the capture in which each CPU was idle, from 0 to 1.
    pub idle: BTreeMap<CpuId, f64>,
    /// The steal time of CPUs, in order of time.
    pub stolen: Vec<StealTime>,
    /// Remarks for the reader of the recording.
    pub remarks: Vec<String>,
    /// The start of the capture, in CLOCK_MONOTONIC.
    begin: Nanos,
}

impl RecordingBuilder {
    /// An empty recording of a capture that starts at `begin`, in CLOCK_MONOTONIC.
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
            stack_losses: StackLosses::default(),
            unmatched: 0,
            idle: BTreeMap::new(),
            stolen: Vec::new(),
            remarks: Vec::new(),
            begin,
        }
    }

    /// The start of the capture, in CLOCK_MONOTONIC.
    #[must_use]
    pub fn begin(&self) -> Nanos {
        self.begin
    }

    /// Converts a time in CLOCK_MONOTONIC to one from the start of the capture; 0 for an earlier time.
    #[must_use]
    pub fn since_begin(&self, time: Nanos) -> Nanos {
        time.since(self.begin)
    }

    /// Declares the metrics of a probe and returns the ID of the first. The others have the following IDs.
    pub fn declare(&mut self, probe: &str, label: &str, metrics: &[MetricSpec]) -> MetricId {
        self.declared.add(probe, label, metrics)
    }

    /// The row of a thread under a name (NUL-terminated).
    pub fn thread(&mut self, pid: Pid, tid: Tid, comm: [u8; 16]) -> ThreadIdx {
        self.threads.intern(&mut self.processes, pid, tid, comm)
    }

    /// A process was created: threads and samples with its PID are no longer those of the process that had it before.
    pub fn new_process(&mut self, pid: Pid) {
        self.processes.release(pid);
    }

    /// The stack of a record of process `pid`.
    pub fn stack(&mut self, pid: Pid, raw: RawStacks<'_>, code: &mut dyn CodeLocator) -> WalkedStack {
        self.stacks.intern(pid, raw, code, &mut self.modules)
    }

    /// Adds a sample with its stack and returns its row.
    pub fn push(&mut self, sample: Sample, walked: WalkedStack) -> SampleIdx {
        self.stack_losses.add(walked);
        let row = SampleIdx::from_index(self.samples.len());
        self.samples.push(Sample { stack: walked.stack, ..sample });
        row
    }
}
