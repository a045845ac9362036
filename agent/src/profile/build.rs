//! Builds a [`Profile`] from a [`Recording`]: selects, weights, and merges frames by name.

use hashbrown::HashMap;

use super::calibration::{Calibration, Weight};
use super::exact;
use super::kernel_frames::{is_interrupt_entry, is_tracing};
use super::names::Names;
use super::select::{Selection, Window};
use super::totals::Totals;
use super::view::{Profile, WakeLink, Weighted};
use crate::recording::{Frame, MetricKind, Recording, Sample, SampleIdx, StackId, StackTable, ThreadIdx, Wake};
use crate::units::{CpuId, Nanos};

/// The maximum number of nodes in the tree of stacks of a profile, about 80 bytes each. A recording has one tree, a profile one for
/// each thread name: a million names with one deep stack would make half a billion nodes.
const MOST_NODES: usize = 8 << 20;

/// Builds the profile of a part of `recording`.
#[must_use]
pub fn build(recording: &Recording, selection: &Selection) -> Profile {
    build_within(recording, selection, MOST_NODES)
}

pub(super) fn build_within(recording: &Recording, selection: &Selection, most_nodes: usize) -> Profile {
    let mut builder = Builder {
        recording,
        selection,
        nodes: node_facts(recording),
        names: Names::new(recording),
        stacks: StackTable::default(),
        roots: HashMap::new(),
        remapped: HashMap::new(),
        most_nodes,
        left_out: 0,
    };
    let calibration = Calibration::of(recording);
    let kept = selection.rows(recording);
    let mut new_row = vec![None; recording.samples.len()];
    let mut samples = Vec::with_capacity(kept.len());
    for (row, selected) in kept {
        let sample = &recording.samples[row.index()];
        let mut weighted = builder.weigh(sample, &calibration, &new_row);
        if !selected {
            // Only here as a hop of another sample's wake chain.
            (weighted.value, weighted.estimated, weighted.variance) = (0.0, 0.0, 0.0);
        }
        new_row[row.index()] = Some(SampleIdx::from_index(samples.len()));
        samples.push(weighted);
    }
    if selection.window == Window::default() && selection.stacks.takes_without_stack() {
        samples.extend(builder.unsampled(&calibration));
    }
    let mut meta = recording.meta.clone();
    if builder.left_out > 0 {
        meta.remarks.push(format!(
            "{} samples are shown without stacks: the profile has more than {most_nodes} call tree nodes; report on a part of the recording",
            builder.left_out
        ));
    }
    Profile {
        meta,
        window: selection.window,
        frames: builder.names.rows,
        stacks: builder.stacks,
        threads: recording.threads.rows().to_vec(),
        samples,
        totals: Totals::of(recording),
        groups: calibration.groups,
        counters: exact::counters(recording, selection),
        histograms: exact::histograms(recording, selection),
    }
}

/// Properties of a node of [`Recording::stacks`], computed once from its caller, so that samples need not walk their stacks.
#[derive(Clone, Copy)]
struct NodeFacts {
    /// The stack without the innermost frames of the tracepoint; `None` if there are no others.
    untraced: Option<StackId>,
    /// Whether the stack contains the entry of an interrupt.
    interrupt: bool,
}

fn node_facts(recording: &Recording) -> Vec<NodeFacts> {
    let of_frame = |frame: &Frame| (is_tracing(frame), is_interrupt_entry(frame));
    let frames: Vec<(bool, bool)> = recording.frames.rows().iter().map(of_frame).collect();
    let mut nodes: Vec<NodeFacts> = Vec::with_capacity(recording.stacks.rows().len());
    for (row, node) in (0..).map(StackId::new).zip(recording.stacks.rows()) {
        let caller = node.parent.map(|parent| nodes[parent.index()]);
        let (tracing, entry) = frames[node.frame.index()];
        nodes.push(NodeFacts {
            untraced: if tracing { caller.and_then(|caller| caller.untraced) } else { Some(row) },
            interrupt: entry || caller.is_some_and(|caller| caller.interrupt),
        });
    }
    nodes
}

struct Builder<'a> {
    recording: &'a Recording,
    selection: &'a Selection,
    nodes: Vec<NodeFacts>,
    names: Names<'a>,
    stacks: StackTable,
    roots: HashMap<ThreadIdx, StackId>,
    remapped: HashMap<(StackId, StackId), StackId>,
    most_nodes: usize,
    /// The number of omitted stacks.
    left_out: u64,
}

impl Builder<'_> {
    /// `rows` has the row in the profile of each row of the recording.
    fn weigh(&mut self, sample: &Sample, calibration: &Calibration, rows: &[Option<SampleIdx>]) -> Weighted {
        let root = self.root(sample.thread);
        let stack = match sample.stack {
            Some(stack) => {
                // All of it, should nothing else be there.
                let stack = self.nodes[stack.index()].untraced.unwrap_or(stack);
                self.remap(root, stack)
            }
            None => {
                let label = self.names.label("[no stack]");
                self.stacks.intern(Some(root), label)
            }
        };
        let Weight { value, estimated, variance, group } = calibration.weight(self.recording, sample);
        let duration = match self.recording.meta.metric(sample.metric).kind {
            MetricKind::Interval => Nanos(sample.value),
            MetricKind::Instant => Nanos(0),
        };
        Weighted {
            time: sample.time,
            duration,
            cpu: sample.cpu,
            thread: sample.thread,
            stack: Some(stack),
            metric: sample.metric,
            value,
            estimated,
            variance,
            group,
            runnable: duration.0 > 0 && sample.runqueue.is_some_and(|time| time >= duration),
            wake: sample.wake.map(|wake| self.wake(&wake, rows)),
        }
    }

    fn wake(&mut self, wake: &Wake, rows: &[Option<SampleIdx>]) -> WakeLink {
        let root = self.root(wake.waker);
        let interrupt = wake.stack.is_some_and(|stack| self.nodes[stack.index()].interrupt);
        let stack = wake.stack.and_then(|stack| self.nodes[stack.index()].untraced);
        WakeLink {
            waker: wake.waker,
            stack: stack.map(|stack| self.remap(root, stack)),
            interrupt,
            waker_sleep: if interrupt { None } else { wake.waker_sleep.and_then(|row| rows[row.index()]) },
        }
    }

    fn root(&mut self, thread: ThreadIdx) -> StackId {
        if let Some(root) = self.roots.get(&thread) {
            return *root;
        }
        let row = self.recording.threads.get(thread);
        let label = if self.selection.by_thread { format!("{} ({})", row.comm, row.tid) } else { row.comm.clone() };
        let frame = self.names.label(&label);
        let root = self.stacks.intern(None, frame);
        self.roots.insert(thread, root);
        root
    }

    fn remap(&mut self, root: StackId, stack: StackId) -> StackId {
        let mut missing = Vec::new();
        let mut next = Some(stack);
        let mut parent = root;
        while let Some(id) = next {
            if let Some(known) = self.remapped.get(&(root, id)) {
                parent = *known;
                break;
            }
            missing.push(id);
            next = self.recording.stacks.get(id).parent;
        }
        let inlined = |id: &StackId| {
            let frame = self.recording.stacks.get(*id).frame;
            self.recording.frames.get(frame).inlined().len()
        };
        let more = missing.len() + missing.iter().map(inlined).sum::<usize>();
        if self.stacks.rows().len() + more > self.most_nodes {
            self.left_out += 1;
            let label = self.names.label("[stack omitted]");
            return self.stacks.intern(Some(root), label);
        }
        for id in missing.into_iter().rev() {
            let frame = self.recording.stacks.get(id).frame;
            parent = self.stacks.intern(Some(parent), self.names.of(frame));
            for inlined in self.names.inlined(frame) {
                parent = self.stacks.intern(Some(parent), *inlined);
            }
            self.remapped.insert((root, id), parent);
        }
        parent
    }

    /// Samples for values that were counted, but are represented by no sample, so that sums are equal to the counted totals. Their time
    /// is unknown, so they cover the whole capture.
    fn unsampled(&mut self, calibration: &Calibration) -> Vec<Weighted> {
        let metrics = self.selection.metrics(&self.recording.meta);
        let mut groups: Vec<_> = calibration
            .exact
            .iter()
            .map(|(group, (_, thread))| (*thread, group.2, calibration.rest(group)))
            .filter(|(thread, metric, rest)| {
                *rest > 0 && metrics[metric.index()] && self.selection.takes_thread(self.recording, *thread)
            })
            .collect();
        groups.sort_unstable_by_key(|(thread, metric, _)| (*thread, *metric));
        let duration = self.recording.meta.duration;
        groups
            .into_iter()
            .map(|(thread, metric, rest)| {
                let root = self.root(thread);
                let label = self.names.label("[no stack: counted only]");
                Weighted {
                    time: Nanos(0),
                    duration,
                    cpu: CpuId(0),
                    thread,
                    stack: Some(self.stacks.intern(Some(root), label)),
                    metric,
                    value: rest as f64,
                    estimated: 0.0,
                    variance: 0.0,
                    group: None,
                    runnable: false,
                    wake: None,
                }
            })
            .collect()
    }
}
