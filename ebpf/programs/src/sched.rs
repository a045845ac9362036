//! Off-CPU time: every context switch is accounted, some are sampled.
//!
//! A sleep's stack can only be walked as it begins, when its length is not known. So the odds of walking it come
//! from a prediction: the decaying maximum of the thread's past sleeps for the same reason. The odds are never zero and
//! travel with the sample, so the estimate stays unbiased however bad the prediction is; a good one lowers its
//! variance. A maximum rather than a mean: what makes the variance is a long sleep that was taken for a short one.

use aya_ebpf::{
    EbpfContext,
    helpers::{bpf_get_current_comm, bpf_get_current_pid_tgid, generated::bpf_get_prandom_u32},
    macros::btf_tracepoint,
    programs::BtfTracePointContext,
};
use quell_ebpf_common::{
    CERTAIN, FIRST_SLEEPS, NO_PREDICTION, SleepEnd, SleepStart, ThreadExit, ThreadState, Total, Wake, kind, reason,
};

use crate::{
    maps::{self, TARGETS, THREADS, counts, rates},
    record::{self, NO_STACKS, OwnFrames, Slot},
    settings::{captures_cpu, captures_current, is_target, setting},
    task::{Leaving, Task},
    value::{Value, count, load, store},
};

/// `sched_switch(bool preempt, struct task_struct *prev, struct task_struct *next, unsigned int prev_state)`,
/// include/trace/events/sched.h; the last argument since 5.18.
#[btf_tracepoint(function = "sched_switch")]
pub fn quell_switch(ctx: BtfTracePointContext) -> i32 {
    let Some(counts) = counts() else { return 0 };
    count!(counts.switches);
    let now = record::now();
    // SAFETY: both are tasks, which the kernel holds while it switches.
    let (prev, next) = unsafe { (Task::new(ctx.arg(1)), Task::new(ctx.arg(2))) };
    leave(&ctx, prev, now);
    enter(next, now);
    0
}

#[inline(always)]
fn leave(ctx: &BtfTracePointContext, prev: Task, now: u64) -> Option<()> {
    let tid = prev.tid();
    if tid == 0 {
        return None;
    }
    let tgid = prev.tgid();
    let state = if setting!(switch_has_prev_state) == 1 { u64::from(ctx.arg::<u32>(3)) } else { prev.state() };
    let reason = match prev.leaving(ctx.arg::<u64>(0) & 1 == 1, state) {
        Leaving::For(reason) => reason,
        // Asks nobody whether the thread is captured: it is if it is known.
        Leaving::Dead => return exit(tid, tgid, now),
    };
    if !captures_current(tgid) || !captures_cpu(record::cpu()) {
        return None;
    }
    let thread = thread(tid, tgid, now)?;
    end_unseen(thread, tid, now);
    let seq = load!(thread.seq);
    let odds = if seq < FIRST_SLEEPS { CERTAIN } else { odds(predicted(thread, reason))? };
    let sampled = odds == CERTAIN || draw(thread) < odds;
    let seq = seq.wrapping_add(1);
    // Only the CPU that switches a thread writes its state, but for its waker, who stores `woken_at`, and for the last
    // walk. A waker on another CPU may see some of these stores and not the others: the thread is about to sleep then,
    // and what he sends names a sleep that nobody looks for.
    store!(thread.out_since, now);
    store!(thread.seq, seq);
    store!(thread.reason, reason);
    store!(thread.odds, if sampled { odds } else { 0 });
    if sampled {
        let start = SleepStart {
            header: record::header(kind::SLEEP_START, now, tid, tgid),
            comm: bpf_get_current_comm().unwrap_or_default(),
            seq,
            reason,
            odds,
            walked: 0,
            user_regs: [0; 3],
            stacks: NO_STACKS,
        };
        record::send_with_stacks(Slot::Switch, OwnFrames::One, ctx.as_ptr(), start);
    }
    Some(())
}

/// The odds, of 2^32, of sampling a sleep that is expected to last `predicted` nanoseconds.
#[inline(always)]
fn odds(predicted: u32) -> Option<u32> {
    if predicted == NO_PREDICTION {
        return Some(CERTAIN);
    }
    let rates = rates()?;
    let odds = u64::from(predicted) * u64::from(load!(rates.odds_per_nano));
    let least = load!(rates.least_odds);
    Some(if odds >= u64::from(CERTAIN) {
        CERTAIN
    } else if odds < u64::from(least) {
        least
    } else {
        odds as u32
    })
}

/// The next of a thread's random numbers, uniform over all but 0: xorshift32 (Marsaglia, 2003).
#[inline(always)]
fn draw(thread: Value<ThreadState>) -> u32 {
    let mut next = load!(thread.random);
    next ^= next << 13;
    next ^= next >> 17;
    next ^= next << 5;
    store!(thread.random, next);
    next
}

#[inline(always)]
fn predicted(thread: Value<ThreadState>, reason: u32) -> u32 {
    // A match rather than an index: the verifier of 5.10 follows it without help.
    match reason {
        reason::BLOCKED => load!(thread.predicted[0]),
        reason::PREEMPTED => load!(thread.predicted[1]),
        _ => load!(thread.predicted[2]),
    }
}

/// The state of a thread that was seen before: not that of another that had its id and whose end was not seen, or could
/// not be told.
#[inline(always)]
pub fn known(tid: u32, tgid: u32) -> Option<Value<ThreadState>> {
    let thread = maps::thread(tid)?;
    if load!(thread.tgid) == tgid { Some(thread) } else { None }
}

/// The thread's state, new if need be.
#[inline(always)]
fn thread(tid: u32, tgid: u32, now: u64) -> Option<Value<ThreadState>> {
    if let Some(found) = maps::thread(tid) {
        if load!(found.tgid) == tgid {
            return Some(found);
        }
        tell_end(found, tid, load!(found.comm), now);
    }
    let new = new_thread(tgid, bpf_get_current_comm().unwrap_or_default());
    if THREADS.insert(tid, &new, 0).is_err() {
        let counts = counts()?;
        count!(counts.lost_threads);
        return None;
    }
    maps::thread(tid)
}

/// A thread that was never seen to sleep.
#[inline(always)]
pub fn new_thread(tgid: u32, comm: [u8; 16]) -> ThreadState {
    ThreadState {
        out_since: 0,
        woken_at: 0,
        totals: [Total { count: 0, nanos: 0 }; 3],
        tgid,
        seq: 0,
        odds: 0,
        reason: 0,
        predicted: [NO_PREDICTION; 3],
        // SAFETY: a helper call without arguments. Zero is the one seed that xorshift does not leave.
        random: unsafe { bpf_get_prandom_u32() } | 1,
        comm,
    }
}

#[inline(always)]
fn exit(tid: u32, tgid: u32, now: u64) -> Option<()> {
    let thread = known(tid, tgid)?;
    end_unseen(thread, tid, now);
    let comm = bpf_get_current_comm().unwrap_or_default();
    if tell_end(thread, tid, comm, now) {
        let _ = THREADS.remove(tid);
    } else {
        // The user side finds the totals in the map in the end.
        store!(thread.out_since, 0);
        store!(thread.comm, comm);
    }
    Some(())
}

/// Tells the user side of the end of a thread; `false` where its record found no room.
#[inline(always)]
fn tell_end(thread: Value<ThreadState>, tid: u32, comm: [u8; 16], now: u64) -> bool {
    let header = record::header(kind::THREAD_EXIT, now, tid, load!(thread.tgid));
    record::send_plain(&ThreadExit { header, comm, totals: load!(thread.totals) })
}

#[inline(always)]
fn enter(next: Task, now: u64) -> Option<()> {
    let tid = next.tid();
    if tid == 0 {
        return None;
    }
    let thread = known(tid, next.tgid())?;
    if load!(thread.out_since) == 0 {
        return None;
    }
    end_sleep(thread, tid, now)
}

/// Ends the last sleep of a thread that leaves the CPU, should the switch that ended it not have been shown: some kernels
/// of virtual machines hide the switches from their supervisor's threads. What it ran for since is taken for sleep.
#[inline(always)]
fn end_unseen(thread: Value<ThreadState>, tid: u32, now: u64) {
    // Number 0 was entered by the iterator, perhaps after its end; that of one which runs on is struck by the last walk.
    if load!(thread.out_since) != 0 && load!(thread.seq) != 0 {
        end_sleep(thread, tid, now);
    }
}

#[inline(always)]
fn end_sleep(thread: Value<ThreadState>, tid: u32, now: u64) -> Option<()> {
    let since = load!(thread.out_since);
    store!(thread.out_since, 0);
    let duration = now.wrapping_sub(since);
    let reason = load!(thread.reason);
    match reason {
        reason::BLOCKED => add!(thread, 0, duration),
        reason::PREEMPTED => add!(thread, 1, duration),
        _ => add!(thread, 2, duration),
    }
    let counts = counts()?;
    count!(counts.sleeps);
    if load!(thread.odds) == 0 {
        return None;
    }
    count!(counts.sampled_sleeps);
    let woken_at = load!(thread.woken_at);
    let runqueue = if reason == reason::PREEMPTED {
        duration
    } else if woken_at > since {
        now.wrapping_sub(woken_at)
    } else {
        0
    };
    let end = SleepEnd {
        header: record::header(kind::SLEEP_END, now, tid, load!(thread.tgid)),
        duration,
        runqueue,
        seq: load!(thread.seq),
        reason,
    };
    record::send_plain(&end);
    Some(())
}

/// Adds a sleep to the totals of its reason, and to what the next one is expected to be. The index is a literal: the
/// verifier of 5.10 follows it without help.
macro_rules! add {
    ($thread:ident, $reason:literal, $duration:ident) => {{
        store!($thread.totals[$reason].count, load!($thread.totals[$reason].count) + 1);
        store!($thread.totals[$reason].nanos, load!($thread.totals[$reason].nanos) + $duration);
        store!($thread.predicted[$reason], expected(load!($thread.predicted[$reason]), $duration));
    }};
}
use add;

/// How long the next sleep is expected to be: as long as this one, or as `predicted` before, which decays.
#[inline(always)]
fn expected(predicted: u32, duration: u64) -> u32 {
    // One below the sentinel: 4.29 s, far beyond any length that is sampled for certain.
    let length = if duration >= u64::from(NO_PREDICTION) { NO_PREDICTION - 1 } else { duration as u32 };
    if predicted == NO_PREDICTION || length >= predicted { length } else { predicted - ((predicted - length) >> 4) }
}

/// `sched_waking(struct task_struct *p)`: in the waker's context, or in that of the thread that an interrupt found.
#[btf_tracepoint(function = "sched_waking")]
pub fn quell_waking(ctx: BtfTracePointContext) -> i32 {
    waking(&ctx);
    0
}

#[inline(always)]
fn waking(ctx: &BtfTracePointContext) -> Option<()> {
    let counts = counts()?;
    count!(counts.wakes);
    // SAFETY: the task that is woken.
    let task = unsafe { Task::new(ctx.arg(0)) };
    let woken_tid = task.tid();
    let woken = known(woken_tid, task.tgid())?;
    // It may be about to leave its CPU still, or be on its way back already: woken by another.
    if load!(woken.out_since) == 0 || load!(woken.odds) == 0 {
        return None;
    }
    let id = bpf_get_current_pid_tgid();
    let (tgid, tid) = ((id >> 32) as u32, id as u32);
    // One that wakes itself does not sleep. It does so with interrupts on (try_to_wake_up, kernel/sched/core.c), which may come
    // here too: only from 6.1 on (commit 05b24ff9b2cf) a program does not interrupt itself.
    if woken_tid == tid {
        return None;
    }
    let now = record::now();
    store!(woken.woken_at, now);
    let waker_seq = match known(tid, tgid) {
        Some(waker) => load!(waker.seq),
        None => 0,
    };
    let wake = Wake {
        header: record::header(kind::WAKE, now, tid, tgid),
        comm: bpf_get_current_comm().unwrap_or_default(),
        woken_tid,
        woken_seq: load!(woken.seq),
        waker_seq,
        pad: 0,
        stacks: NO_STACKS,
    };
    record::send_with_stacks(Slot::Wake, OwnFrames::One, ctx.as_ptr(), wake);
    Some(())
}

/// `sched_process_fork(struct task_struct *parent, struct task_struct *child)`: children of targets are targets.
#[btf_tracepoint(function = "sched_process_fork")]
pub fn quell_fork(ctx: BtfTracePointContext) -> i32 {
    // SAFETY: both are tasks; the child does not run yet.
    let (parent, child) = unsafe { (Task::new(ctx.arg(0)), Task::new(ctx.arg(1))) };
    if is_target(parent.tgid())
        && TARGETS.insert(child.tgid(), 1, 0).is_err()
        && let Some(counts) = counts()
    {
        count!(counts.lost_targets);
    }
    0
}

/// `sched_process_free(struct task_struct *p)`: a target is one no longer, or a stranger would be that is given its id.
///
/// Not at `sched_process_exit`, after which the threads of a process go on running and waiting. A task is freed a grace
/// period of RCU after it was reaped and has left the CPU for good (`put_task_struct_rcu_user`, kernel/exit.c, 5.4), and
/// a process's first thread is reaped after all others (`wait_consider_task`, `release_task`). Its id may be given out
/// anew within that grace period, should all others be given out in it.
#[btf_tracepoint(function = "sched_process_free")]
pub fn quell_free(ctx: BtfTracePointContext) -> i32 {
    // SAFETY: a task whose memory is given back after this.
    let task = unsafe { Task::new(ctx.arg(0)) };
    let tgid = task.tgid();
    if task.tid() == tgid {
        // Most processes are no targets.
        let _ = TARGETS.remove(tgid);
    }
    0
}

/// `sched_process_exec(struct task_struct *p, pid_t old_pid, struct linux_binprm *bprm)`: the command that quell
/// started is a target from its exec on; before, it is still a copy of the agent.
#[btf_tracepoint(function = "sched_process_exec")]
pub fn quell_exec(ctx: BtfTracePointContext) -> i32 {
    // SAFETY: the task that executes.
    let tgid = unsafe { Task::new(ctx.arg(0)) }.tgid();
    if tgid == setting!(command_tgid)
        && TARGETS.insert(tgid, 1, 0).is_err()
        && let Some(counts) = counts()
    {
        count!(counts.lost_targets);
    }
    0
}
