//! Context switches and wake-ups: when threads leave their CPU, why, and when they come back.

use aya_ebpf::{
    helpers::{bpf_get_current_comm, bpf_get_current_pid_tgid, bpf_probe_read_kernel_str_bytes},
    macros::btf_tracepoint,
    programs::BtfTracePointContext,
};
use quell_ebpf_common::{ThreadState, hook, reason, target};

use super::{SamplingTime, begin, end, renamed, switch_in, switch_out, thread_end, waking};
use crate::{
    filter, record,
    settings::setting,
    target::{captures_cpu, captures_current, may_be_captured},
    task::{Leaving, Task},
    thread::{by_id, enter_current, is_of, known, remove, stop_awaiting},
    value::{Value, load, store},
};

/// A captured thread leaves its CPU. Its state holds the number and the reason of the sleep that begins.
pub struct SwitchOut<'a> {
    /// For helpers.
    pub ctx: &'a BtfTracePointContext,
    /// The time of the event: `CLOCK_MONOTONIC`, in nanoseconds.
    pub now: u64,
    /// The kernel's struct of the thread.
    pub task: Task,
    /// The thread.
    pub tid: u32,
    /// Its process.
    pub tgid: u32,
    /// Its state.
    pub thread: Value<ThreadState>,
    /// One of [`reason`].
    pub reason: u32,
    /// [`reason`] of the last sleep before this one, or 0.
    pub last_reason: u32,
}

/// A captured thread comes back onto a CPU. Its state is still that of the sleep.
pub struct SwitchIn {
    /// The time of the event: `CLOCK_MONOTONIC`, in nanoseconds.
    pub now: u64,
    /// The thread.
    pub tid: u32,
    /// Its state.
    pub thread: Value<ThreadState>,
    /// One of [`reason`].
    pub reason: u32,
    /// How long it was off the CPU, in nanoseconds, without what walking stacks has added to it.
    pub duration: u64,
    /// How long of that it was runnable and waited for a CPU, in nanoseconds. Of a thread that was blocked it is known if its
    /// wake-up was awaited, else 0.
    pub runqueue: u64,
}

/// A captured thread that sleeps is woken by another.
pub struct Waking<'a> {
    /// For helpers.
    pub ctx: &'a BtfTracePointContext,
    /// The time of the event: `CLOCK_MONOTONIC`, in nanoseconds.
    pub now: u64,
    /// The thread that is woken.
    pub woken_tid: u32,
    /// Its state.
    pub woken: Value<ThreadState>,
    /// The thread that runs here, which wakes it unless an interrupt does.
    pub waker_tid: u32,
    /// Its process.
    pub waker_tgid: u32,
}

/// A captured thread has ended, its id was given to another, or it gets another name.
pub struct ThreadEnd {
    /// The time of the event: `CLOCK_MONOTONIC`, in nanoseconds.
    pub now: u64,
    /// The kernel's struct of the thread; `None` where its end was not seen.
    pub task: Option<Task>,
    /// The thread.
    pub tid: u32,
    /// Its last name.
    pub comm: [u8; 16],
    /// Its state.
    pub thread: Value<ThreadState>,
}

/// `sched_switch(bool preempt, struct task_struct *prev, struct task_struct *next, unsigned int prev_state)`,
/// include/trace/events/sched.h; the last argument since 5.18.
#[btf_tracepoint(function = "sched_switch")]
pub fn quell_switch(ctx: BtfTracePointContext) -> i32 {
    let begun = begin(hook::SWITCH);
    // SAFETY: both are tasks, which the kernel holds while it switches.
    let (prev, next) = unsafe { (Task::new(ctx.arg(1)), Task::new(ctx.arg(2))) };
    let (leaving, arriving) = (leaving(&ctx, prev), arriving(next));
    if leaving.is_some() || arriving.is_some() {
        let now = record::now();
        let mut sampling = 0;
        // The one that arrives first: what walking the other's stack takes is not its sleep.
        if let Some(thread) = arriving {
            sampling += end_sleep(thread, next.tid(), now);
        }
        if let Some(leaving) = leaving {
            sampling += leave(&ctx, prev, leaving, now + sampling).unwrap_or(0);
        }
        end(hook::SWITCH, begun, sampling);
        return 0;
    }
    end(hook::SWITCH, begun, 0);
    0
}

/// A captured thread that leaves its CPU: why, and its state if it was seen before.
struct Departure {
    why: Leaving,
    thread: Option<Value<ThreadState>>,
}

#[inline(always)]
fn leaving(ctx: &BtfTracePointContext, prev: Task) -> Option<Departure> {
    let tid = prev.tid();
    if tid == 0 {
        return None;
    }
    let tgid = prev.tgid();
    if !may_be_captured(tgid) {
        return None;
    }
    let thread = by_id(tid);
    let is_own = match thread {
        Some(thread) => load!(thread.tgid) == tgid,
        None => false,
    };
    let state = if setting!(switch_has_prev_state) == 1 { u64::from(ctx.arg::<u32>(3)) } else { prev.state() };
    let why = prev.leaving(ctx.arg::<u64>(0) & 1 == 1, state);
    let captured = match why {
        // Asks nobody whether the thread is captured: it is if it is known. Its id may be another thread's already: a thread
        // that reaps itself gives it up before its last switch (`exit_notify`, kernel/exit.c).
        Leaving::Dead => is_own && thread.is_some_and(|thread| is_of(thread, prev)),
        // A target is one until it is freed.
        Leaving::For(_) if is_own && setting!(target) == target::PROCESSES => captures_cpu(record::cpu()),
        Leaving::For(_) => captures_current(tgid) && captures_cpu(record::cpu()),
    };
    captured.then_some(Departure { why, thread })
}

#[inline(always)]
fn leave(ctx: &BtfTracePointContext, prev: Task, leaving: Departure, now: u64) -> Option<SamplingTime> {
    let (tid, tgid) = (prev.tid(), prev.tgid());
    let reason = match leaving.why {
        Leaving::For(reason) => reason,
        Leaving::Dead => return last_switch(prev, leaving.thread?, now),
    };
    let thread = match leaving.thread {
        Some(thread) if load!(thread.tgid) == tgid => thread,
        other => {
            if let Some(thread) = other {
                // Of another thread that had this id, whose end was not seen.
                let comm = load!(thread.comm);
                thread_end(&ThreadEnd { now, task: None, tid, comm, thread });
                remove(tid, thread);
            }
            enter_current(prev)?
        }
    };
    let mut sampling = end_unseen(thread, tid, now);
    // Only the CPU that switches a thread writes its state, but for its waker, who stores `woken_at` and `delayed`, and for
    // the last walk. A waker on another CPU may see some of these stores and not the others: the thread is about to sleep
    // then, and what he sends names a sleep that nobody looks for.
    store!(thread.seq, load!(thread.seq).wrapping_add(1));
    let last_reason = load!(thread.reason).into();
    store!(thread.reason, reason as u16);
    store!(thread.cpu, record::cpu() as u16);
    store!(thread.out_since, now);
    // Loaded again, it is any number to the verifier, which follows what comes now once instead of once for each reason.
    let reason = load!(thread.reason).into();
    let walk = switch_out(&SwitchOut { ctx, now, task: prev, tid, tgid, thread, reason, last_reason });
    if walk != 0 {
        store!(thread.walked, (record::now() - now) as u32);
    }
    sampling += walk;
    Some(sampling)
}

/// Has the wake-up that ends the sleep of a thread told to the probes ([`Callbacks::waking`](super::Callbacks::waking)). Others
/// cost next to nothing.
#[inline(always)]
pub fn await_wake(thread: Value<ThreadState>, task: Task) {
    if load!(thread.awaited) == 0 {
        store!(thread.delayed, 0);
        let counter = filter::counter(task);
        filter::enter(counter);
        store!(thread.awaited, (counter + 1) as u16);
    }
}

/// The last switch of a thread, from which it does not come back.
#[inline(always)]
fn last_switch(task: Task, thread: Value<ThreadState>, now: u64) -> Option<SamplingTime> {
    let tid = task.tid();
    let sampling = end_unseen(thread, tid, now);
    // The thread that leaves is still the current one.
    let comm = bpf_get_current_comm().unwrap_or_default();
    if thread_end(&ThreadEnd { now, task: Some(task), tid, comm, thread }) {
        remove(tid, thread);
    } else {
        // The user side finds the totals in the map in the end.
        store!(thread.out_since, 0);
        store!(thread.comm, comm);
    }
    Some(sampling)
}

/// The state of a captured thread whose sleep ends.
#[inline(always)]
fn arriving(next: Task) -> Option<Value<ThreadState>> {
    let (tid, tgid) = (next.tid(), next.tgid());
    if tid == 0 || !may_be_captured(tgid) {
        return None;
    }
    let thread = known(tid, tgid)?;
    if load!(thread.out_since) == 0 { None } else { Some(thread) }
}

/// Ends the last sleep of a thread that leaves the CPU, should the switch that ended it not have been shown: some kernels
/// of virtual machines hide the switches from their supervisor's threads. What it ran for since is taken for sleep.
#[inline(always)]
fn end_unseen(thread: Value<ThreadState>, tid: u32, now: u64) -> SamplingTime {
    // Number 0 was entered by the iterator, perhaps after its end; that of one which runs on is struck by the last walk.
    if load!(thread.out_since) == 0 || load!(thread.seq) == 0 {
        return 0;
    }
    end_sleep(thread, tid, now)
}

#[inline(always)]
fn end_sleep(thread: Value<ThreadState>, tid: u32, now: u64) -> SamplingTime {
    let since = load!(thread.out_since);
    let out = now.saturating_sub(since);
    let reason = load!(thread.reason).into();
    let awaited = load!(thread.awaited);
    let (mut duration, mut runqueue) = (out, 0);
    if awaited != 0 {
        stop_awaiting(thread);
        let (woken_at, walk_end) = (load!(thread.woken_at), since + u64::from(load!(thread.walked)));
        // What a sleep lasts must not depend on whether it was sampled. Walking its stack delayed what ran on its CPU then: whoever
        // preempted it, and its own return if it was woken meanwhile. Of a waker that was delayed: `wake`.
        let late = if woken_at > since { walk_end.saturating_sub(woken_at) } else { walk_end - since };
        // It cannot be more than all.
        duration = out.saturating_sub(load!(thread.delayed) + late);
        runqueue = if woken_at > since { now.saturating_sub(woken_at + late) } else { 0 };
    }
    if reason == reason::PREEMPTED {
        runqueue = duration;
    }
    let sampling = switch_in(&SwitchIn { now, tid, thread, reason, duration, runqueue });
    store!(thread.out_since, 0);
    sampling
}

/// `sched_waking(struct task_struct *p)`: in the waker's context, or in that of the thread that an interrupt found.
#[btf_tracepoint(function = "sched_waking")]
pub fn quell_waking(ctx: BtfTracePointContext) -> i32 {
    let begun = begin(hook::WAKING);
    // SAFETY: the task that is woken.
    let task = unsafe { Task::new(ctx.arg(0)) };
    let mut sampling = 0;
    if filter::is_awaited(filter::counter(task)) {
        sampling = wake(&ctx, task, record::now()).unwrap_or(0);
    }
    end(hook::WAKING, begun, sampling);
    0
}

#[inline(always)]
fn wake(ctx: &BtfTracePointContext, task: Task, now: u64) -> Option<SamplingTime> {
    let woken_tid = task.tid();
    let woken = known(woken_tid, task.tgid())?;
    // It may be about to leave its CPU still, or be on its way back already: woken by another.
    if load!(woken.out_since) == 0 || load!(woken.awaited) == 0 {
        return None;
    }
    let id = bpf_get_current_pid_tgid();
    let (waker_tgid, waker_tid) = ((id >> 32) as u32, id as u32);
    // One that wakes itself does not sleep. It does so with interrupts on (try_to_wake_up, kernel/sched/core.c), which may come
    // here too: only from 6.1 on (commit 05b24ff9b2cf) a program does not interrupt itself.
    if woken_tid == waker_tid {
        return None;
    }
    store!(woken.woken_at, now);
    // A thread that ran on the same CPU since was delayed by the walk of the sleeper's stack. A timer or a device was not.
    let mut delayed = 0;
    if waker_tid != 0 && record::cpu() == u32::from(load!(woken.cpu)) {
        delayed = u64::from(load!(woken.walked));
        store!(woken.delayed, delayed);
    }
    let walk = waking(&Waking { ctx, now, woken_tid, woken, waker_tid, waker_tgid });
    if walk != 0 {
        let end = record::now();
        store!(woken.woken_at, end);
        store!(woken.delayed, delayed + (end - now));
    }
    Some(walk)
}

/// `task_rename(struct task_struct *task, const char *comm)`, include/trace/events/task.h: before the name changes. Only of the thread
/// that runs here: the switches of another might change its state at the same time.
#[btf_tracepoint(function = "task_rename")]
pub fn quell_rename(ctx: BtfTracePointContext) -> i32 {
    // SAFETY: the task that is renamed.
    let task = unsafe { Task::new(ctx.arg(0)) };
    let tid = task.tid();
    if bpf_get_current_pid_tgid() as u32 == tid
        && let Some(thread) = known(tid, task.tgid())
        && is_of(thread, task)
    {
        renamed(&ThreadEnd { now: record::now(), task: Some(task), tid, comm: task.comm(), thread });
        let mut comm = [0; 16];
        // SAFETY: the helper checks the address and fails rather than faults.
        if unsafe { bpf_probe_read_kernel_str_bytes(ctx.arg(1), &mut comm) }.is_ok() {
            store!(thread.comm, comm);
        }
    }
    0
}
