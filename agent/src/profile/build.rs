//! From a [`Recording`] to a [`Profile`]: select, weigh, merge frames by name.

use hashbrown::HashMap;

use super::calibration::Calibration;
use super::frame::{Frame, FrameId, Location};
use super::kernel_frames::{is_interrupt_entry, is_tracing};
use super::view::{FrameKind, Metric, NamedFrame, Profile, WakeLink, Weighted, Window};
use super::{OffCpu, Recording, Sample, SampleKind, StackId, StackTable, ThreadIdx, ThreadTotals};
use crate::units::{Nanos, Pid};

/// The most nodes in a profile's tree of stacks, some 80 bytes each while it is built. A recording has one tree, a profile one
/// below each thread's name: a million names over one deep stack would make half a billion nodes.
const MOST_NODES: usize = 8 << 20;

/// Which part of a recording to draw. The default is all of it.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// Only these probes (`cpu`, `offcpu`); empty for all.
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
    fn takes_probe(&self, kind: &SampleKind) -> bool {
        let name = match kind {
            SampleKind::OnCpu => "cpu",
            SampleKind::OffCpu(_) => "offcpu",
        };
        self.probes.is_empty() || self.probes.iter().any(|probe| probe == name)
    }

    fn takes_thread(&self, recording: &Recording, thread: ThreadIdx) -> bool {
        let thread = recording.threads.get(thread);
        (self.pids.is_empty() || self.pids.contains(&thread.pid))
            && (self.comms.is_empty() || self.comms.contains(&thread.comm))
    }

    fn takes(&self, recording: &Recording, sample: &Sample) -> bool {
        self.takes_probe(&sample.kind) && self.takes_thread(recording, sample.thread) && self.window.takes(sample.time)
    }
}

/// Draws up the profile of a part of `recording`.
#[must_use]
pub fn build(recording: &Recording, selection: &Selection) -> Profile {
    build_within(recording, selection, MOST_NODES)
}

fn build_within(recording: &Recording, selection: &Selection, most_nodes: usize) -> Profile {
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
    let kept = rows_to_keep(recording, selection);
    let mut new_row = vec![None; recording.samples.len()];
    let mut samples = Vec::with_capacity(kept.len());
    for (row, selected) in kept {
        let sample = &recording.samples[row as usize];
        let link = |row: u32| new_row[row as usize];
        let mut weighted = builder.weigh(sample, &calibration, link);
        if !selected {
            // Only here as a hop of another sample's wake chain.
            (weighted.value, weighted.variance) = (0.0, 0.0);
        }
        new_row[row as usize] = u32::try_from(samples.len()).ok();
        samples.push(weighted);
    }
    let totals: Vec<ThreadTotals> =
        recording.totals.iter().filter(|row| selection.takes_thread(recording, row.thread)).copied().collect();
    if selection.window == Window::default()
        && (selection.probes.is_empty() || selection.probes.iter().any(|probe| probe == "offcpu"))
    {
        samples.extend(builder.unsampled(&calibration));
    }
    let mut meta = recording.meta.clone();
    if builder.left_out > 0 {
        meta.remarks.push(format!(
            "{} samples are drawn without their stacks: more than {most_nodes} distinct callers; draw a part of the recording",
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
        totals,
    }
}

/// The rows that are selected, and those that only continue the wake chain of a selected one, in order.
fn rows_to_keep(recording: &Recording, selection: &Selection) -> Vec<(u32, bool)> {
    let selected: Vec<bool> = recording.samples.iter().map(|sample| selection.takes(recording, sample)).collect();
    let mut wanted = selected.clone();
    for row in (0..recording.samples.len()).rev() {
        if let (true, SampleKind::OffCpu(OffCpu { wake: Some(wake), .. })) = (wanted[row], recording.samples[row].kind)
            && let Some(earlier) = wake.waker_sleep
        {
            wanted[earlier as usize] = true;
        }
    }
    (0u32..)
        .zip(wanted.into_iter().zip(selected))
        .filter(|(_, (wanted, _))| *wanted)
        .map(|(row, (_, own))| (row, own))
        .collect()
}

/// What is known of a node of [`Recording::stacks`], found once from its caller's, so that no sample walks its stack.
#[derive(Clone, Copy)]
struct NodeFacts {
    /// The stack without the innermost frames that are the tracepoint's and not the thread's; `None` where nothing else is there.
    untraced: Option<StackId>,
    /// Whether a frame of the stack begins an interrupt.
    interrupt: bool,
}

fn node_facts(recording: &Recording) -> Vec<NodeFacts> {
    let of_frame = |frame: &Frame| (is_tracing(frame), is_interrupt_entry(frame));
    let frames: Vec<(bool, bool)> = recording.frames.rows().iter().map(of_frame).collect();
    let mut nodes: Vec<NodeFacts> = Vec::with_capacity(recording.stacks.rows().len());
    for (row, node) in (0u32..).zip(recording.stacks.rows()) {
        let caller = node.parent.map(|parent| nodes[parent.0 as usize]);
        let (tracing, entry) = frames[node.frame.0 as usize];
        nodes.push(NodeFacts {
            untraced: if tracing { caller.and_then(|caller| caller.untraced) } else { Some(StackId(row)) },
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
    /// How many stacks were not drawn.
    left_out: u64,
}

impl Builder<'_> {
    fn weigh(&mut self, sample: &Sample, calibration: &Calibration, row: impl Fn(u32) -> Option<u32>) -> Weighted {
        let root = self.root(sample.thread);
        let stack = match sample.stack {
            Some(stack) => {
                // All of it, should nothing else be there.
                let stack = self.nodes[stack.0 as usize].untraced.unwrap_or(stack);
                self.remap(root, stack)
            }
            None => {
                let label = self.names.label("[stack not walked]");
                self.stacks.intern(Some(root), label)
            }
        };
        let (metric, value, variance, wake) = match &sample.kind {
            SampleKind::OnCpu => (Metric::OnCpu, sample.value.0 as f64, 0.0, None),
            SampleKind::OffCpu(off) => {
                let thread = self.recording.threads.get(sample.thread);
                let group = (thread.pid, thread.tid, off.reason);
                let (value, variance) = calibration.value(&group, sample, off);
                let wake = off.wake.map(|wake| self.wake(&wake, &row));
                (Metric::OffCpu(off.reason), value, variance, wake)
            }
        };
        Weighted {
            time: sample.time,
            duration: sample.value,
            cpu: sample.cpu,
            thread: sample.thread,
            stack: Some(stack),
            metric,
            value,
            variance,
            wake,
        }
    }

    fn wake(&mut self, wake: &super::Wake, row: &impl Fn(u32) -> Option<u32>) -> WakeLink {
        let root = self.root(wake.waker);
        let interrupt = wake.stack.is_some_and(|stack| self.nodes[stack.0 as usize].interrupt);
        let stack = wake.stack.and_then(|stack| self.nodes[stack.0 as usize].untraced);
        WakeLink {
            waker: wake.waker,
            stack: stack.map(|stack| self.remap(root, stack)),
            interrupt,
            waker_sleep: if interrupt { None } else { wake.waker_sleep.and_then(row) },
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
        if self.stacks.rows().len() + missing.len() > self.most_nodes {
            self.left_out += 1;
            let label = self.names.label("[stack left out]");
            return self.stacks.intern(Some(root), label);
        }
        for id in missing.into_iter().rev() {
            let frame = self.names.of(self.recording.stacks.get(id).frame);
            parent = self.stacks.intern(Some(parent), frame);
            self.remapped.insert((root, id), parent);
        }
        parent
    }

    /// What was counted and no sample stands for, so that the totals stay exact.
    fn unsampled(&mut self, calibration: &Calibration) -> Vec<Weighted> {
        let mut groups: Vec<_> = calibration
            .exact
            .iter()
            .map(|(group, (_, thread))| (*thread, group.2, calibration.rest(group)))
            .filter(|(thread, _, rest)| rest.0 > 0 && self.selection.takes_thread(self.recording, *thread))
            .collect();
        groups.sort_unstable_by_key(|(thread, reason, _)| (*thread, *reason));
        let duration = self.recording.meta.duration;
        groups
            .into_iter()
            .map(|(thread, reason, rest)| {
                let root = self.root(thread);
                let label = self.names.label("[not sampled]");
                Weighted {
                    time: Nanos(0),
                    duration,
                    cpu: crate::units::CpuId(0),
                    thread,
                    stack: Some(self.stacks.intern(Some(root), label)),
                    metric: Metric::OffCpu(reason),
                    value: rest.0 as f64,
                    variance: 0.0,
                    wake: None,
                }
            })
            .collect()
    }
}

/// Frames merged by name.
struct Names<'a> {
    recording: &'a Recording,
    rows: Vec<NamedFrame>,
    index: HashMap<NamedFrame, FrameId>,
    of: Vec<Option<FrameId>>,
}

impl<'a> Names<'a> {
    fn new(recording: &'a Recording) -> Self {
        Self { recording, rows: Vec::new(), index: HashMap::new(), of: vec![None; recording.frames.rows().len()] }
    }

    fn intern(&mut self, frame: NamedFrame) -> FrameId {
        if let Some(id) = self.index.get(&frame) {
            return *id;
        }
        let id = FrameId(u32::try_from(self.rows.len()).expect("fewer than 2^32 functions"));
        self.rows.push(frame.clone());
        self.index.insert(frame, id);
        id
    }

    fn label(&mut self, text: &str) -> FrameId {
        self.intern(NamedFrame { name: text.to_owned(), module: String::new(), kind: FrameKind::Label })
    }

    fn of(&mut self, id: FrameId) -> FrameId {
        if let Some(known) = self.of[id.0 as usize] {
            return known;
        }
        let Frame { location, symbol } = self.recording.frames.get(id);
        let name = symbol.as_ref().map(|symbol| symbol.name.clone());
        let (module, kind) = match location {
            Location::Kernel(_) => ("[kernel]", FrameKind::Kernel),
            Location::Module { module, .. } => (self.recording.modules.get(*module).name(), FrameKind::User),
            Location::Unmapped { .. } => ("[unknown]", FrameKind::User),
            Location::Label(_) | Location::NamedLabel(_) => ("", FrameKind::Label),
        };
        let name = match (name, location) {
            (_, Location::Label(label)) => (*label).to_owned(),
            (_, Location::NamedLabel(label)) => label.clone(),
            (Some(name), _) => name,
            (None, _) => format!("[{}]", module.trim_matches(['[', ']'])),
        };
        let named = self.intern(NamedFrame { name, module: module.to_owned(), kind });
        self.of[id.0 as usize] = Some(named);
        named
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::{FrameTable, Meta, ModuleTable, Reason, Symbol, ThreadTable};
    use crate::units::{Addr, CpuId, Tid};

    fn kernel_frame(frames: &mut FrameTable, addr: u64, name: &str) -> FrameId {
        frames.push(Frame {
            location: Location::Kernel(Addr(addr)),
            symbol: Some(Symbol { name: name.to_owned(), offset: 0 }),
        })
    }

    /// One thread with two sleeping places, `read` and `poll`.
    fn recording() -> (Recording, ThreadIdx, StackId, StackId) {
        let mut frames = FrameTable::default();
        let mut stacks = StackTable::default();
        let mut threads = ThreadTable::default();
        let thread = threads.intern(Pid(1), Tid(1), *b"worker\0\0\0\0\0\0\0\0\0\0");
        let read = kernel_frame(&mut frames, 0x10, "read");
        let poll = kernel_frame(&mut frames, 0x20, "poll");
        let read = stacks.intern(None, read);
        let poll = stacks.intern(None, poll);
        let recording = Recording {
            meta: Meta::example(),
            modules: ModuleTable::default(),
            frames,
            stacks,
            threads,
            samples: Vec::new(),
            totals: Vec::new(),
        };
        (recording, thread, read, poll)
    }

    fn sleep(thread: ThreadIdx, stack: StackId, value: u64, probability: f64) -> Sample {
        Sample {
            time: Nanos(0),
            cpu: CpuId(0),
            thread,
            stack: Some(stack),
            value: Nanos(value),
            kind: SampleKind::OffCpu(OffCpu {
                reason: Reason::Blocked,
                probability,
                runqueue: Nanos(0),
                still: false,
                wake: None,
            }),
        }
    }

    #[test]
    fn a_sample_stands_for_its_length_over_its_probability() {
        let (mut recording, thread, read, _) = recording();
        recording.samples = vec![sleep(thread, read, 100, 0.25)];
        let profile = build(&recording, &Selection::default());
        assert_eq!(profile.samples[0].value, 400.0);
        assert_eq!(profile.samples[0].variance, 0.75 * 400.0 * 400.0);
    }

    #[test]
    fn stacks_that_would_make_too_large_a_tree_are_left_out_and_counted() {
        let (mut recording, thread, read, poll) = recording();
        recording.samples =
            vec![sleep(thread, read, 100, 1.0), sleep(thread, poll, 50, 1.0), sleep(thread, poll, 50, 1.0)];
        let profile = build_within(&recording, &Selection::default(), 2);
        let leaf = |row: usize| {
            let stack = profile.samples[row].stack.expect("a stack");
            profile.functions(stack).next().expect("a frame").name.as_str()
        };
        assert_eq!([leaf(0), leaf(1), leaf(2)], ["read", "[stack left out]", "[stack left out]"]);
        assert!(profile.meta.remarks[0].starts_with("2 samples are drawn without their stacks"));
        assert!(build(&recording, &Selection::default()).meta.remarks.is_empty());
    }

    #[test]
    fn totals_that_overflow_are_as_large_as_can_be() {
        let (mut recording, thread, ..) = recording();
        let most = Nanos(i64::MAX as u64);
        recording.totals = vec![ThreadTotals { thread, count: [u64::MAX; 3], time: [most; 3] }; 5];
        let profile = build(&recording, &Selection::default());
        assert!(profile.samples.iter().all(|sample| sample.value >= most.0 as f64));
    }

    #[test]
    fn exact_totals_calibrate_what_was_left_to_chance_and_nothing_else() {
        let (mut recording, thread, read, poll) = recording();
        recording.samples =
            vec![sleep(thread, read, 300, 1.0), sleep(thread, poll, 20, 0.1), sleep(thread, read, 10, 0.1)];
        recording.totals = vec![ThreadTotals { thread, count: [5, 0, 0], time: [Nanos(800), Nanos(0), Nanos(0)] }];
        let profile = build(&recording, &Selection::default());
        let values: Vec<f64> = profile.samples.iter().map(|sample| sample.value).collect();
        assert!((values.iter().sum::<f64>() - 800.0).abs() < 1e-9, "{values:?}");
        assert_eq!(values[0], 300.0, "it is as long as it was measured to be");
        assert!((values[1] / values[2] - 2.0).abs() < 1e-9, "{values:?}");
    }

    #[test]
    fn what_no_sample_stands_for_is_shown_as_such() {
        let (mut recording, thread, read, _) = recording();
        recording.samples = vec![sleep(thread, read, 300, 1.0)];
        recording.totals = vec![ThreadTotals { thread, count: [2, 0, 0], time: [Nanos(400), Nanos(0), Nanos(0)] }];
        let profile = build(&recording, &Selection::default());
        assert_eq!(profile.samples.iter().map(|sample| sample.value).collect::<Vec<_>>(), [300.0, 100.0]);
    }

    #[test]
    fn an_error_that_the_exact_total_shows_is_in_the_variance() {
        let (mut recording, thread, read, _) = recording();
        recording.samples = vec![sleep(thread, read, 10, 0.5)];
        // Estimated 20, counted 1010: a long sleep was not sampled.
        recording.totals = vec![ThreadTotals { thread, count: [5, 0, 0], time: [Nanos(1010), Nanos(0), Nanos(0)] }];
        let profile = build(&recording, &Selection::default());
        assert_eq!(profile.samples[0].value, 1010.0);
        let error = profile.samples[0].variance.sqrt();
        assert!(error >= 990.0, "{error}");
    }

    #[test]
    fn a_stack_that_was_certain_to_be_sampled_shares_in_what_is_missing() {
        let (mut recording, thread, read, poll) = recording();
        recording.samples = vec![sleep(thread, read, 100, 1.0), sleep(thread, poll, 1, 0.5)];
        // One more sleep of 100 was expected to be short, and not sampled.
        recording.totals = vec![ThreadTotals { thread, count: [5, 0, 0], time: [Nanos(202), Nanos(0), Nanos(0)] }];
        let profile = build(&recording, &Selection::default());
        assert_eq!(profile.samples[0].value, 100.0);
        let error = profile.samples[0].variance.sqrt();
        assert!(error > 100.0 / 3.0, "{error}");
    }

    #[test]
    fn a_thread_without_samples_keeps_its_exact_total() {
        let (mut recording, thread, ..) = recording();
        recording.totals = vec![ThreadTotals { thread, count: [0, 7, 0], time: [Nanos(0), Nanos(700), Nanos(0)] }];
        let profile = build(&recording, &Selection::default());
        assert_eq!(profile.samples.len(), 1);
        assert_eq!(profile.samples[0].value, 700.0);
        let stack = profile.samples[0].stack.expect("a label");
        let names: Vec<&str> = profile.functions(stack).map(|frame| frame.name.as_str()).collect();
        assert_eq!(names, ["[not sampled]", "worker"]);
    }

    #[test]
    fn a_sleep_that_goes_on_is_no_part_of_the_calibration() {
        let (mut recording, thread, read, poll) = recording();
        let mut still = sleep(thread, poll, 5_000, 1.0);
        if let SampleKind::OffCpu(off) = &mut still.kind {
            off.still = true;
        }
        recording.samples = vec![sleep(thread, read, 50, 0.5), still];
        recording.totals = vec![ThreadTotals { thread, count: [3, 0, 0], time: [Nanos(200), Nanos(0), Nanos(0)] }];
        let profile = build(&recording, &Selection::default());
        assert_eq!(profile.samples[0].value, 200.0);
        assert_eq!(profile.samples[1].value, 5_000.0);
    }

    #[test]
    fn a_selection_keeps_the_hops_of_its_wake_chains_without_their_weight() {
        let (mut recording, thread, read, poll) = recording();
        let other = recording.threads.intern(Pid(2), Tid(2), *b"waker\0\0\0\0\0\0\0\0\0\0\0");
        let mut woken = sleep(thread, poll, 100, 1.0);
        if let SampleKind::OffCpu(off) = &mut woken.kind {
            off.wake = Some(crate::profile::Wake { waker: other, stack: Some(read), waker_sleep: Some(0) });
        }
        recording.samples = vec![sleep(other, read, 70, 1.0), woken];
        let selection = Selection { pids: vec![Pid(1)], ..Selection::default() };
        let profile = build(&recording, &selection);
        assert_eq!(profile.samples.iter().map(|sample| sample.value).collect::<Vec<_>>(), [0.0, 100.0]);
        assert_eq!(profile.samples[1].wake.and_then(|wake| wake.waker_sleep), Some(0));
    }

    #[test]
    fn the_tracepoints_own_frames_are_no_part_of_a_stack() {
        let (mut recording, thread, read, _) = recording();
        let run = kernel_frame(&mut recording.frames, 0x40, "bpf_trace_run4");
        let traced = recording.stacks.intern(Some(read), run);
        recording.samples = vec![sleep(thread, traced, 10, 1.0)];
        let profile = build(&recording, &Selection::default());
        let stack = profile.samples[0].stack.expect("a stack");
        let names: Vec<&str> = profile.functions(stack).map(|frame| frame.name.as_str()).collect();
        assert_eq!(names, ["read", "worker"]);
    }

    #[test]
    fn one_function_at_two_addresses_is_one_frame() {
        let (mut recording, thread, ..) = recording();
        let first = kernel_frame(&mut recording.frames, 0x30, "write");
        let second = kernel_frame(&mut recording.frames, 0x38, "write");
        let stacks = [recording.stacks.intern(None, first), recording.stacks.intern(None, second)];
        recording.samples = stacks.map(|stack| sleep(thread, stack, 10, 1.0)).to_vec();
        let profile = build(&recording, &Selection::default());
        assert_eq!(profile.samples[0].stack, profile.samples[1].stack);
    }
}
