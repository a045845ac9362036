//! The task iterator: threads that sleep when a capture begins or ends, which no context switch shows.

use core::ffi::c_void;

use aya_ebpf::helpers::{bpf_probe_read_kernel, generated::bpf_task_pt_regs};

use super::{asleep_at_end, asleep_at_start};
use crate::{
    settings::setting,
    target::{captures_cpu, captures_process},
    task::{Leaving, Task},
    thread::known,
    value::{load, store},
};

/// `struct bpf_iter__task` of kernel/bpf/task_iter.c.
#[repr(C)]
pub struct IterTask {
    meta: *const c_void,
    task: *const u8,
}

/// A captured thread that sleeps.
#[derive(Clone, Copy)]
pub struct Sleeper {
    /// The thread.
    pub task: Task,
    /// Which CPU it ran on last. Loaded once: should it be woken, it may be another a moment later.
    pub cpu: u32,
    /// One of [`reason`](quell_ebpf_common::reason).
    pub reason: u32,
}

/// Each thread that sleeps when the capture begins.
#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/task")]
pub fn quell_walk_first(ctx: *mut IterTask) -> i32 {
    if let Some(task) = visited(ctx)
        && let Some(sleeper) = sleeper(task)
    {
        asleep_at_start(&sleeper);
    }
    0
}

/// Each thread that sleeps when the capture ends. Runs while context switches are still seen.
#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/task")]
pub fn quell_walk_last(ctx: *mut IterTask) -> i32 {
    if let Some(task) = visited(ctx) {
        strike_running(task);
        if let Some(sleeper) = sleeper(task) {
            asleep_at_end(&sleeper);
        }
    }
    0
}

/// A thread that was switched in while the first walk entered it, and never left since, does not sleep.
#[inline(always)]
fn strike_running(task: Task) {
    // Before the thread's state is read: the kernel sets it after the switch that `quell_switch` ends the sleep at.
    let on_cpu = task.on_cpu();
    if let Some(thread) = known(task.tid(), task.tgid())
        && on_cpu
        && load!(thread.seq) == 0
    {
        store!(thread.out_since, 0);
    }
}

/// The task that the iterator stands at; `None` after the last one.
#[inline(always)]
fn visited(ctx: *mut IterTask) -> Option<Task> {
    // SAFETY: the iterator's context; the verifier checks the access.
    let task = unsafe { (*ctx).task };
    // SAFETY: the iterator holds a reference to it.
    if task.is_null() { None } else { Some(unsafe { Task::new(task) }) }
}

/// `None` for idle, running, dying or uncaptured tasks, and for those that ran elsewhere last than on the CPUs that are
/// captured.
#[inline(always)]
fn sleeper(task: Task) -> Option<Sleeper> {
    let cpu = task.cpu();
    if task.on_cpu() || task.tid() == 0 || !captures_process(task.tgid()) || !captures_cpu(cpu) {
        return None;
    }
    match task.leaving(false, task.state()) {
        Leaving::For(reason) => Some(Sleeper { task, cpu, reason }),
        Leaving::Dead => None,
    }
}

impl Sleeper {
    /// The instruction, stack and frame pointer that it has in user mode; 0 where they are not known.
    #[inline(always)]
    pub fn user_regs(&self) -> [u64; 3] {
        let task = self.task;
        let [ip, sp, fp] = [setting!(pt_regs[0]), setting!(pt_regs[1]), setting!(pt_regs[2])];
        if setting!(has_task_pt_regs) == 0 {
            if setting!(stack_regs[0]) == 0 {
                return [0; 3];
            }
            let regs = task.stack().wrapping_add(setting!(stack_regs[1]) as usize);
            // SAFETY: the helper checks the address and fails rather than faults.
            let load = |offset: u32| unsafe { bpf_probe_read_kernel(regs.wrapping_add(offset as usize).cast::<u64>()) };
            return [load(ip).unwrap_or(0), load(sp).unwrap_or(0), load(fp).unwrap_or(0)];
        }
        // SAFETY: a helper call on the iterator's task. The verifier checks the loads from its `struct pt_regs *` against BTF like
        // those of `Task`; the kernel makes one that faults give zero. Volatile, since the task may be on its way back to user space.
        unsafe {
            let regs = bpf_task_pt_regs(task.as_ptr().cast_mut().cast()) as *const u8;
            let load = |offset: u32| regs.add(offset as usize).cast::<u64>().read_volatile();
            [load(ip), load(sp), load(fp)]
        }
    }
}
