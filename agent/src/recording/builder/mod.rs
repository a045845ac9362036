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

    /// A thread was created that is not the first of its process: samples with its TID are no longer of the thread that had it before.
    pub fn new_thread(&mut self, pid: Pid, tid: Tid) {
        if let Some(process) = self.processes.find(pid) {
            self.threads.end(process, tid);
        }
    }

    /// A thread that was not the first of its process has executed a program: it gives up its TID, and has that of the first one, which
    /// is gone with all others.
    pub fn thread_executed(&mut self, pid: Pid, old_tid: Tid) {
        self.new_thread(pid, old_tid);
        self.new_thread(pid, Tid(pid.0));
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Process 7, whose thread 9 executes a program.
    #[test]
    fn a_thread_that_executes_a_program_is_another_one_than_the_first_whose_id_it_gets() {
        let mut out = RecordingBuilder::new(Nanos(0));
        let (pid, first, other) = (Pid(7), Tid(7), Tid(9));
        let before = [first, other].map(|tid| out.thread(pid, tid, [b'a'; 16]));
        out.thread_executed(pid, other);
        let after = out.thread(pid, first, [b'a'; 16]);
        // A thread that the new program creates.
        let new = out.thread(pid, other, [b'a'; 16]);
        let incarnations = [before[0], before[1], after, new].map(|row| out.threads.get(row).incarnation);
        assert_eq!(incarnations, [0, 0, 1, 1]);
        let processes = [before[0], before[1], after, new].map(|row| out.threads.get(row).process);
        assert!(processes.iter().all(|process| *process == processes[0]), "it is the same process");
    }

    #[test]
    fn a_new_thread_of_an_unknown_process_is_nothing_new() {
        let mut out = RecordingBuilder::new(Nanos(0));
        out.new_thread(Pid(7), Tid(9));
        let row = out.thread(Pid(7), Tid(9), [b'a'; 16]);
        assert_eq!(out.threads.get(row).incarnation, 0);
    }
}
