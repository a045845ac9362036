//! What to capture, and how the programs are told.

use std::path::PathBuf;

use crate::bpf::{Scope, Threads};
use crate::host::Cgroup;
use crate::probe::Probe;
use crate::units::{CpuSet, Hertz, Pid};

/// Who is captured.
#[derive(Clone, Debug)]
pub enum CaptureTarget {
    /// Every thread but the agent's own.
    All,
    /// These processes and those that descend from them, now or later.
    Processes(Vec<Pid>),
    /// The threads of a cgroup and of those below it.
    Cgroup {
        /// Its directory.
        path: PathBuf,
        /// How the programs know it.
        cgroup: Cgroup,
    },
    /// A process that has not called exec yet, and those that it starts.
    Command {
        /// The process.
        pid: Pid,
        /// What it will run.
        words: Vec<String>,
    },
}

/// What to capture, and how.
pub struct CaptureConfig {
    /// Who.
    pub target: CaptureTarget,
    /// Where; `None` for every CPU.
    pub cpus: Option<CpuSet>,
    /// What.
    pub probes: Vec<&'static dyn Probe>,
    /// CPU sampling frequency.
    pub frequency: Hertz,
    /// Whether to sample every event, whatever that costs.
    pub every_event: bool,
    /// What the probes may cost, as a share of one CPU; `None` for no bound.
    pub max_overhead: Option<f64>,
    /// Processes of quell's that are left out, beside those that the capture knows.
    pub own: Vec<Pid>,
    /// For [`Meta::command_line`].
    pub command_line: Vec<String>,
}

impl CaptureConfig {
    /// What the programs record.
    pub(super) fn scope(&self) -> Scope {
        Scope {
            threads: match &self.target {
                CaptureTarget::All => Threads::All,
                CaptureTarget::Processes(_) => Threads::Targets,
                CaptureTarget::Command { pid, .. } => Threads::Command(*pid),
                CaptureTarget::Cgroup { cgroup, .. } => Threads::Cgroup { id: cgroup.id, level: cgroup.level },
            },
            cpus: self.cpus.clone(),
            probes: self.probes.iter().fold(0, |bits, probe| bits | 1 << probe.spec().number),
            paced: self.max_overhead.is_some(),
        }
    }
}

/// Room for four times the threads of now, the fourth number of `/proc/loadavg` (fs/proc/loadavg.c).
pub(super) fn thread_table_size() -> u32 {
    let threads = std::fs::read_to_string("/proc/loadavg")
        .ok()
        .and_then(|text| text.split_whitespace().nth(3)?.split_once('/')?.1.parse::<u32>().ok())
        .unwrap_or(4096);
    threads.saturating_mul(4).next_power_of_two().clamp(1 << 14, 1 << 20)
}

/// How many ids threads may have: `kernel.pid_max`, at most 2^22 (`PID_MAX_LIMIT`, include/linux/threads.h). One that is raised during
/// a capture leaves out the threads beyond.
pub(super) fn thread_ids() -> u32 {
    const MOST: u32 = 1 << 22;
    let limit = std::fs::read_to_string("/proc/sys/kernel/pid_max");
    limit.ok().and_then(|text| text.trim().parse().ok()).unwrap_or(MOST).min(MOST)
}
