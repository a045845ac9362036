//! Which part of a recording is drawn.

use crate::recording::{Meta, Recording, Sample, SampleIdx, ThreadIdx};
use crate::units::{Nanos, Pid};

/// Which part of a recording to draw. The default is all of it.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// Only these probes, by name; empty for all.
    pub probes: Vec<String>,
    /// Only these processes; empty for all.
    pub pids: Vec<Pid>,
    /// Only threads of these names; empty for all.
    pub comms: Vec<String>,
    /// Only what began in this part of the time.
    pub window: Window,
    /// Whether each thread is a root of its own; else threads of one name share one.
    pub by_thread: bool,
}

impl Selection {
    /// For each metric of a recording whether it is selected.
    pub(super) fn metrics(&self, meta: &Meta) -> Vec<bool> {
        let takes = |probe: &String| self.probes.is_empty() || self.probes.contains(probe);
        meta.metrics.iter().map(|metric| takes(&metric.probe)).collect()
    }

    /// Whether a thread is selected.
    pub(super) fn takes_thread(&self, recording: &Recording, thread: ThreadIdx) -> bool {
        let thread = recording.threads.get(thread);
        (self.pids.is_empty() || self.pids.contains(&thread.pid))
            && (self.comms.is_empty() || self.comms.contains(&thread.comm))
    }

    /// Whether every thread is selected.
    pub(super) fn takes_all_threads(&self) -> bool {
        self.pids.is_empty() && self.comms.is_empty()
    }

    /// The rows that are selected, and those that only continue the wake chain of a selected one, in order: each row, and
    /// whether it is selected.
    pub(super) fn rows(&self, recording: &Recording) -> Vec<(SampleIdx, bool)> {
        let metrics = self.metrics(&recording.meta);
        let takes = |sample: &Sample| {
            metrics[sample.metric.index()]
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

/// Which part of a capture's time is drawn. The default is all of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Window {
    /// What began at this time or later, from the start of the capture.
    pub since: Option<Nanos>,
    /// What began before this time.
    pub until: Option<Nanos>,
}

impl Window {
    /// Whether a sample that began at `time` lies in it.
    #[must_use]
    pub fn takes(&self, time: Nanos) -> bool {
        self.since.is_none_or(|since| time >= since) && self.until.is_none_or(|until| time < until)
    }

    /// In words, as in `from 2.00 s to 5.00 s`; `None` for the whole time.
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
