//! What the programs are told when they are loaded.

use quell_ebpf_common::{Settings, target};

use super::Helpers;
use crate::host::TaskOffsets;
use crate::units::{CpuId, CpuSet, Pid};

/// What decides whether a program records an event.
#[derive(Clone, Debug)]
pub struct Scope {
    /// Whose events.
    pub threads: Threads,
    /// On which CPUs; `None` for all.
    pub cpus: Option<CpuSet>,
    /// For which probes, a bit for each by its number.
    pub probes: u32,
    /// Whether sampling may cost no more than it is allowed.
    pub paced: bool,
}

/// Whose events are recorded.
#[derive(Clone, Copy, Debug)]
pub enum Threads {
    /// Every thread's but the agent's own.
    All,
    /// Those of the processes in the table of targets.
    Targets,
    /// Those of a process, which becomes a target when it calls exec, and of what it starts.
    Command(Pid),
    /// Those of the cgroup (version 2) with this id, which lies `level` below the root, and those below it.
    Cgroup {
        /// What `bpf_get_current_ancestor_cgroup_id` returns for it.
        id: u64,
        /// How deep it lies below the root of the hierarchy.
        level: u32,
    },
}

/// Puts together what the programs are told: whom to record, and where the kernel keeps what they read. `walk_ring` is the ring of the task
/// iterator.
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
        paced: u32::from(scope.paced),
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
    }
}
