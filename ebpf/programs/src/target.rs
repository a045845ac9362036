//! Who is captured.

use aya_ebpf::helpers::{bpf_get_current_task, bpf_probe_read_kernel, generated::bpf_get_current_ancestor_cgroup_id};
use quell_ebpf_common::target;

use crate::{
    maps::{TARGETS, losses, mark_target, may_be_target},
    settings::{SETTINGS, setting},
    value::count,
};

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

/// Whether threads of process `tgid` may be captured, as far as a load tells: those of most processes are not.
#[inline(always)]
pub fn may_be_captured(tgid: u32) -> bool {
    setting!(target) != target::PROCESSES || may_be_target(tgid)
}

/// Whether process `tgid` is in `TARGETS`.
#[inline(always)]
pub fn is_target(tgid: u32) -> bool {
    may_be_target(tgid) && TARGETS.get_ptr(tgid).is_some()
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

/// Makes a target of a process.
#[inline(always)]
pub fn add(tgid: u32) {
    mark_target(tgid);
    if TARGETS.insert(tgid, 1, 0).is_err()
        && let Some(lost) = losses()
    {
        count!(lost.targets);
    }
}

/// Makes a process that is gone no target; whether its events are recorded.
#[inline(always)]
pub fn remove(tgid: u32) -> bool {
    if setting!(target) != target::PROCESSES {
        return true;
    }
    may_be_target(tgid) && TARGETS.remove(tgid).is_ok()
}

/// Whether what happens to process `tgid` itself is recorded. Of a thread that does not run, or is not one of its cgroup yet, nobody
/// can tell whether its cgroup will be captured: so that of all processes is.
#[inline(always)]
pub fn follows(tgid: u32) -> bool {
    setting!(target) != target::PROCESSES || is_target(tgid)
}
