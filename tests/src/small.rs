//! A small recording with one of everything, built the same way each time: `tests/data/small.quell` holds it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use quell::profile::{
    Cost, Frame, FrameId, FrameTable, Governing, HostFacts, Location, Losses, Meta, Module, ModuleTable, OffCpu,
    ProbeCost, Reason, Recording, SCHEMA_VERSION, Sample, SampleKind, StackId, StackTable, Symbol, SymbolizeStats,
    Target, ThreadIdx, ThreadTable, ThreadTotals, Wake,
};
use quell::units::{Addr, Bytes, CpuId, Nanos, Pid, Tid};

/// Where the committed recording is.
#[must_use]
pub fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("data/small.quell")
}

/// A web server that computes, waits for a lock, for a database and for its disk: on-CPU samples, sleeps of every
/// reason, sampled with certainty and not, wake-ups by threads (in a chain of two hops) and by an interrupt, a thread
/// that never wakes, one that was never sampled, code without a name and code in no file, and losses.
#[must_use]
pub fn recording() -> Recording {
    let mut frames = FrameTable::default();
    let mut modules = ModuleTable::default();
    let mut kernel =
        |addr: u64, name: &str| push(&mut frames, Location::Kernel(Addr(0xffff_ffff_8100_0000 + addr)), name);
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
        build_id: Some("00112233445566778899aabbccddeeff00112233".to_owned()),
    });
    let libc = modules.push(Module { path: PathBuf::from("/usr/lib/libc.so.6"), build_id: None });
    let mut user = |module, offset, name: &str| push(&mut frames, Location::Module { module, offset }, name);
    let main = user(web, 0x1000, "web::main");
    let serve = user(web, 0x2000, "web::serve::<[u8; 64]>");
    let encode = user(web, 0x3000, "web::encode");
    // The same function at another address: one frame in every picture.
    let encode_later = user(web, 0x3010, "web::encode");
    let lock = user(libc, 0x4000, "pthread_mutex_lock");
    let unlock = user(libc, 0x4100, "pthread_mutex_unlock");
    let nameless = frames.intern(Location::Module { module: libc, offset: 0x5000 });
    let jit = frames.intern(Location::Unmapped { pid: Pid(100), addr: Addr(0x7f00_0000_1000) });

    let mut stacks = StackTable::default();
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

    let mut threads = ThreadTable::default();
    let mut thread = |pid, tid, name: &str| {
        let mut comm = [0; 16];
        comm[..name.len()].copy_from_slice(name.as_bytes());
        threads.intern(Pid(pid), Tid(tid), comm)
    };
    let first = thread(100, 100, "web");
    let second = thread(100, 101, "web");
    let database = thread(200, 200, "database");
    let idle = thread(300, 300, "idle helper");
    let unseen = thread(400, 400, "short;lived");

    let blocked = |probability, wake| off_cpu(Reason::Blocked, probability, wake);
    let by = |waker, stack, waker_sleep| Some(Wake { waker, stack: Some(stack), waker_sleep });
    let samples = vec![
        sample(10, first, Some(encoding), 10_101, SampleKind::OnCpu),
        sample(20, first, Some(encoding_later), 10_101, SampleKind::OnCpu),
        sample(30, second, Some(copying), 10_101, SampleKind::OnCpu),
        sample(40, second, Some(in_jit), 10_101, SampleKind::OnCpu),
        sample(45, database, None, 10_101, SampleKind::OnCpu),
        sample(50, database, Some(reading), 4_000, off_cpu(Reason::IoWait, 1.0, by(first, interrupted, None))),
        sample(52, second, Some(locking), 3_000, blocked(0.5, by(database, unlocking, Some(5)))),
        sample(55, first, Some(locking), 6_000, blocked(0.25, by(second, unlocking, Some(6)))),
        sample(60, first, Some(preempted), 250, off_cpu(Reason::Preempted, 0.125, None)),
        sample(70, first, Some(polling), 8_000, blocked(1.0, by(first, interrupted, None))),
        sample(0, idle, Some(polling), 100_000, still()),
    ];
    let totals = |thread, count: [u64; 3], micros: [u64; 3]| ThreadTotals {
        thread,
        count,
        time: micros.map(|micros| Nanos(micros * 1_000)),
    };
    Recording {
        meta: meta(),
        modules,
        frames,
        stacks,
        threads,
        samples,
        totals: vec![
            totals(first, [5, 9, 0], [36_000, 1_800, 0]),
            totals(second, [2, 0, 0], [6_600, 0, 0]),
            totals(database, [0, 0, 1], [0, 0, 4_000]),
            totals(unseen, [3, 0, 0], [900, 0, 0]),
        ],
    }
}

fn push(frames: &mut FrameTable, location: Location, name: &str) -> FrameId {
    frames.push(Frame { location, symbol: Some(Symbol { name: name.to_owned(), offset: 4 }) })
}

fn sample(millis: u64, thread: ThreadIdx, stack: Option<StackId>, micros: u64, kind: SampleKind) -> Sample {
    let cpu = CpuId(thread.0 % 2);
    Sample { time: Nanos(millis * 1_000_000), cpu, thread, stack, value: Nanos(micros * 1_000), kind }
}

fn off_cpu(reason: Reason, probability: f64, wake: Option<Wake>) -> SampleKind {
    SampleKind::OffCpu(OffCpu { reason, probability, runqueue: Nanos(12_000), still: false, wake })
}

fn still() -> SampleKind {
    SampleKind::OffCpu(OffCpu {
        reason: Reason::Blocked,
        probability: 1.0,
        runqueue: Nanos(0),
        still: true,
        wake: None,
    })
}

fn meta() -> Meta {
    Meta {
        schema: SCHEMA_VERSION,
        quell: "0.1.0".to_owned(),
        command_line: ["quell", "record", "-a", "-d", "100ms"].map(str::to_owned).to_vec(),
        target: Target::All,
        cpus: [CpuId(0), CpuId(1)].into_iter().collect(),
        host: HostFacts {
            hostname: "example".to_owned(),
            kernel: "6.18.0".to_owned(),
            arch: "x86_64".to_owned(),
            cpus: [CpuId(0), CpuId(1)].into_iter().collect(),
        },
        start_realtime: Nanos(1_700_000_000_000_000_000),
        start_monotonic: Nanos(5_000_000_000),
        duration: Nanos(100_000_000),
        frequency: 99,
        every_event: false,
        remarks: vec!["cpu: no hardware counters, sampled by the cpu clock".to_owned()],
        exit_code: None,
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
        governing: Governing { budget: Some(0.01), changes: Vec::new(), over_budget: false },
    }
}
