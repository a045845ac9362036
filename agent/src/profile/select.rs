//! Selects a part of a recording.

use crate::pattern::{Pattern, any_or_none};
use crate::recording::{Meta, ProcessFilter, Recording, Sample, SampleIdx, ThreadIdx};
use crate::units::{Nanos, Pid};

/// A part of a recording. The default is the whole recording.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// Only these probes, by name; empty for all.
    pub probes: Vec<String>,
    /// Only these processes; empty for all.
    pub pids: Vec<Pid>,
    /// Only threads with names that match one of these; empty for all.
    pub comms: Vec<Pattern>,
    /// Only processes that match.
    pub processes: ProcessFilter,
    /// Only samples that began in this window.
    pub window: Window,
    /// The threads that share a root of the stacks.
    pub roots: Roots,
    /// Whether reports list idle threads.
    pub idle: IdleThreads,
}

/// The threads that share a root of the stacks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Roots {
    /// Threads whose names differ only in a number, such as `worker-1` and `worker-2`.
    #[default]
    Pools,
    /// Threads with the same name.
    Names,
    /// None: each thread has a root.
    Threads,
    /// The threads of a process, below which there is a frame for each pool.
    Processes,
}

/// How reports show threads that only wait for work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IdleThreads {
    /// All in one line.
    #[default]
    Folded,
    /// Like all other threads.
    Listed,
}

impl Selection {
    /// For each metric of a recording, whether it is selected.
    pub(super) fn metrics(&self, meta: &Meta) -> Vec<bool> {
        let takes = |probe: &String| self.probes.is_empty() || self.probes.contains(probe);
        meta.metrics.iter().map(|metric| takes(&metric.probe)).collect()
    }

    /// Whether a thread is selected.
    pub(super) fn takes_thread(&self, recording: &Recording, thread: ThreadIdx) -> bool {
        let thread = recording.threads.get(thread);
        (self.pids.is_empty() || self.pids.contains(&thread.pid))
            && any_or_none(&self.comms, |pattern| pattern.matches(&thread.comm))
            && self.processes.takes(recording.processes.get(thread.process))
    }

    /// Whether all threads are selected.
    pub(super) fn takes_all_threads(&self) -> bool {
        self.pids.is_empty() && self.comms.is_empty() && self.processes.takes_all()
    }

    /// The selected rows, and those that only continue the wake chain of a selected row, in order: each row, and whether it is
    /// selected.
    pub(super) fn rows(&self, recording: &Recording) -> Vec<(SampleIdx, bool)> {
        let metrics = self.metrics(&recording.meta);
        // A recording has many samples of a thread, and matching takes time.
        let threads: Vec<bool> = (0..recording.threads.rows().len())
            .map(|row| self.takes_thread(recording, ThreadIdx::from_index(row)))
            .collect();
        let takes = |sample: &Sample| {
            metrics[sample.metric.index()] && threads[sample.thread.index()] && self.window.takes(sample.time)
        };
        let selected: Vec<bool> = recording.samples.iter().map(takes).collect();
        let mut kept = selected.clone();
        for row in (0..recording.samples.len()).rev() {
            if let Some(earlier) = recording.samples[row].wake.filter(|_| kept[row]).and_then(|wake| wake.waker_sleep) {
                kept[earlier.index()] = true;
            }
        }
        let rows = kept.into_iter().zip(selected).enumerate().filter(|(_, (kept, _))| *kept);
        rows.map(|(row, (_, selected))| (SampleIdx::from_index(row), selected)).collect()
    }
}

/// A time window of a capture. The default is the whole capture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Window {
    /// The start of the window, from the start of the capture; included.
    pub since: Option<Nanos>,
    /// The end of the window; not included.
    pub until: Option<Nanos>,
}

impl Window {
    /// Whether the window contains a sample that began at `time`.
    #[must_use]
    pub fn takes(&self, time: Nanos) -> bool {
        self.since.is_none_or(|since| time >= since) && self.until.is_none_or(|until| time < until)
    }

    /// A description, such as `from 2.00 s to 5.00 s`; `None` for the whole capture.
    #[must_use]
    pub fn in_words(&self) -> Option<String> {
        match (self.since, self.until) {
            (None, None) => None,
            (Some(since), None) => Some(format!("from {since} on")),
            (None, Some(until)) => Some(format!("up to {until}")),
            (Some(since), Some(until)) => Some(format!("from {since} to {until}")),
        }
    }
}
