//! Off-CPU time by the scheduler's tracepoints.

use std::io;
use std::path::PathBuf;

use super::{Attached, Availability, BpfObject, Link, Probe, ProbeConfig, ProbeError, ProbeSpec, ProgramEvents};
use crate::collect::SamplingRates;
use crate::host::{self, Features};

/// The probe `offcpu`.
pub(super) struct OffCpu;

static SPEC: ProbeSpec = ProbeSpec {
    name: "offcpu",
    doc: "where threads wait, why, and who wakes them: every context switch counted, stacks sampled without bias",
    events: &["tp_btf sched_switch", "tp_btf sched_waking", "iter/task"],
    kernel: "5.10",
    cost: "about 0.1 to 0.3 us per context switch",
};

static PROGRAMS: &[ProgramEvents] = &[
    ProgramEvents { program: "quell_switch", event: "context switch", count: |counts| counts.switches },
    ProgramEvents { program: "quell_waking", event: "wake-up", count: |counts| counts.wakes },
];

/// The walks over the threads that sleep, at the beginning and at the end.
const FIRST: &str = "quell_walk_first";
const LAST: &str = "quell_walk_last";
const WALKS: [&str; 2] = [FIRST, LAST];

impl Probe for OffCpu {
    fn spec(&self) -> &'static ProbeSpec {
        &SPEC
    }

    fn needs(&self, features: &Features) -> Availability {
        host::offcpu(features)
    }

    fn load(&self, object: &mut BpfObject) -> Result<Availability, ProbeError> {
        object.load_tracepoint("quell_switch", "sched_switch")?;
        object.load_tracepoint("quell_waking", "sched_waking")?;
        let walks = WALKS.map(|walk| object.load_iterator(walk));
        Ok(match walks.into_iter().find_map(Result::err) {
            Some(why) => Availability::Degraded(format!("threads that sleep throughout are missing: {}", why.brief())),
            None => Availability::Ready,
        })
    }

    fn attach(&self, object: &mut BpfObject, config: &ProbeConfig) -> Result<Box<dyn Attached>, ProbeError> {
        // Switches before wake-ups before the walk: whoever the walk finds asleep is seen when it wakes.
        let links = vec![object.attach_tracepoint("quell_switch")?, object.attach_tracepoint("quell_waking")?];
        // Where one was not accepted, `load` has said so.
        let walks = WALKS.into_iter().all(|walk| object.has_loaded(walk));
        Ok(Box::new(Waiting { links, walks, cgroup: config.cgroup.clone() }))
    }
}

struct Waiting {
    links: Vec<Link>,
    /// Whether the threads can be walked.
    walks: bool,
    /// Whose processes to walk, where the kernel cannot tell for a thread that does not run.
    cgroup: Option<PathBuf>,
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

impl Attached for Waiting {
    fn mechanism(&self) -> String {
        "tp_btf sched_switch, sched_waking".to_owned()
    }

    fn programs(&self) -> &'static [ProgramEvents] {
        PROGRAMS
    }

    fn begin(&mut self, object: &mut BpfObject) -> Result<(), ProbeError> {
        self.walk(object, FIRST)
    }

    fn set_rates(&mut self, _rates: SamplingRates) -> io::Result<()> {
        // The programs read them from the map.
        Ok(())
    }

    fn finish(mut self: Box<Self>, object: &mut BpfObject) -> Result<(), ProbeError> {
        // While switches are seen: whoever runs now and never left the CPU was not asleep when the first walk entered it,
        // and did not wake up only just now.
        let walked = self.walk(object, LAST);
        self.links.clear();
        walked
    }
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
    use crate::collect::{CaptureConfig, CaptureTarget, settings};
    use crate::host::{Btf, Helpers};
    use crate::units::{CpuId, Hertz, Pid, Tid};

    /// The object for a capture of this process alone.
    fn object() -> BpfObject {
        let own = Pid(std::process::id());
        let config = CaptureConfig {
            target: CaptureTarget::Processes(vec![own]),
            cpus: None,
            probes: vec![&OffCpu],
            frequency: Hertz(1),
            every_event: false,
            max_overhead: None,
            statistics: None,
            own: Vec::new(),
            command_line: Vec::new(),
        };
        let btf = Btf::kernel().expect("BTF");
        let offsets = host::offsets(&btf).expect("a kernel that quell knows");
        let settings =
            quell_ebpf_common::Settings { self_tgid: 0, ..settings(&config, &offsets, &Helpers::detect(), 0) };
        let mut object = BpfObject::load(&btf, settings, 1 << 14, 1).expect("it loads");
        object.add_target(own).expect("there is room");
        object
    }

    /// Keeps the current thread on one CPU.
    fn stay_on(cpu: CpuId) {
        let mut only = CpuSet::new();
        only.set(cpu.0 as usize).expect("a CPU that is online");
        sched_setaffinity(nix::unistd::Pid::from_raw(0), &only).expect("a CPU that is online");
    }

    /// A thread that waits on `cpu` for a word, and then computes there until the flag is set.
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
        // No program sees the switches here: what comes before the first walk has an entry, and keeps it.
        while !{
            object.run_iterator("quell_walk_first").expect("it runs");
            let found = asleep(&object);
            found.contains(&runs) && found.contains(&sleeps)
        } {}
        run.send(()).expect("the thread listens");
        // Until the walk meets it on its CPU; others may keep it off for a while.
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
}
