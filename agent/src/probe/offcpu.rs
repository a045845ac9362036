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

impl Probe for OffCpu {
    fn spec(&self) -> &'static ProbeSpec {
        &SPEC
    }

    fn check(&self, features: &Features) -> Availability {
        host::offcpu(features)
    }

    fn attach(&self, object: &mut BpfObject, config: &ProbeConfig) -> Result<Box<dyn Attached>, ProbeError> {
        object.load_iterator("quell_walk_first")?;
        object.load_iterator("quell_walk_last")?;
        // Switches before wake-ups before the walk: whoever the walk finds asleep is seen when it wakes.
        let links = vec![
            object.attach_tracepoint("quell_switch", "sched_switch")?,
            object.attach_tracepoint("quell_waking", "sched_waking")?,
        ];
        Ok(Box::new(Waiting { links, cgroup: config.cgroup.clone() }))
    }
}

struct Waiting {
    links: Vec<Link>,
    /// Whose processes to walk, where the kernel cannot tell for a thread that does not run.
    cgroup: Option<PathBuf>,
}

impl Waiting {
    fn walk(&self, object: &mut BpfObject, iterator: &'static str) -> Result<(), ProbeError> {
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
        self.walk(object, "quell_walk_first")
    }

    fn set_rates(&mut self, _rates: SamplingRates) -> io::Result<()> {
        // The programs read them from the map.
        Ok(())
    }

    fn finish(mut self: Box<Self>, object: &mut BpfObject) -> Result<(), ProbeError> {
        self.links.clear();
        self.walk(object, "quell_walk_last")
    }
}
