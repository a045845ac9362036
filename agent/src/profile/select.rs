//! Selects a part of a recording.

use super::span::Span;
use super::window::Window;
use crate::recording::{Meta, Recording, Sample, SampleIdx, ThreadIdx};
use crate::units::Pid;

/// A part of a recording. The default is the whole recording.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// Only these probes, by name; empty for all.
    pub probes: Vec<String>,
    /// Only these processes; empty for all.
    pub pids: Vec<Pid>,
    /// Only threads with these names; empty for all.
    pub comms: Vec<String>,
    /// Only this window: the instants in it, and the parts of intervals that lie within it.
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
            && (self.comms.is_empty() || self.comms.contains(&thread.comm))
    }

    /// Whether all threads are selected.
    pub(super) fn takes_all_threads(&self) -> bool {
        self.pids.is_empty() && self.comms.is_empty()
    }

    /// The selected rows, and those that only continue the wake chain of a selected row, in order: each row, and whether it is
    /// selected. The wakeup of an interval belongs to the window that contains its end.
    pub(super) fn rows(&self, recording: &Recording) -> Vec<(SampleIdx, bool)> {
        let metrics = self.metrics(&recording.meta);
        let takes = |sample: &Sample| {
            metrics[sample.metric.index()]
                && self.takes_thread(recording, sample.thread)
                && Span::of_sample(recording, sample).within(self.window).is_some()
        };
        let selected: Vec<bool> = recording.samples.iter().map(takes).collect();
        let mut kept = selected.clone();
        for row in (0..recording.samples.len()).rev() {
            let sample = &recording.samples[row];
            let is_followed = kept[row] && (!selected[row] || Span::of_sample(recording, sample).ends_in(self.window));
            if let Some(earlier) = sample.wake.filter(|_| is_followed).and_then(|wake| wake.waker_sleep) {
                kept[earlier.index()] = true;
            }
        }
        let rows = kept.into_iter().zip(selected).enumerate().filter(|(_, (kept, _))| *kept);
        rows.map(|(row, (_, selected))| (SampleIdx::from_index(row), selected)).collect()
    }
}
