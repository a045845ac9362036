//! What to capture, and how the programs are told.

use std::path::PathBuf;

use quell_ebpf_common::{Settings, target};

use crate::child::Meter;
use crate::host::{Cgroup, Helpers, TaskOffsets};
use crate::probe::Probe;
use crate::units::{CpuId, CpuSet, Hertz, Pid};

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
    /// Whether to sample every sleep.
    pub every_event: bool,
    /// What the probes may cost, as a share of one CPU; `None` for no bound.
    pub max_overhead: Option<f64>,
    /// What turns the kernel's BPF statistics on; `None` where there is no privilege for that.
    pub statistics: Option<Meter>,
    /// Processes of quell's that are left out, beside those that the capture knows.
    pub own: Vec<Pid>,
    /// For [`Meta::command_line`].
    pub command_line: Vec<String>,
}

/// What the programs are told.
pub(crate) fn settings(config: &CaptureConfig, offsets: &TaskOffsets, helpers: &Helpers, walk_ring: u32) -> Settings {
    let has_task_pt_regs = helpers.task_pt_regs.is_yes();
    let has_cgroup_id = helpers.current_ancestor_cgroup_id.is_yes();
    let mut cpus = [0u64; 16];
    for CpuId(cpu) in config.cpus.iter().flat_map(CpuSet::iter).filter(|cpu| cpu.0 < 1024) {
        cpus[cpu as usize / 64] |= 1 << (cpu % 64);
    }
    let (kind, cgroup, command) = match &config.target {
        CaptureTarget::All => (target::ALL, None, None),
        CaptureTarget::Processes(_) => (target::PROCESSES, None, None),
        CaptureTarget::Cgroup { cgroup, .. } => (target::CGROUP, Some(cgroup), None),
        CaptureTarget::Command { pid, .. } => (target::PROCESSES, None, Some(*pid)),
    };
    Settings {
        target: kind,
        self_tgid: std::process::id(),
        cgroup_level: cgroup.map_or(0, |cgroup| cgroup.level),
        some_cpus: u32::from(config.cpus.is_some()),
        cgroup_id: cgroup.map_or(0, |cgroup| cgroup.id),
        cpus,
        task_pid: offsets.pid,
        task_tgid: offsets.tgid,
        task_state: offsets.state,
        task_state_bytes: offsets.state_bytes,
        task_on_cpu: offsets.on_cpu,
        task_in_iowait: offsets.in_iowait,
        in_iowait_mask: offsets.in_iowait_mask,
        task_comm: offsets.comm,
        switch_has_prev_state: u32::from(offsets.switch_has_prev_state),
        has_task_pt_regs: u32::from(has_task_pt_regs),
        pt_regs: offsets.pt_regs,
        command_tgid: command.map_or(0, |pid| pid.0),
        cgroup_ids: if has_cgroup_id { [0; 4] } else { offsets.cgroup_ids.unwrap_or_default() },
        stack_regs: if has_task_pt_regs { [0; 2] } else { offsets.stack_regs.unwrap_or_default() },
        walk_ring,
        task_cpu: offsets.cpu,
        task_switches: offsets.switches,
    }
}

/// Those of a capture of every thread, for programs that are only checked.
pub(crate) fn settings_to_try(offsets: &TaskOffsets, helpers: &Helpers) -> Settings {
    let config = CaptureConfig {
        target: CaptureTarget::All,
        cpus: None,
        probes: Vec::new(),
        frequency: Hertz(1),
        every_event: false,
        max_overhead: None,
        statistics: None,
        own: Vec::new(),
        command_line: Vec::new(),
    };
    settings(&config, offsets, helpers, 0)
}

/// Room for four times the threads of now, the fourth number of `/proc/loadavg` (fs/proc/loadavg.c).
pub(super) fn thread_table_size() -> u32 {
    let threads = std::fs::read_to_string("/proc/loadavg")
        .ok()
        .and_then(|text| text.split_whitespace().nth(3)?.split_once('/')?.1.parse::<u32>().ok())
        .unwrap_or(4096);
    threads.saturating_mul(4).next_power_of_two().clamp(1 << 14, 1 << 20)
}
