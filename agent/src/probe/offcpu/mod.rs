//! Off-CPU time, from the tracepoints of the scheduler.

#[path = "../../../../ebpf/programs/src/offcpu/abi.rs"]
#[allow(unreachable_pub, reason = "the programs include this file too")]
mod abi;
mod asleep;
mod innermost;
mod sleeps;
mod totals;
mod user_walk;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::PathBuf;

use super::availability::Verdict;
use super::{Availability, BadRecord, ProbeConfig, ProbeError, ProbeSpec, RunningProbe};
use crate::bpf::{BpfObject, Features, Hook, Record};
use crate::host;
use crate::inspect::ProcessMemory;
use crate::recording::{CodeLocator, MetricId, MetricKind, MetricSpec, RecordingBuilder, Unit};
use crate::units::{Nanos, Pid, Tid};
use sleeps::Sleeps;
use totals::Moment;

/// The number of the probe in records.
pub(super) const NUMBER: u16 = abi::PROBE;

/// The probe `offcpu`.
pub(super) struct Probe;

static SPEC: ProbeSpec = ProbeSpec {
    name: "offcpu",
    number: NUMBER,
    label: "Off-CPU",
    doc: "off-CPU time: stacks of waiting threads with the reason and the waker; every interval is counted, stacks are sampled",
    events: &["tp_btf sched_switch", "tp_btf sched_waking", "iter/task"],
    // The switch program is attached before the wakeup program, so it has seen the sleep of each thread that is woken.
    hooks: &[Hook::Switch, Hook::Waking],
    kernel: "5.10",
    cost: "about 0.1 us per context switch, 2 to 6 us per sampled interval",
    samples: true,
    fields: &[],
    maps: &[],
    // In the order of `quell_ebpf_common::reason`.
    metrics: &[
        interval("offcpu.blocked", "blocked"),
        interval("offcpu.preempted", "preempted"),
        interval("offcpu.io-wait", "io-wait"),
        interval("offcpu.throttled", "throttled"),
        interval("offcpu.stopped", "stopped"),
    ],
};

const fn interval(name: &'static str, label: &'static str) -> MetricSpec {
    MetricSpec { name, label, unit: Unit::Nanoseconds, kind: MetricKind::Interval }
}

/// The task iterators that walk the sleeping threads, at the beginning and at the end.
const FIRST: &str = "quell_walk_first";
const LAST: &str = "quell_walk_last";
const WALKS: [&str; 2] = [FIRST, LAST];

impl super::Probe for Probe {
    fn spec(&self) -> &'static ProbeSpec {
        &SPEC
    }

    fn needs(&self, features: &Features) -> Availability {
        let mut verdict = Verdict::default();
        if let Err(why) = &features.offsets {
            verdict.obstacle(why);
        }
        verdict.need("tp_btf", &features.mechanisms.tp_btf);
        verdict.need("the ring-buffer map", &features.ring_buffer);
        if let Some(why) = features.mechanisms.iter_task.why_not() {
            verdict.miss(&format!("threads that sleep during the whole capture are missing: no task iterator ({why})"));
        } else if !features.helpers.task_pt_regs.is_yes()
            && !features.offsets.as_ref().is_ok_and(|offsets| offsets.stack_regs.is_some())
        {
            verdict.miss("threads that sleep during the whole capture have no user stack: no bpf_task_pt_regs (5.15)");
        }
        verdict.common(features);
        verdict.into()
    }

    fn load(&self, object: &mut BpfObject) -> Result<Availability, ProbeError> {
        SPEC.hooks.iter().try_for_each(|hook| object.load_hook(*hook))?;
        let walks = WALKS.map(|walk| object.load_iterator(walk));
        Ok(match walks.into_iter().find_map(Result::err) {
            Some(why) => Availability::Degraded(format!(
                "threads that sleep during the whole capture are missing: {}",
                why.brief()
            )),
            None => Availability::Ready,
        })
    }

    fn start(&self, object: &mut BpfObject, config: &ProbeConfig) -> Result<Box<dyn RunningProbe>, ProbeError> {
        SPEC.hooks.iter().try_for_each(|hook| object.attach_hook(*hook))?;
        if let Err(why) = object.follow("quell_rename", "task_rename") {
            tracing::info!("the off-CPU totals of a thread are shown under its last name: {}", why.brief());
        }
        // If one was rejected, `load` has reported it.
        let walks = WALKS.into_iter().all(|walk| object.has_loaded(walk));
        Ok(Box::new(Waiting { walks, cgroup: config.cgroup.clone(), sleeps: Sleeps::new(walks) }))
    }
}

struct Waiting {
    /// Whether the task iterators are loaded.
    walks: bool,
    /// The cgroup whose processes are walked: for a thread that does not run, the programs cannot determine the cgroup.
    cgroup: Option<PathBuf>,
    sleeps: Sleeps,
}

impl Waiting {
    fn walk(&self, object: &mut BpfObject, iterator: &'static str) -> Result<(), ProbeError> {
        if !self.walks {
            return Ok(());
        }
        if let Some(cgroup) = &self.cgroup {
            for pid in host::processes_in(cgroup) {
                object.add_target(pid)?;
            }
        }
        object.run_iterator(iterator)
    }
}

impl RunningProbe for Waiting {
    fn mechanism(&self) -> String {
        "tp_btf sched_switch, sched_waking".to_owned()
    }

    fn begin(&mut self, object: &mut BpfObject) -> Result<(), ProbeError> {
        self.walk(object, FIRST)
    }

    fn declared(&mut self, first: MetricId) {
        self.sleeps.declared(first);
    }

    fn complete(&self, record: &Record<'_>, memory: &mut dyn ProcessMemory, words: &mut Vec<u64>) -> bool {
        asleep::complete(record, memory, words)
    }

    fn decode(
        &mut self,
        record: &Record<'_>,
        out: &mut RecordingBuilder,
        code: &mut dyn CodeLocator,
    ) -> Result<(), BadRecord> {
        match record.header.kind {
            abi::SLEEP_START => {
                let (start, raw) = record.with_stacks(|start: &abi::SleepStart| start.stacks).ok_or(BadRecord)?;
                self.sleeps.start(start, raw, out, code)
            }
            abi::WAKE => {
                let (wake, raw) = record.with_stacks(|wake: &abi::Wake| wake.stacks).ok_or(BadRecord)?;
                self.sleeps.wake(wake, raw, out, code);
                Ok(())
            }
            abi::SLEEP_END => {
                self.sleeps.end(record.plain().ok_or(BadRecord)?, out);
                Ok(())
            }
            abi::THREAD_EXIT => {
                self.sleeps.thread_exit(record.plain().ok_or(BadRecord)?, out);
                Ok(())
            }
            abi::THREAD_RENAMED => {
                self.sleeps.thread_renamed(record.plain().ok_or(BadRecord)?, out);
                Ok(())
            }
            _ => Err(BadRecord),
        }
    }

    fn snapshot(&mut self, object: &BpfObject, now: Nanos, begin: Nanos) -> Result<(), ProbeError> {
        if self.sleeps.is_due() {
            self.sleeps.read_totals(&object.threads()?, Moment::new(now, begin));
        }
        Ok(())
    }

    fn stop(&mut self, object: &mut BpfObject) -> Result<(), ProbeError> {
        // `sched_switch` is still attached, so that a thread that is running and never left the CPU can be distinguished from
        // one that has just woken up.
        self.walk(object, LAST)
    }

    fn finish(
        mut self: Box<Self>,
        object: &BpfObject,
        end: Nanos,
        own: &[Pid],
        out: &mut RecordingBuilder,
    ) -> Result<(), ProbeError> {
        let threads = object.threads()?;
        let asleep: BTreeMap<Tid, u32> =
            threads.iter().filter(|(_, state)| state.out_since != 0).map(|(tid, state)| (*tid, state.seq)).collect();
        for (tid, state) in &threads {
            let (pid, totals) = (Pid(state.tgid), state.all_totals());
            if totals.iter().any(|total| total.count > 0) && !own.contains(&pid) {
                let comm = current_comm(pid, *tid).unwrap_or(state.comm);
                let thread = out.thread(pid, *tid, comm);
                self.sleeps.still_there(thread, state, Moment::new(end, out.begin()));
            }
        }
        self.sleeps.finish(end, |tid| asleep.get(&tid).copied(), out);
        Ok(())
    }
}

fn current_comm(pid: Pid, tid: Tid) -> Option<[u8; 16]> {
    let mut comm = [0; 16];
    let length = File::open(format!("/proc/{pid}/task/{tid}/comm")).ok()?.read(&mut comm).ok()?;
    // The content of the file ends in a line feed.
    comm[length.saturating_sub(1)..].fill(0);
    Some(comm)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::mpsc;
    use std::thread;
    use std::time::{Duration, Instant};

    use nix::sched::{CpuSet, sched_setaffinity};

    use super::*;
    use crate::bpf::{Declarations, Helpers, Maps, Sampling, Scope, Support, Threads, settings};
    use crate::host::Btf;
    use crate::probe::Probe as _;
    use crate::units::{CpuId, Pid, Tid};

    /// An object for a capture of this process only.
    fn object() -> BpfObject {
        let own = Pid(std::process::id());
        let scope = Scope { threads: Threads::Targets, cpus: None, probes: 1 << NUMBER, sampling: Sampling::Unlimited };
        let btf = Btf::kernel().expect("BTF");
        let offsets = host::offsets(&btf).expect("a kernel that quell knows");
        let settings =
            quell_ebpf_common::Settings { self_tgid: 0, ..settings(&scope, &offsets, &Helpers::detect(), 1) };
        let mut object =
            BpfObject::load(&btf, settings, Maps { threads: 1 << 14, ids: 1 << 22, cpus: 1 }, &Declarations::default())
                .expect("it loads");
        object.add_target(own).expect("there is room");
        object
    }

    /// Keeps the current thread on one CPU.
    fn stay_on(cpu: CpuId) {
        let mut only = CpuSet::new();
        only.set(cpu.0 as usize).expect("a CPU that is online");
        sched_setaffinity(nix::unistd::Pid::from_raw(0), &only).expect("a CPU that is online");
    }

    /// A thread that waits on `cpu` for a message, and then spins until the flag is set.
    fn start(cpu: CpuId, done: &Arc<AtomicBool>) -> (Tid, mpsc::Sender<()>, thread::JoinHandle<()>) {
        let (tell, told) = mpsc::channel();
        let (wake, woken) = mpsc::channel();
        let done = Arc::clone(done);
        let thread = thread::spawn(move || {
            stay_on(cpu);
            tell.send(nix::unistd::gettid()).expect("the test listens");
            while woken.recv().is_ok() {
                while !done.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            }
        });
        let tid = Tid(told.recv().expect("the thread tells").as_raw().cast_unsigned());
        (tid, wake, thread)
    }

    #[test]
    fn whom_the_first_walk_entered_too_late_is_not_asleep_for_the_last_one() {
        crate::needs!(Bpf);
        let mut object = object();
        object.load_iterator("quell_walk_first").expect("it loads");
        object.load_iterator("quell_walk_last").expect("it loads");
        let cpus = host::cpus_online().expect("the kernel lists them");
        let [Some(here), Some(there)] = [cpus.iter().next(), cpus.iter().nth(1)] else { crate::skip!("two CPUs") };
        stay_on(here);
        let done = Arc::new(AtomicBool::new(false));
        let ((runs, run, one), (sleeps, sleep, two)) = (start(there, &done), start(there, &done));
        let asleep = |object: &BpfObject| -> Vec<Tid> {
            let threads = object.threads().expect("a map");
            threads.into_iter().filter(|(_, state)| state.out_since != 0).map(|(tid, _)| tid).collect()
        };
        // No program sees the switches here, so a thread that the first walk entered as sleeping keeps this entry even if it
        // runs.
        while !{
            object.run_iterator("quell_walk_first").expect("it runs");
            let found = asleep(&object);
            found.contains(&runs) && found.contains(&sleeps)
        } {}
        run.send(()).expect("the thread listens");
        // Until the iterator finds the thread running on its CPU; other threads may preempt it for some time.
        let deadline = Instant::now() + Duration::from_secs(20);
        let mut struck = false;
        while !struck && Instant::now() < deadline {
            object.run_iterator("quell_walk_last").expect("it runs");
            struck = !asleep(&object).contains(&runs);
        }
        let found = asleep(&object);
        done.store(true, Ordering::Relaxed);
        drop((run, sleep));
        one.join().expect("no panic");
        two.join().expect("no panic");
        assert!(struck, "thread {runs} runs");
        assert!(found.contains(&sleeps), "thread {sleeps} sleeps on");
    }

    #[test]
    fn what_is_refused_to_somebody_who_may_do_anything_is_not_for_want_of_a_capability() {
        let mut features = Features::all();
        features.mechanisms.tp_btf = Support::Forbidden("loading: EPERM, operation not permitted".to_owned());
        assert!(matches!(Probe.needs(&features), Availability::Unavailable(why) if !why.contains("CAP_")));
    }

    #[test]
    fn an_unknown_struct_layout_is_named() {
        let features = Features { offsets: Err("no task_struct::on_cpu".to_owned()), ..Features::all() };
        assert!(matches!(Probe.needs(&features), Availability::Unavailable(why) if why.contains("on_cpu")));
    }

    #[test]
    fn a_host_without_a_pmu_is_all_that_it_needs() {
        let mut features = Features::all();
        features.perf.cycles = Support::Unsupported("opening: ENOENT".to_owned());
        assert_eq!(Probe.needs(&features), Availability::Ready);
    }
}
