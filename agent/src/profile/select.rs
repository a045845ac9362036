//! Selects a part of a recording.

use super::stack_filter::StackFilter;
use crate::recording::{Meta, Recording, Sample, SampleIdx, ThreadIdx};
use crate::units::{Nanos, Pid, Tid};

/// A part of a recording. The default is the whole recording.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// Only these probes, by name; empty for all.
    pub probes: Vec<String>,
    /// Only these processes; empty for all.
    pub pids: Vec<Pid>,
    /// Only these threads, by TID; empty for all.
    pub tids: Vec<Tid>,
    /// Only threads with these names; empty for all.
    pub comms: Vec<String>,
    /// Only samples with these stacks.
    pub stacks: StackFilter,
    /// Only samples that began in this window.
    pub window: Window,
    /// Whether stacks begin with a separate root for each thread; otherwise threads of the same name share a root.
    pub by_thread: bool,
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
            && (self.tids.is_empty() || self.tids.contains(&thread.tid))
            && (self.comms.is_empty() || self.comms.contains(&thread.comm))
    }

    /// Whether all threads are selected.
    pub(super) fn takes_all_threads(&self) -> bool {
        self.pids.is_empty() && self.tids.is_empty() && self.comms.is_empty()
    }

    /// The selected rows, and those that only continue the wake chain of a selected row, in order: each row, and whether it is
    /// selected.
    pub(super) fn rows(&self, recording: &Recording) -> Vec<(SampleIdx, bool)> {
        let metrics = self.metrics(&recording.meta);
        let stacks = self.stacks.of(recording);
        let takes = |sample: &Sample| {
            stacks.take(sample.stack)
                && metrics[sample.metric.index()]
                && self.takes_thread(recording, sample.thread)
                && self.window.takes(sample.time)
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
