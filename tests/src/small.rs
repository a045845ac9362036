//! A small recording that contains every kind of data, and is always built in the same way. `tests/data/small.quell` is a
//! copy.

use std::collections::BTreeMap;
use std::path::PathBuf;

use quell::recording::example::{self, BLOCKED, CPU, Example, IO_WAIT, PREEMPTED};
use quell::recording::{
    Cost, FileNumbers, Frame, FrameId, FrameTable, Governing, InlinedFunction, Label, Location, Losses, Meta, Module,
    ProbeCost, Recording, Sample, SampleIdx, Scope, SourceLine, StackId, Symbol, SymbolizeStats, ThreadIdx, Wake,
};
use quell::units::{Addr, Bytes, CpuId, Nanos, Pid};

/// The path of the committed recording.
#[must_use]
pub fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("data/small.quell")
}

/// A recording of a web server that computes, and waits for a lock, a database and its disk. It contains on-CPU samples;
/// off-CPU samples of every metric, some of them with a probability below 1; wakeups by threads (in a chain of two hops) and
/// by an interrupt; a thread that does not wake up before the end, and one without samples; code without a symbol and code
/// outside of files; an inlined function; labels; processes with much and with little metadata; a histogram; and losses.
#[must_use]
pub fn recording() -> Recording {
    let mut example = Example::new();
    example.recording.meta = meta();
    let Recording { frames, modules, .. } = &mut example.recording;
    let mut kernel = |addr: u64, name: &str| push(frames, Location::Kernel(Addr(0xffff_ffff_8100_0000 + addr)), name);
    let schedule = kernel(0x10, "schedule");
    let futex = kernel(0x20, "futex_wait_queue");
    let io = kernel(0x30, "io_schedule");
    let poll = kernel(0x40, "ep_poll");
    let wake = kernel(0x50, "futex_wake");
    let timer = kernel(0x60, "asm_sysvec_apic_timer_interrupt");
    let preempt = kernel(0x70, "exit_to_user_mode_loop");
    let copy = kernel(0x80, "copy_to_user");
    let web = modules.push(Module {
        path: PathBuf::from("/usr/bin/web"),
        file: Some(FileNumbers { major: 8, minor: 1, inode: 1_234 }),
        build_id: Some("00112233445566778899aabbccddeeff00112233".to_owned()),
    });
    let libc = modules.push(Module { path: PathBuf::from("/usr/lib/libc.so.6"), file: None, build_id: None });
    let mut user = |module, offset, name: &str| push(frames, Location::Module { module, offset }, name);
    let main = user(web, 0x1000, "web::main");
    let serve = user(web, 0x2000, "web::serve::<[u8; 64]>");
    let encode = user(web, 0x3000, "web::encode");
    // The same function at another address: output formats show a single frame.
    let encode_later = user(web, 0x3010, "web::encode");
    let lock = user(libc, 0x4000, "pthread_mutex_lock");
    let unlock = user(libc, 0x4100, "pthread_mutex_unlock");
    let source = SourceLine { file: Some("nptl/lowlevellock.h".to_owned()), line: Some(30) };
    frames.add_inlined(lock, InlinedFunction { name: "lll_lock".to_owned(), source });
    let nameless = frames.intern(Location::Module { module: libc, offset: 0x5000 });
    let jit = frames.intern(Location::Unmapped { pid: Pid(100), addr: Addr(0x7f00_0000_1000) });

    let stacks = &mut example.recording.stacks;
    let mut stack = |frames: &[FrameId]| stacks.intern_all(frames.iter().copied()).expect("at least one frame");
    let encoding = stack(&[main, serve, encode]);
    let encoding_later = stack(&[main, serve, encode_later]);
    let copying = stack(&[main, serve, nameless, copy]);
    let in_jit = stack(&[main, jit]);
    let locking = stack(&[main, serve, lock, futex, schedule]);
    let unlocking = stack(&[main, unlock, wake]);
    let reading = stack(&[main, io, schedule]);
    let polling = stack(&[main, poll, schedule]);
    let preempted = stack(&[main, serve, encode, preempt, schedule]);
    let interrupted = stack(&[main, serve, encode, timer]);

    let first = example.thread(100, 100, "web");
    let second = example.thread(100, 101, "web");
    let database = example.thread(200, 200, "database");
    let idle = example.thread(300, 300, "idle helper");
    let unseen = example.thread(400, 400, "short;lived");
    describe_processes(&mut example.recording);
    let request = Label { key: "request".to_owned(), value: "GET /".to_owned() };
    let labels = example.recording.labels.intern(vec![request]);

    let by = |waker, stack, waker_sleep: Option<u32>| {
        Some(Wake { waker, stack: Some(stack), waker_sleep: waker_sleep.map(SampleIdx::new) })
    };
    let mut add = |millis: u64, metric, thread: ThreadIdx, stack: Option<StackId>, micros: u64| {
        let sample = Sample::new(example.metric(metric), thread, Nanos(millis * 1_000_000), micros * 1_000);
        let runqueue = (metric != CPU).then_some(Nanos(12_000));
        example.recording.samples.push(Sample { cpu: CpuId(thread.row() % 2), stack, runqueue, ..sample });
        example.recording.samples.len() - 1
    };
    let computes = add(10, CPU, first, Some(encoding), 10_101);
    add(20, CPU, first, Some(encoding_later), 10_101);
    add(30, CPU, second, Some(copying), 10_101);
    add(40, CPU, second, Some(in_jit), 10_101);
    add(45, CPU, database, None, 10_101);
    let reads = add(50, IO_WAIT, database, Some(reading), 4_000);
    let [waits, waits_too] = [(52, second, 3_000), (55, first, 6_000)]
        .map(|(at, thread, micros)| add(at, BLOCKED, thread, Some(locking), micros));
    let is_preempted = add(60, PREEMPTED, first, Some(preempted), 250);
    let polls = add(70, BLOCKED, first, Some(polling), 8_000);
    let sleeps = add(0, BLOCKED, idle, Some(polling), 100_000);
    let samples = &mut example.recording.samples;
    samples[computes].labels = labels;
    samples[reads].wake = by(first, interrupted, None);
    (samples[waits].probability, samples[waits].wake) = (0.5, by(database, unlocking, Some(5)));
    (samples[waits_too].probability, samples[waits_too].wake) = (0.25, by(second, unlocking, Some(6)));
    (samples[is_preempted].probability, samples[is_preempted].runqueue) = (0.125, Some(Nanos(250_000)));
    samples[polls].wake = by(first, interrupted, None);
    (samples[sleeps].ongoing, samples[sleeps].runqueue) = (true, Some(Nanos(0)));

    for (metric, thread, count, micros) in [
        (BLOCKED, first, 5, 36_000),
        (PREEMPTED, first, 9, 1_800),
        (BLOCKED, second, 2, 6_600),
        (IO_WAIT, database, 1, 4_000),
        (BLOCKED, unseen, 3, 900),
    ] {
        example.counter(metric, Scope::Thread(thread), count, micros * 1_000);
    }
    example.histogram(PREEMPTED, Scope::Cpu(CpuId(0)), &[(200_000, 8), (250_000, 1)]);
    example.recording
}

fn describe_processes(recording: &mut Recording) {
    let web = recording.processes.find(Pid(100)).expect("a process of a thread");
    let web = recording.processes.get_mut(web);
    web.command_line = Some(vec!["web".to_owned(), "--port=80".to_owned()]);
    web.executable = Some(PathBuf::from("/usr/bin/web"));
    let container = "0123456789abcdef".repeat(4);
    web.cgroup = Some(format!("/system.slice/docker-{container}.scope"));
    web.container = Some(container);
    web.user = Some(33);
    let database = recording.processes.find(Pid(200)).expect("a process of a thread");
    recording.processes.get_mut(database).user = Some(0);
}

fn push(frames: &mut FrameTable, location: Location, name: &str) -> FrameId {
    frames.push(Frame { symbol: Some(Symbol { name: name.to_owned(), offset: 4 }), ..Frame::new(location) })
}

fn meta() -> Meta {
    Meta {
        command_line: ["quell", "record", "-a", "-d", "100ms"].map(str::to_owned).to_vec(),
        start_monotonic: Nanos(5_000_000_000),
        duration: Nanos(100_000_000),
        remarks: vec!["cpu: no hardware counters, sampled by the cpu clock".to_owned()],
        idle: BTreeMap::from([(CpuId(0), 0.25), (CpuId(1), 0.5)]),
        cost: Cost {
            probes: vec![ProbeCost {
                probe: "offcpu".to_owned(),
                mechanism: "tp_btf sched_switch".to_owned(),
                events: 20,
                nanos_per_event: Some(120.5),
            }],
            agent_cpu: Nanos(500_000),
            cpu_share: 0.0075,
            map_memory: Bytes(4 << 20),
            agent_memory: Bytes(24 << 20),
        },
        losses: Losses { ring_full: 3, no_kernel_stack: 1, ..Losses::default() },
        symbols: SymbolizeStats { named: 15, unnamed: BTreeMap::from([("no file".to_owned(), 2)]) },
        governing: Governing { budget: Some(0.01), ..Governing::default() },
        ..example::meta()
    }
}
