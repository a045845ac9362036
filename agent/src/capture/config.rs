//! The configuration of a capture.

use std::path::PathBuf;

use super::matching::Matching;
use crate::bpf::{Sampling, Scope, Threads};
use crate::host::Cgroup;
use crate::probe::Probe;
use crate::units::{CpuSet, Hertz, Pid};

/// The target of a capture.
#[derive(Clone, Debug)]
pub enum CaptureTarget {
    /// All threads except those of quell.
    All,
    /// These processes and their descendants, including later ones.
    Processes(Vec<Pid>),
    /// The threads of a cgroup and its descendants.
    Cgroup {
        /// The directory of the cgroup.
        path: PathBuf,
        /// Its ID and level, for the programs.
        cgroup: Cgroup,
    },
    /// The processes that match when the capture begins or when they execute a program, and their descendants.
    Matching(Matching),
    /// A process that has not called exec yet, and its children.
    Command {
        /// The PID of the process.
        pid: Pid,
        /// The command line that it will execute.
        words: Vec<String>,
    },
}

/// The configuration of a capture.
pub struct CaptureConfig {
    /// The target of the capture.
    pub target: CaptureTarget,
    /// The CPUs to capture; `None` for all.
    pub cpus: Option<CpuSet>,
    /// The probes to use.
    pub probes: Vec<&'static dyn Probe>,
    /// CPU samples per second on each CPU.
    pub frequency: Hertz,
    /// Whether to sample every event, regardless of the cost.
    pub every_event: bool,
    /// The budget of the probes, as a share of one CPU; `None` for no limit.
    pub max_overhead: Option<f64>,
    /// Other processes of quell to exclude, in addition to those that the capture starts.
    pub own: Vec<Pid>,
    /// For [`Meta::command_line`].
    pub command_line: Vec<String>,
}

impl CaptureConfig {
    /// The scope of the programs.
    pub(super) fn scope(&self) -> Scope {
        Scope {
            threads: match &self.target {
                CaptureTarget::All => Threads::All,
                CaptureTarget::Processes(_) | CaptureTarget::Matching(_) => Threads::Targets,
                CaptureTarget::Command { pid, .. } => Threads::Command(*pid),
                CaptureTarget::Cgroup { cgroup, .. } => Threads::Cgroup { id: cgroup.id, level: cgroup.level },
            },
            cpus: self.cpus.clone(),
            probes: self.probes.iter().fold(0, |bits, probe| bits | 1 << probe.spec().number),
            sampling: if self.every_event {
                Sampling::Every
            } else if self.max_overhead.is_some() {
                Sampling::Paced
            } else {
                Sampling::Unlimited
            },
        }
    }
}

/// Four times the current number of threads, which is the fourth number of `/proc/loadavg` (fs/proc/loadavg.c).
pub(super) fn thread_table_size() -> u32 {
    let threads = std::fs::read_to_string("/proc/loadavg")
        .ok()
        .and_then(|text| text.split_whitespace().nth(3)?.split_once('/')?.1.parse::<u32>().ok())
        .unwrap_or(4096);
    threads.saturating_mul(4).next_power_of_two().clamp(1 << 14, 1 << 20)
}

/// The number of thread IDs: `kernel.pid_max`, at most 2^22 (`PID_MAX_LIMIT`, include/linux/threads.h). If it is raised during a
/// capture, threads with larger IDs are missing.
pub(super) fn thread_ids() -> u32 {
    const MOST: u32 = 1 << 22;
    let limit = std::fs::read_to_string("/proc/sys/kernel/pid_max");
    limit.ok().and_then(|text| text.trim().parse().ok()).unwrap_or(MOST).min(MOST)
}
