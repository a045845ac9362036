//! Recordings whose pages the tests open.

use quell::profile::{Profile, Selection, build};
use quell::recording::example::{self, BLOCKED, CPU, Example, PREEMPTED};
use quell::recording::{Losses, Meta, ProbeCost, Process, SampleIdx, Scope, Wake};
use quell::units::{Bytes, CpuId, Nanos, Pid};

/// A second in nanoseconds.
pub(crate) const SECOND: u64 = 1_000_000_000;

/// Two seconds on CPU in `parse`, in the first second of the capture, and one in `send`; `worker` sleeps for three
/// seconds and is woken by `relay`, which an interrupt that fell on `innocent` had woken.
pub(crate) fn recorded() -> Example {
    let mut example = Example::new();
    example.recording.meta = meta();
    let [worker, relay, innocent] =
        [(71, "worker"), (72, "relay"), (73, "innocent")].map(|(tid, name)| example.thread(7, tid, name));
    let [parse, again, send, wait, relay_wait, relay_wakes, interrupt] = [
        "app main handle parse",
        "app main handle parse handle parse",
        "app loop send kernel:tcp_sendmsg",
        "app main recv kernel:futex_wait",
        "app loop kernel:epoll_wait",
        "app loop unlock kernel:futex_wake kernel:try_to_wake_up",
        "app bystander_code kernel:asm_common_interrupt kernel:nvme_irq",
    ]
    .map(|path| example.stack(path));
    for (time, metric, thread, stack, value) in [
        (SECOND / 2, CPU, worker, parse, SECOND),
        (SECOND / 2, CPU, worker, again, SECOND),
        (3 * SECOND, CPU, relay, send, SECOND),
        (2 * SECOND, BLOCKED, relay, relay_wait, SECOND / 2),
        (SECOND, BLOCKED, worker, wait, 3 * SECOND),
        (0, PREEMPTED, worker, parse, SECOND / 4),
    ] {
        example.sample(metric, thread, stack, value).time = Nanos(time);
    }
    let samples = &mut example.recording.samples;
    samples[3].wake = Some(Wake { waker: innocent, stack: Some(interrupt), waker_sleep: None });
    let waker_sleep = Some(SampleIdx::new(3));
    samples[4].wake = Some(Wake { waker: relay, stack: Some(relay_wakes), waker_sleep });
    example.counter(BLOCKED, Scope::Thread(worker), 1, 3 * SECOND);
    example.counter(PREEMPTED, Scope::Thread(worker), 40, SECOND / 4);
    example
}

pub(crate) fn profile() -> Profile {
    let mut profile = build(&recorded().recording, &Selection::default());
    // 100 ms of standard error.
    profile.samples[4].variance = 1e16;
    profile
}

pub(crate) fn meta() -> Meta {
    let cost = |probe: &str, mechanism: &str, events, nanos_per_event| ProbeCost {
        probe: probe.to_owned(),
        mechanism: mechanism.to_owned(),
        events,
        nanos_per_event,
    };
    let mut meta = example::meta();
    meta.host.hostname = "testhost".to_owned();
    meta.duration = Nanos(4 * SECOND);
    meta.remarks = vec!["</script><b>no markup</b>".to_owned()];
    meta.idle = [(CpuId(0), 0.25)].into();
    meta.steal = [(CpuId(0), 0.0004), (CpuId(1), 0.031)].into();
    meta.cost.probes =
        vec![cost("cpu", "perf_event cpu-clock", 3, Some(812.0)), cost("offcpu", "tp_btf sched_switch", 9, None)];
    (meta.cost.agent_cpu, meta.cost.cpu_share) = (Nanos(1_000_000), 0.004);
    (meta.cost.map_memory, meta.cost.agent_memory) = (Bytes(1 << 20), Bytes(20 << 20));
    meta.losses = Losses { ring_full: 17, unmatched_sleeps: 2, ..Losses::default() };
    meta.symbols.named = 12;
    meta.governing.budget = Some(0.01);
    meta
}

/// Two processes: `app` with a pool of two threads and an idle thread, and `redis`.
pub(crate) fn two_processes() -> Profile {
    let mut example = Example::new();
    example.recording.meta.duration = Nanos(SECOND);
    let work = example.stack("app main work");
    let wait = example.stack("app main kernel:ep_poll");
    let lock = example.stack("app main lock kernel:futex_wait");
    for (pid, tid, name) in [(7, 7, "app"), (7, 8, "worker-1"), (7, 9, "worker-2"), (20, 20, "redis")] {
        let thread = example.thread(pid, tid, name);
        example.sample(CPU, thread, work, SECOND / 10);
        example.sample(BLOCKED, thread, lock, SECOND / 4);
    }
    let idle = example.thread(7, 10, "idler");
    example.sample(BLOCKED, idle, wait, SECOND).ongoing = true;
    let processes = &mut example.recording.processes;
    let redis = processes.find(Pid(20)).expect("a process");
    *processes.get_mut(redis) = Process {
        command_line: Some(vec!["redis-server".to_owned(), "<b>*:6379</b>".to_owned()]),
        container: Some("0123456789abcdef".repeat(4)),
        user_name: Some("redis".to_owned()),
        ..Process::new(Pid(20))
    };
    build(&example.recording, &Selection::default())
}
