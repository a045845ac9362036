//! Selects a part of a recording.

use super::span::Span;
use super::stack_filter::StackFilter;
use super::window::Window;
use crate::pattern::{Pattern, any_or_none};
use crate::recording::{Meta, ProcessFilter, Recording, Sample, SampleIdx, ThreadIdx};
use crate::units::{Pid, Tid};

/// A part of a recording. The default is the whole recording.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// Only these probes, by name; empty for all.
    pub probes: Vec<String>,
    /// Only these processes; empty for all.
    pub pids: Vec<Pid>,
    /// Only these threads, by TID; empty for all.
    pub tids: Vec<Tid>,
    /// Only threads with names that match one of these; empty for all.
    pub comms: Vec<Pattern>,
    /// Only processes that match.
    pub processes: ProcessFilter,
    /// Only samples with these stacks.
    pub stacks: StackFilter,
    /// Only this window: the instants in it, and the parts of intervals that lie within it.
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
            && (self.tids.is_empty() || self.tids.contains(&thread.tid))
            && any_or_none(&self.comms, |pattern| pattern.matches(&thread.comm))
            && self.processes.takes(recording.processes.get(thread.process))
    }

    /// Whether all threads are selected.
    pub(super) fn takes_all_threads(&self) -> bool {
        self.pids.is_empty() && self.tids.is_empty() && self.comms.is_empty() && self.processes.takes_all()
    }

    /// The selected rows, and those that only continue the wake chain of a selected row, in order: each row, and whether it is
    /// selected. The wakeup of an interval belongs to the window that contains its end.
    pub(super) fn rows(&self, recording: &Recording) -> Vec<(SampleIdx, bool)> {
        let metrics = self.metrics(&recording.meta);
        // A recording has many samples of a thread, and matching takes time.
        let threads: Vec<bool> = (0..recording.threads.rows().len())
            .map(|row| self.takes_thread(recording, ThreadIdx::from_index(row)))
            .collect();
        let stacks = self.stacks.of(recording);
        let takes = |sample: &Sample| {
            stacks.take(sample.stack)
                && metrics[sample.metric.index()]
                && threads[sample.thread.index()]
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
