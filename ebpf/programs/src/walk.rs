//! The task iterator: threads that sleep when a capture begins or ends, which no context switch shows.

use core::ffi::c_void;

use aya_ebpf::helpers::{
    bpf_probe_read_kernel,
    generated::{bpf_get_task_stack, bpf_task_pt_regs},
};
use quell_ebpf_common::{CERTAIN, Header, STACK_BYTES, SleepStart, ThreadState, kind};

use crate::{
    maps::{THREADS, thread},
    record::{self, EFAULT, NO_STACKS, Slot},
    sched::{known, new_thread},
    settings::{captures_cpu, captures_process, setting},
    task::{Leaving, Task},
    value::{load, store},
};

/// `struct bpf_iter__task` of kernel/bpf/task_iter.c.
#[repr(C)]
pub struct IterTask {
    meta: *const c_void,
    task: *const u8,
}

/// Enters each thread that sleeps now as one whose sleep begins now, and records where it stands.
#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/task")]
pub fn quell_walk_first(ctx: *mut IterTask) -> i32 {
    enter_sleeper(ctx);
    0
}

/// Records where each thread stands that sleeps still and was not sampled. Runs while context switches are still seen.
#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/task")]
pub fn quell_walk_last(ctx: *mut IterTask) -> i32 {
    record_sleeper(ctx);
    0
}

/// The task that the iterator stands at; `None` after the last one.
#[inline(always)]
fn visited(ctx: *mut IterTask) -> Option<Task> {
    // SAFETY: the iterator's context; the verifier checks the access.
    let task = unsafe { (*ctx).task };
    // SAFETY: the iterator holds a reference to it.
    if task.is_null() { None } else { Some(unsafe { Task::new(task) }) }
}

/// A task that sleeps.
#[derive(Clone, Copy)]
struct Sleeper {
    task: Task,
    /// Which CPU it ran on last. Loaded once: should it be woken, it may be another a moment later.
    cpu: u32,
    reason: u32,
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

#[inline(always)]
fn enter_sleeper(ctx: *mut IterTask) -> Option<()> {
    let sleeper = sleeper(visited(ctx)?)?;
    let Sleeper { task, reason, .. } = sleeper;
    let tid = task.tid();
    if thread(tid).is_some() {
        return None;
    }
    let now = record::now();
    let asleep = ThreadState { out_since: now, seq: 0, odds: CERTAIN, reason, ..new_thread(task.tgid(), task.comm()) };
    // BPF_NOEXIST: a context switch that came first knows better.
    THREADS.insert(tid, &asleep, 1).ok()?;
    send(sleeper, now, 0, reason);
    Some(())
}

#[inline(always)]
fn record_sleeper(ctx: *mut IterTask) -> Option<()> {
    let task = visited(ctx)?;
    // Before the thread's state is read: the kernel sets it after the switch that `quell_switch` ends the sleep at.
    let on_cpu = task.on_cpu();
    let thread = known(task.tid(), task.tgid())?;
    if on_cpu && load!(thread.seq) == 0 {
        // It was switched in while the first walk entered it, and never left since: it does not sleep.
        store!(thread.out_since, 0);
    }
    let sleeper = sleeper(task)?;
    // Should it wake meanwhile, its sleep has ended unsampled, and the user side drops the record: it does not go on.
    let since = load!(thread.out_since);
    if since != 0 && load!(thread.odds) == 0 {
        send(sleeper, since, load!(thread.seq), load!(thread.reason));
    }
    Some(())
}

#[inline(always)]
fn send(sleeper: Sleeper, since: u64, seq: u32, reason: u32) {
    let task = sleeper.task;
    let start = SleepStart {
        header: Header {
            kind: kind::SLEEP_START,
            // Where it sleeps, not where the iterator happens to run.
            cpu: sleeper.cpu,
            time: since,
            tid: task.tid(),
            tgid: task.tgid(),
        },
        comm: task.comm(),
        seq,
        reason,
        odds: CERTAIN,
        walked: 1,
        user_regs: user_regs(task),
        stacks: NO_STACKS,
    };
    record::send_walked(Slot::Walk, start, |frames, user_stack| {
        if user_stack {
            // Another process's memory is out of reach here; the user side walks it by `user_regs`.
            return EFAULT;
        }
        // SAFETY: `frames` has room for `STACK_BYTES`; the task is the iterator's, which holds a reference.
        unsafe { bpf_get_task_stack(task.as_ptr().cast_mut().cast(), frames, STACK_BYTES as u32, 0) }
    });
}

#[inline(always)]
fn user_regs(task: Task) -> [u64; 3] {
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
