//! Hand-made recordings for tests, in this package and in others of the workspace.

use std::collections::BTreeMap;

use super::{
    Cost, Counter, Declared, Frame, FrameId, Governing, Histogram, HostFacts, Location, Losses, Meta, MetricId,
    MetricKind, MetricSpec, Module, ModuleId, Recording, SCHEMA_VERSION, Sample, Scope, Slice, StackId, Symbol,
    SymbolizeStats, Target, ThreadIdx, Unit, empty_counts,
};
use crate::units::{Addr, CpuId, CpuSet, Nanos, Pid, Tid};

/// The metric of on-CPU time.
pub const CPU: &str = "cpu";
/// Off-CPU time that is not waiting for block I/O.
pub const BLOCKED: &str = "offcpu.blocked";
/// Off-CPU time of runnable threads.
pub const PREEMPTED: &str = "offcpu.preempted";
/// Off-CPU time for block I/O.
pub const IO_WAIT: &str = "offcpu.io-wait";

/// A recording under construction. It has the probes `cpu` and `offcpu`, a capture time of one second, and no data yet.
#[derive(Clone, Debug)]
pub struct Example {
    /// The recording so far.
    pub recording: Recording,
}

impl Default for Example {
    fn default() -> Self {
        Self::new()
    }
}

impl Example {
    /// A recording without samples.
    #[must_use]
    pub fn new() -> Self {
        Self { recording: Recording::new(meta()) }
    }

    /// Adds a probe with its metrics.
    pub fn add_probe(&mut self, name: &str, label: &str, metrics: &[MetricSpec]) -> MetricId {
        let meta = &mut self.recording.meta;
        let (probes, metrics_so_far) = (std::mem::take(&mut meta.probes), std::mem::take(&mut meta.metrics));
        let mut declared = Declared { probes, metrics: metrics_so_far };
        let first = declared.add(name, label, metrics);
        (meta.probes, meta.metrics) = (declared.probes, declared.metrics);
        first
    }

    /// The metric with this name.
    ///
    /// # Panics
    /// If there is no such metric.
    #[must_use]
    pub fn metric(&self, name: &str) -> MetricId {
        self.recording.meta.metric_named(name).unwrap_or_else(|| panic!("no metric {name}"))
    }

    /// Adds a thread of a process.
    pub fn thread(&mut self, pid: u32, tid: u32, name: &str) -> ThreadIdx {
        let mut comm = [0; 16];
        let length = name.len().min(15);
        comm[..length].copy_from_slice(&name.as_bytes()[..length]);
        self.recording.threads.intern(&mut self.recording.processes, Pid(pid), Tid(tid), comm)
    }

    /// Adds a file with code.
    pub fn module(&mut self, path: &str) -> ModuleId {
        let modules = &mut self.recording.modules;
        let known = modules.rows().iter().position(|module| module.path.as_os_str() == path);
        known.map_or_else(
            || modules.push(Module { path: path.into(), file: None, build_id: None }),
            ModuleId::from_index,
        )
    }

    /// Adds a kernel function at a unique address.
    pub fn kernel_function(&mut self, name: &str) -> FrameId {
        self.function(name, |number| Location::Kernel(Addr(0xffff_ffff_8100_0000 + 16 * number)))
    }

    /// Adds a function of a program at a unique offset.
    pub fn user_function(&mut self, path: &str, name: &str) -> FrameId {
        let module = self.module(path);
        self.function(name, |number| Location::Module { module, offset: 16 * number })
    }

    /// The location of a function is derived from its name, so that it does not depend on the order of calls.
    fn function(&mut self, name: &str, location: impl Fn(u64) -> Location) -> FrameId {
        let number = name.bytes().fold(0, |hash: u64, byte| (hash * 31 + u64::from(byte)) % 0xff_ffff);
        let symbol = Symbol { name: name.to_owned(), offset: 0 };
        self.recording.frames.push(Frame { symbol: Some(symbol), ..Frame::new(location(number)) })
    }

    /// The stack of these functions, outermost first, as in `/bin/app main read@libc.so.6 kernel:vfs_read`. The first word is
    /// the program.
    ///
    /// # Panics
    /// If there is no function.
    pub fn stack(&mut self, path: &str) -> StackId {
        let mut words = path.split_whitespace();
        let program = words.next().unwrap_or_default();
        let functions: Vec<FrameId> = words
            .map(|word| match (word.strip_prefix("kernel:"), word.split_once('@')) {
                (Some(name), _) => self.kernel_function(name),
                (None, Some((name, module))) => self.user_function(module, name),
                (None, None) => self.user_function(program, word),
            })
            .collect();
        self.recording.stacks.intern_all(functions).expect("a stack has a function")
    }

    /// Adds a sample with the probability 1, at the beginning of the capture.
    pub fn sample(&mut self, metric: &str, thread: ThreadIdx, stack: StackId, value: u64) -> &mut Sample {
        let sample = Sample::new(self.metric(metric), thread, Nanos(0), value);
        self.recording.samples.push(Sample { stack: Some(stack), ..sample });
        self.recording.samples.last_mut().expect("it was just added")
    }

    /// Adds an exact total.
    pub fn counter(&mut self, metric: &str, scope: Scope, count: u64, sum: u64) {
        let metric = self.metric(metric);
        self.recording.counters.push(Counter { metric, scope, slice: None, count, sum });
    }

    /// Adds an exact total of a part of the capture, in milliseconds from its start.
    pub fn sliced_counter(&mut self, metric: &str, scope: Scope, millis: (u64, u64), (count, sum): (u64, u64)) {
        let metric = self.metric(metric);
        let [begin, end] = [millis.0, millis.1].map(|time| Nanos(time * 1_000_000));
        self.recording.counters.push(Counter { metric, scope, slice: Some(Slice { begin, end }), count, sum });
    }

    /// Adds a distribution with two significant digits, from values and their numbers of occurrences.
    ///
    /// # Panics
    /// Never, because any value fits.
    pub fn histogram(&mut self, metric: &str, scope: Scope, values: &[(u64, u64)]) {
        let mut counts = empty_counts(2);
        for (value, count) in values {
            counts.record_n(*value, *count).expect("any value fits");
        }
        self.recording.histograms.push(Histogram { metric: self.metric(metric), scope, counts });
    }

    /// Adds a probe that does not exist in this repository, `test.locks`. It has metrics of every unit and kind, and samples,
    /// counters and histograms of the thread `locker`.
    pub fn add_locks(&mut self) {
        let metric = |name, label, unit, kind| MetricSpec { name, label, unit, kind };
        let metrics = [
            metric("test.locks.wait", "wait", Unit::Nanoseconds, MetricKind::Interval),
            metric("test.locks.held", "held", Unit::Nanoseconds, MetricKind::Interval),
            metric("test.locks.memory", "memory", Unit::Bytes, MetricKind::Instant),
            metric("test.locks.spins", "spins", Unit::Count, MetricKind::Instant),
        ];
        self.add_probe("test.locks", "Locks", &metrics);
        let locker = self.thread(9, 91, "locker");
        let [waits, locks] = ["app main lock kernel:futex_wait", "app main lock"].map(|path| self.stack(path));
        self.sample("test.locks.wait", locker, waits, 1_500_000_000);
        self.sample("test.locks.held", locker, locks, 500_000_000).time = Nanos(100_000_000);
        self.sample("test.locks.memory", locker, locks, 3 << 19).probability = 0.5;
        self.sample("test.locks.spins", locker, locks, 12_345);
        self.counter("test.locks.spins", Scope::Thread(locker), 7, 12_400);
        self.counter("test.locks.wait", Scope::Cpu(CpuId(0)), 4, 1_600_000_000);
        self.counter("test.locks.wait", Scope::Host, 4, 1_600_000_000);
        self.histogram("test.locks.wait", Scope::Cpu(CpuId(0)), &[(1_000, 98), (50_000, 2)]);
        self.histogram("test.locks.wait", Scope::Cpu(CpuId(1)), &[(1_000, 100)]);
        self.histogram("test.locks.memory", Scope::Cgroup("/a".to_owned()), &[(64, 1_000)]);
    }
}

/// The metadata of a capture of all threads on two CPUs for one second, with the probes `cpu` and `offcpu`.
#[must_use]
pub fn meta() -> Meta {
    let cpus: CpuSet = [CpuId(0), CpuId(1)].into_iter().collect();
    let Declared { probes, metrics } = declared();
    Meta {
        schema: SCHEMA_VERSION,
        quell: "0.1.0".to_owned(),
        command_line: ["quell", "record", "-a"].map(str::to_owned).to_vec(),
        target: Target::All,
        cpus: cpus.clone(),
        probes,
        metrics,
        host: HostFacts {
            hostname: "example".to_owned(),
            kernel: "6.18.0".to_owned(),
            arch: "x86_64".to_owned(),
            cpus,
            boot_id: "11111111-2222-3333-4444-555555555555".to_owned(),
        },
        start_realtime: Nanos(1_700_000_000_000_000_000),
        start_monotonic: Nanos(1_000_000_000),
        duration: Nanos::SECOND,
        frequency: 99,
        every_event: false,
        max_stack: None,
        remarks: Vec::new(),
        exit_code: None,
        idle: BTreeMap::new(),
        steal: BTreeMap::new(),
        cost: Cost::default(),
        losses: Losses::default(),
        symbols: SymbolizeStats::default(),
        governing: Governing::default(),
    }
}

/// The metrics of the probes `cpu` and `offcpu`, as declared by these.
fn declared() -> Declared {
    let interval = |name, label| MetricSpec { name, label, unit: Unit::Nanoseconds, kind: MetricKind::Interval };
    let mut declared = Declared::default();
    let on_cpu = MetricSpec { name: CPU, label: "on CPU", unit: Unit::Nanoseconds, kind: MetricKind::Instant };
    declared.add("cpu", "On-CPU", &[on_cpu]);
    let waits = [interval(BLOCKED, "blocked"), interval(PREEMPTED, "preempted"), interval(IO_WAIT, "io-wait")];
    declared.add("offcpu", "Off-CPU", &waits);
    declared
}
