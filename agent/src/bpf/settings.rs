//! The settings of the programs, which are fixed when they are loaded.

use quell_ebpf_common::{Settings, sampling, target};

use super::Helpers;
use crate::host::TaskOffsets;
use crate::units::{CpuId, CpuSet, Pid};

/// The events that the programs record.
#[derive(Clone, Debug)]
pub struct Scope {
    /// The threads whose events are recorded.
    pub threads: Threads,
    /// The CPUs whose events are recorded; `None` for all.
    pub cpus: Option<CpuSet>,
    /// The enabled probes: bit N for the probe with the number N.
    pub probes: u32,
    /// Which of them are sampled.
    pub sampling: Sampling,
}

/// Which events are sampled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sampling {
    /// Every one.
    Every,
    /// As many as the probes would like.
    Unlimited,
    /// As many as the budget allows.
    Paced,
}

/// The threads whose events are recorded.
#[derive(Clone, Copy, Debug)]
pub enum Threads {
    /// All threads except those of quell.
    All,
    /// The threads of processes in the table of targets.
    Targets,
    /// The threads of a process and its children. The process becomes a target when it calls exec.
    Command(Pid),
    /// The threads of a cgroup (version 2) and its descendants.
    Cgroup {
        /// Its ID, as `bpf_get_current_ancestor_cgroup_id` returns it.
        id: u64,
        /// Its level; the root of the hierarchy has level 0.
        level: u32,
    },
}

/// Builds the settings from the scope, the offsets of kernel fields and the available helpers. `walk_ring` is the index of the ring
/// buffer of the task iterator.
#[must_use]
pub fn settings(scope: &Scope, offsets: &TaskOffsets, helpers: &Helpers, walk_ring: u32) -> Settings {
    let has_task_pt_regs = helpers.task_pt_regs.is_yes();
    let has_cgroup_id = helpers.current_ancestor_cgroup_id.is_yes();
    let mut cpus = [0u64; 16];
    for CpuId(cpu) in scope.cpus.iter().flat_map(CpuSet::iter).filter(|cpu| cpu.0 < 1024) {
        cpus[cpu as usize / 64] |= 1 << (cpu % 64);
    }
    let (kind, (cgroup_id, cgroup_level), command) = match scope.threads {
        Threads::All => (target::ALL, (0, 0), Pid(0)),
        Threads::Targets => (target::PROCESSES, (0, 0), Pid(0)),
        Threads::Cgroup { id, level } => (target::CGROUP, (id, level), Pid(0)),
        Threads::Command(pid) => (target::PROCESSES, (0, 0), pid),
    };
    Settings {
        target: kind,
        self_tgid: std::process::id(),
        cgroup_level,
        some_cpus: u32::from(scope.cpus.is_some()),
        cgroup_id,
        cpus,
        probes: scope.probes,
        sampling: match scope.sampling {
            Sampling::Every => sampling::EVERY,
            Sampling::Unlimited => sampling::UNLIMITED,
            Sampling::Paced => sampling::PACED,
        },
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
        command_tgid: command.0,
        cgroup_ids: if has_cgroup_id { [0; 4] } else { offsets.cgroup_ids.unwrap_or_default() },
        stack_regs: if has_task_pt_regs { [0; 2] } else { offsets.stack_regs.unwrap_or_default() },
        walk_ring,
        task_cpu: offsets.cpu,
        task_switches: offsets.switches,
        throttled: offsets.throttled.unwrap_or_default(),
        task_sp: offsets.sp.unwrap_or_default(),
        pad: 0,
    }
}
