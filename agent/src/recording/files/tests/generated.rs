//! Small generated recordings with any content.

use std::path::PathBuf;

use proptest::prelude::*;
use proptest::sample::Index;

use crate::recording::{
    Counter, FileNumbers, Frame, FrameId, FrameSource, Histogram, InlinedFunction, Label, LabelSetId, Location,
    MetricId, Module, ModuleId, Process, ProcessIdx, Recording, Sample, SampleIdx, Scope, Slice, SourceLine, StackId,
    Symbol, Thread, ThreadIdx, Wake, empty_counts, example,
};
use crate::units::{Addr, CpuId, Nanos, Pid, Tid};

fn nanos() -> impl Strategy<Value = Nanos> {
    amount().prop_map(Nanos)
}

fn amount() -> impl Strategy<Value = u64> {
    0..=i64::MAX as u64
}

fn location() -> impl Strategy<Value = Location> {
    prop_oneof![
        any::<u64>().prop_map(|addr| Location::Kernel(Addr(addr))),
        (0u32..3, any::<u64>()).prop_map(|(module, offset)| Location::Module { module: ModuleId::new(module), offset }),
        any::<(u32, u64)>().prop_map(|(pid, addr)| Location::Unmapped { pid: Pid(pid), addr: Addr(addr) }),
        "\\PC{0,12}".prop_map(Location::NamedLabel),
    ]
}

fn source_line() -> impl Strategy<Value = SourceLine> {
    (option("/\\PC{0,9}"), option(any::<u32>())).prop_map(|(file, line)| SourceLine { file, line })
}

fn frame() -> impl Strategy<Value = Frame> {
    let symbol = option(("\\PC{0,20}", any::<u64>()));
    let inlined = prop::collection::vec(("\\PC{0,20}", source_line()), 0..3);
    (location(), symbol, source_line(), inlined).prop_map(|(location, symbol, source, inlined)| {
        let symbol = symbol.map(|(name, offset)| Symbol { name, offset });
        let symbol = symbol.filter(|_| !matches!(location, Location::NamedLabel(_)));
        let inlined = inlined.into_iter().map(|(name, source)| InlinedFunction { name, source }).collect();
        let source = FrameSource { source, inlined };
        Frame { location, symbol, source: (source != FrameSource::default()).then(|| Box::new(source)) }
    })
}

fn process() -> impl Strategy<Value = Process> {
    let text = || option("\\PC{0,9}");
    let words = option(prop::collection::vec("\\PC{0,9}", 0..3));
    (any::<u32>(), words, text(), text(), option("[0-9a-f]{64}"), option(any::<u32>()), text()).prop_map(
        |(pid, command_line, executable, cgroup, container, user, user_name)| Process {
            pid: Pid(pid),
            command_line,
            executable: executable.map(PathBuf::from),
            cgroup,
            container,
            user,
            user_name,
        },
    )
}

fn option<S: Strategy>(values: S) -> impl Strategy<Value = Option<S::Value>>
where
    S::Value: Clone,
{
    proptest::option::of(values)
}

/// A scope, with an arbitrary number as the thread.
fn scope() -> impl Strategy<Value = Scope> {
    prop_oneof![
        Just(Scope::Host),
        any::<u32>().prop_map(|cpu| Scope::Cpu(CpuId(cpu))),
        "/\\PC{0,9}".prop_map(Scope::Cgroup),
        (0u32..100).prop_map(|thread| Scope::Thread(ThreadIdx::new(thread))),
    ]
}

/// References to other rows are arbitrary numbers, which [`recording`] maps to valid rows.
#[derive(Clone, Debug)]
struct RawSample {
    numbers: (Nanos, u64, Option<Nanos>, u32, u32),
    ongoing: bool,
    metric: u16,
    thread: Index,
    stack: Option<Index>,
    labels: Option<Index>,
    wake: Option<(Index, Option<Index>, Option<Index>)>,
}

prop_compose! {
    fn raw_sample()(
        numbers in (nanos(), amount(), option(nanos()), any::<u32>(), 1u32..),
        ongoing in any::<bool>(),
        metric in 0u16..4,
        thread in any::<Index>(),
        stack in any::<Option<Index>>(),
        labels in any::<Option<Index>>(),
        wake in option(any::<(Index, Option<Index>, Option<Index>)>()),
    ) -> RawSample {
        RawSample { numbers, ongoing, metric, thread, stack, labels, wake }
    }
}

prop_compose! {
    pub(super) fn recording()(
        processes in prop::collection::vec(process(), 1..4),
        threads in prop::collection::vec(("\\PC{1,15}", any::<(Index, u32, u32)>()), 1..4),
        modules in prop::collection::vec(
            ("/[a-z]{1,9}", option("[0-9a-f]{40}"), option(any::<(u32, u32, u64)>())), 3),
        frames in prop::collection::vec(frame(), 1..8),
        stacks in prop::collection::vec(any::<(Option<Index>, Index)>(), 1..12),
        labels in prop::collection::vec(prop::collection::vec(("[a-z]{1,3}", "\\PC{0,9}"), 1..4), 0..4),
        samples in prop::collection::vec(raw_sample(), 0..20),
        counters in prop::collection::vec((0u16..4, scope(), option((0..=1_000_000_000u64, 0..=1_000_000_000u64)), amount(), amount()), 0..4),
        histograms in prop::collection::vec(
            (0u16..4, scope(), 0u8..=3, prop::collection::vec((amount(), 1u64..1 << 40), 1..9)), 0..4),
    ) -> Recording {
        let mut recording = Recording::new(example::meta());
        for process in processes {
            recording.processes.push(process);
        }
        for (comm, (process, tid, incarnation)) in threads {
            let process = ProcessIdx::from_index(process.index(recording.processes.rows().len()));
            let pid = recording.processes.get(process).pid;
            recording.threads.push(Thread { process, pid, tid: Tid(tid), incarnation, comm });
        }
        for (path, build_id, file) in modules {
            let file = file.map(|(major, minor, inode)| FileNumbers { major, minor, inode });
            recording.modules.push(Module { path: PathBuf::from(path), file, build_id });
        }
        for frame in frames {
            recording.frames.push(frame);
        }
        for (parent, frame) in stacks {
            let rows = recording.stacks.rows().len();
            let parent = parent.filter(|_| rows > 0).map(|parent| StackId::from_index(parent.index(rows)));
            let frame = FrameId::from_index(frame.index(recording.frames.rows().len()));
            recording.stacks.intern(parent, frame);
        }
        for set in labels {
            recording.labels.intern(set.into_iter().map(|(key, value)| Label { key, value }).collect());
        }
        let threads = recording.threads.rows().len();
        let stack = |index: Index| StackId::from_index(index.index(recording.stacks.rows().len()));
        for (row, raw) in samples.into_iter().enumerate() {
            let (time, value, runqueue, cpu, odds) = raw.numbers;
            let label_sets = recording.labels.rows().len();
            let wake = raw.wake.map(|(waker, code, sleep)| Wake {
                waker: ThreadIdx::from_index(waker.index(threads)),
                stack: code.map(stack),
                waker_sleep: sleep.filter(|_| row > 0).map(|sleep| SampleIdx::from_index(sleep.index(row))),
            });
            recording.samples.push(Sample {
                time,
                value,
                probability: f64::from(odds) / f64::from(u32::MAX),
                runqueue,
                thread: ThreadIdx::from_index(raw.thread.index(threads)),
                cpu: CpuId(cpu),
                stack: raw.stack.map(stack),
                wake,
                labels: raw.labels.filter(|_| label_sets > 0).map(|set| LabelSetId::from_index(set.index(label_sets))),
                metric: MetricId(raw.metric),
                ongoing: raw.ongoing,
            });
        }
        let scope = |scope| match scope {
            Scope::Thread(thread) => Scope::Thread(ThreadIdx::from_index(thread.index() % threads)),
            scope => scope,
        };
        for (metric, of, times, count, sum) in counters {
            let slice = times.map(|(one, other)| Slice { begin: Nanos(one.min(other)), end: Nanos(one.max(other)) });
            recording.counters.push(Counter { metric: MetricId(metric), scope: scope(of), slice, count, sum });
        }
        for (metric, of, digits, values) in histograms {
            let mut counts = empty_counts(digits);
            for (value, count) in values {
                counts.record_n(value, count).expect("it takes any value");
            }
            recording.histograms.push(Histogram { metric: MetricId(metric), scope: scope(of), counts });
        }
        recording
    }
}
