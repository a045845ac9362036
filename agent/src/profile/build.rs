//! Builds a [`Profile`] from a [`Recording`]: selects, weights, and merges frames by name.

use std::collections::BTreeMap;

use hashbrown::HashMap;

use super::calibration::{Calibration, Weight};
use super::exact;
use super::idle::IdleSleeps;
use super::kernel_frames::{Part, is_interrupt_entry, part};
use super::names::Names;
use super::process_names::process_names;
use super::select::{Roots, Selection};
use super::span::{self, Span};
use super::thread_pools::ThreadPools;
use super::totals::Totals;
use super::view::{COUNTED_ONLY, Profile, WakeLink, Weighted};
use super::window::Window;
use crate::recording::{
    Frame, MetricId, MetricKind, Recording, Sample, SampleIdx, StackId, StackTable, ThreadIdx, Unit, Wake,
};
use crate::units::{Bytes, CpuId, Nanos};

/// The maximum number of nodes in the tree of stacks of a profile, about 80 bytes each. A recording has one tree, a profile one for
/// each thread name: a million names with one deep stack would make half a billion nodes.
const MOST_NODES: usize = 8 << 20;

/// Builds the profile of a part of `recording`.
#[must_use]
pub fn build(recording: &Recording, selection: &Selection) -> Profile {
    build_within(recording, selection, MOST_NODES)
}

pub(super) fn build_within(recording: &Recording, selection: &Selection, most_nodes: usize) -> Profile {
    let calibration = Calibration::of(recording);
    let unsampled = calibration.exact.keys().map(|group| (*group, calibration.rest(group)));
    let idle = IdleSleeps::of(recording, |sample| calibration.weight(recording, sample).value, unsampled);
    let thread_pools = ThreadPools::of(recording.threads.rows().iter().map(|thread| thread.comm.as_str()));
    let mut builder = Builder {
        recording,
        selection,
        pools: recording.threads.rows().iter().map(|thread| thread_pools.name(&thread.comm).into_owned()).collect(),
        process_names: process_names(recording),
        nodes: node_facts(recording),
        names: Names::new(recording),
        stacks: StackTable::default(),
        roots: HashMap::new(),
        remapped: HashMap::new(),
        most_nodes,
        left_out: 0,
    };
    let kept = selection.rows(recording);
    let mut new_row = vec![None; recording.samples.len()];
    let mut samples = Vec::with_capacity(kept.len());
    for (row, selected) in kept {
        let sample = &recording.samples[row.index()];
        let mut weighted = builder.weigh(sample, &calibration, &new_row);
        if selected {
            keep_part(&mut weighted, Span::of_sample(recording, sample), selection.window);
        } else {
            // Only here as a hop of another sample's wake chain.
            (weighted.value, weighted.estimated, weighted.variance) = (0.0, 0.0, 0.0);
        }
        weighted.idle = idle.contains(row.index());
        new_row[row.index()] = Some(SampleIdx::from_index(samples.len()));
        samples.push(weighted);
    }
    let mut meta = recording.meta.clone();
    let unsampled = if selection.stacks.takes_without_stack() { builder.unsampled(&calibration) } else { Vec::new() };
    if selection.window == Window::default() {
        samples.extend(unsampled.into_iter().map(|one| builder.untimed(one, &idle)));
    } else {
        meta.remarks.extend(in_no_window(recording, &unsampled));
    }
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
        modules: builder.names.modules.rows,
        stacks: builder.stacks,
        threads: recording.threads.rows().to_vec(),
        pools: builder.pools,
        processes: recording.processes.rows().to_vec(),
        process_names: builder.process_names,
        roots: selection.roots,
        idle: selection.idle,
        samples,
        totals: Totals::of(recording),
        groups: calibration.groups,
        counters: exact::counters(recording, selection),
        histograms: exact::histograms(recording, selection),
    }
}

/// Reduces a sample to its part in a window. Calibration comes before: counted totals are those of the whole capture.
fn keep_part(sample: &mut Weighted, whole: Span, window: Window) {
    let Some(part) = whole.within(window).filter(|part| *part != whole) else { return };
    let share = part.length().0 as f64 / whole.length().0 as f64;
    sample.value *= share;
    sample.estimated *= share;
    sample.variance *= share * share;
    (sample.time, sample.duration) = (part.start, part.length());
    if part.end != whole.end {
        sample.wake = None;
    }
}

/// The value of a thread and metric that was counted, but that no sample represents.
#[derive(Clone, Copy)]
struct Unsampled {
    thread: ThreadIdx,
    metric: MetricId,
    /// In the unit of the metric.
    value: u64,
}

/// Remarks about values whose time is unknown, one for each metric.
fn in_no_window(recording: &Recording, unsampled: &[Unsampled]) -> Vec<String> {
    let mut sums: BTreeMap<MetricId, u64> = BTreeMap::new();
    for one in unsampled {
        let sum = sums.entry(one.metric).or_default();
        *sum = sum.saturating_add(one.value);
    }
    let remark = |(metric, sum): (MetricId, u64)| {
        let sum = match recording.meta.metric(metric).unit {
            Unit::Nanoseconds => Nanos(sum).to_string(),
            Unit::Bytes => Bytes(sum).to_string(),
            Unit::Count => sum.to_string(),
        };
        format!(
            "{}: {sum} were counted in the whole capture, but not sampled; their time is unknown, so no time window includes them",
            recording.meta.full_label(metric)
        )
    };
    sums.into_iter().map(remark).collect()
}

/// Properties of a node of [`Recording::stacks`], computed once from its caller, so that samples need not walk their stacks.
#[derive(Clone, Copy)]
struct NodeFacts {
    /// Whether the innermost frame belongs to a context switch, or to a probe above one.
    is_of_switch: bool,
    /// The stack without the innermost frames of a context switch, and of the probe above them; `None` if there are no others.
    before_switch: Option<StackId>,
    /// The stack without the innermost frames of a probe; `None` if there are no others.
    before_probe: Option<StackId>,
    /// Whether the stack contains the entry of an interrupt.
    interrupt: bool,
}

fn node_facts(recording: &Recording) -> Vec<NodeFacts> {
    let of_frame = |frame: &Frame| (part(frame), is_interrupt_entry(frame));
    let frames: Vec<(Part, bool)> = recording.frames.rows().iter().map(of_frame).collect();
    let mut nodes: Vec<NodeFacts> = Vec::with_capacity(recording.stacks.rows().len());
    for (row, node) in (0..).map(StackId::new).zip(recording.stacks.rows()) {
        let caller = node.parent.map(|parent| nodes[parent.index()]);
        let (part, entry) = frames[node.frame.index()];
        let is_of_switch =
            part == Part::Switch || part == Part::Tracing && caller.is_some_and(|caller| caller.is_of_switch);
        nodes.push(NodeFacts {
            is_of_switch,
            before_switch: if is_of_switch { caller.and_then(|caller| caller.before_switch) } else { Some(row) },
            before_probe: if part == Part::Tracing { caller.and_then(|caller| caller.before_probe) } else { Some(row) },
            interrupt: entry || caller.is_some_and(|caller| caller.interrupt),
        });
    }
    nodes
}

/// When the thread of a wait was woken, from the start of the capture: it was runnable for the rest of the wait.
fn woken(wait: &Sample) -> Nanos {
    let end = wait.time.0.saturating_add(wait.value);
    Nanos(end.saturating_sub(wait.runqueue.map_or(0, |time| time.0)))
}

struct Builder<'a> {
    recording: &'a Recording,
    selection: &'a Selection,
    /// The pool of each thread, or its name.
    pools: Vec<String>,
    process_names: Vec<String>,
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
                let own = match self.recording.meta.metric(sample.metric).kind {
                    // The whole stack if it has no other frames.
                    MetricKind::Interval => self.nodes[stack.index()].before_switch.unwrap_or(stack),
                    // BPF programs and the scheduler take time of their own.
                    MetricKind::Instant => stack,
                };
                self.remap(root, own)
            }
            None => {
                let label = self.names.label("[no stack]");
                self.stacks.intern(Some(root), label)
            }
        };
        let Weight { value, estimated, variance, group, is_draw } = calibration.weight(self.recording, sample);
        let duration = span::length(self.recording, sample);
        Weighted {
            time: sample.time,
            duration,
            is_timed: true,
            cpu: sample.cpu,
            thread: sample.thread,
            stack: Some(stack),
            metric: sample.metric,
            value,
            estimated,
            variance,
            group,
            is_draw,
            idle: false,
            runnable: duration.0 > 0 && sample.runqueue.is_some_and(|time| time >= duration),
            wake: sample.wake.map(|wake| self.wake(&wake, woken(sample), rows)),
        }
    }

    fn wake(&mut self, wake: &Wake, time: Nanos, rows: &[Option<SampleIdx>]) -> WakeLink {
        let root = self.root(wake.waker);
        let interrupt = wake.stack.is_some_and(|stack| self.nodes[stack.index()].interrupt);
        let stack = wake.stack.and_then(|stack| self.nodes[stack.index()].before_probe);
        WakeLink {
            time,
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
        let pool = &self.pools[thread.index()];
        let (process, label) = match self.selection.roots {
            Roots::Pools => (None, pool.clone()),
            Roots::Names => (None, row.comm.clone()),
            Roots::Threads => (None, row.label()),
            Roots::Processes => {
                (Some(format!("{} ({})", self.process_names[row.process.index()], row.pid)), pool.clone())
            }
        };
        let process = process.map(|label| {
            let frame = self.names.label(&label);
            self.stacks.intern(None, frame)
        });
        let frame = self.names.label(&label);
        let root = self.stacks.intern(process, frame);
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

    /// The selected values that were counted, but that no sample represents, by thread and metric.
    fn unsampled(&self, calibration: &Calibration) -> Vec<Unsampled> {
        let metrics = self.selection.metrics(&self.recording.meta);
        let mut rests: Vec<Unsampled> = calibration
            .exact
            .iter()
            .map(|(group, (_, thread))| Unsampled { thread: *thread, metric: group.1, value: calibration.rest(group) })
            .filter(|Unsampled { thread, metric, value }| {
                *value > 0 && metrics[metric.index()] && self.selection.takes_thread(self.recording, *thread)
            })
            .collect();
        rests.sort_unstable_by_key(|rest| (rest.thread, rest.metric));
        rests
    }

    /// A sample for such a value, so that sums are equal to the counted totals. Its time is unknown, so it covers the whole capture.
    fn untimed(&mut self, Unsampled { thread, metric, value }: Unsampled, idle: &IdleSleeps) -> Weighted {
        let root = self.root(thread);
        let key = self.recording.threads.get(thread).key();
        let label = self.names.label(COUNTED_ONLY);
        Weighted {
            time: Nanos(0),
            duration: self.recording.meta.duration,
            is_timed: false,
            cpu: CpuId(0),
            thread,
            stack: Some(self.stacks.intern(Some(root), label)),
            metric,
            value: value as f64,
            estimated: 0.0,
            variance: 0.0,
            group: None,
            is_draw: false,
            idle: idle.contains_unsampled(key, metric),
            runnable: false,
            wake: None,
        }
    }
}
