//! Load-time settings, and who is captured by them.

use aya_ebpf::helpers::{bpf_get_current_task, bpf_probe_read_kernel, generated::bpf_get_current_ancestor_cgroup_id};
use quell_ebpf_common::{Settings, target};

use crate::maps::TARGETS;

/// Replaced by the user side before loading. The map behind it is frozen, so that the verifier knows each value
/// and drops the branches that it rules out (kernel/bpf/verifier.c `bpf_map_is_rdonly`, 5.5).
#[unsafe(no_mangle)]
pub static SETTINGS: Settings = Settings {
    target: 0,
    self_tgid: 0,
    cgroup_level: 0,
    some_cpus: 0,
    cgroup_id: 0,
    cpus: [0; 16],
    task_pid: 0,
    task_tgid: 0,
    task_state: 0,
    task_state_bytes: 0,
    task_on_cpu: 0,
    task_in_iowait: 0,
    in_iowait_mask: 0,
    task_comm: 0,
    switch_has_prev_state: 0,
    has_task_pt_regs: 0,
    pt_regs: [0; 3],
    command_tgid: 0,
    cgroup_ids: [0; 4],
    stack_regs: [0; 2],
    walk_ring: 0,
    task_cpu: 0,
    task_switches: [0; 2],
};

/// Reads a field of [`SETTINGS`] as it was set at load time; the compiler must not take the zeros above for it.
macro_rules! setting {
    ($($field:tt)+) => {
        // SAFETY: a read of an initialized static; volatile only to keep the compiler from folding it.
        unsafe { core::ptr::read_volatile(&raw const crate::settings::SETTINGS.$($field)+) }
    };
}
pub(crate) use setting;

/// Whether the current thread, of process `tgid`, is captured.
#[inline(always)]
pub fn captures_current(tgid: u32) -> bool {
    if tgid == setting!(self_tgid) {
        return false;
    }
    match setting!(target) {
        target::ALL => true,
        target::CGROUP => {
            let level = setting!(cgroup_level);
            let id = if setting!(cgroup_ids[0]) == 0 {
                // SAFETY: a helper call; any level will do.
                unsafe { bpf_get_current_ancestor_cgroup_id(level as i32) }
            } else {
                ancestor_cgroup_id(level).unwrap_or(0)
            };
            id == setting!(cgroup_id)
        }
        _ => is_target(tgid),
    }
}

/// What `bpf_get_current_ancestor_cgroup_id` returns, for kernels that do not give it to tracing programs: the id, at
/// `level` below the root, of the current thread's cgroup or the one that it lies in (`cgroup_ancestor`,
/// include/linux/cgroup.h); `None` where its cgroup is not that deep.
#[inline(always)]
fn ancestor_cgroup_id(level: u32) -> Option<u64> {
    // SAFETY: a helper call without arguments.
    let task = unsafe { bpf_get_current_task() } as *const u8;
    let css_set: *const u8 = read(task, setting!(cgroup_ids[0]))?;
    let cgroup: *const u8 = read(css_set, setting!(cgroup_ids[1]))?;
    let depth: u32 = read(cgroup, setting!(cgroup_ids[2]))?;
    if depth < level {
        return None;
    }
    read(cgroup, setting!(cgroup_ids[3]) + level * 8)
}

/// Reads kernel memory at `offset` from `base`.
#[inline(always)]
fn read<T: Copy>(base: *const u8, offset: u32) -> Option<T> {
    // SAFETY: the helper checks the address and fails rather than faults.
    unsafe { bpf_probe_read_kernel(base.wrapping_add(offset as usize).cast::<T>()) }.ok()
}

/// Whether process `tgid` is captured, for a thread that is not the current one. The user side keeps `TARGETS` filled
/// for cgroups too while it walks.
#[inline(always)]
pub fn captures_process(tgid: u32) -> bool {
    tgid != setting!(self_tgid) && (setting!(target) == target::ALL || is_target(tgid))
}

/// Whether process `tgid` is in `TARGETS`.
#[inline(always)]
pub fn is_target(tgid: u32) -> bool {
    TARGETS.get_ptr(tgid).is_some()
}

/// Whether what happens on `cpu` is captured.
#[inline(always)]
pub fn captures_cpu(cpu: u32) -> bool {
    if setting!(some_cpus) == 0 {
        return true;
    }
    if cpu >= 1024 {
        return false;
    }
    let word = (cpu >> 6) as usize & 15;
    // SAFETY: `word` is within the 16 words; a read of an initialized static.
    let bits = unsafe { core::ptr::read_volatile((&raw const SETTINGS.cpus).cast::<u64>().add(word)) };
    bits >> (cpu & 63) & 1 == 1
}
