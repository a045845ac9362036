//! Sleeps that began before the capture, or end after it: where their threads stand.

use aya_ebpf::helpers::generated::bpf_get_task_stack;
use quell_ebpf_common::{Header, STACK_BYTES, ThreadState};

use super::{
    abi::{CERTAIN, PROBE, SLEEP_START, SleepStart},
    calls,
};
use crate::{
    hook::{Sleeper, await_wake},
    record::{self, NO_STACKS, Slot},
    thread::{self, by_id, known, never_seen},
    value::load,
};

/// Enters a thread that sleeps at the beginning as one whose sleep begins now, and records where it stands.
#[inline(always)]
pub fn enter(sleeper: &Sleeper) -> Option<()> {
    let Sleeper { task, reason, cpu } = *sleeper;
    let tid = task.tid();
    if by_id(tid).is_some() {
        return None;
    }
    let now = record::now();
    let new = never_seen(task, task.comm());
    let asleep = ThreadState { out_since: now, seq: 0, odds: CERTAIN, reason: reason as u16, cpu: cpu as u16, ..new };
    // A context switch that comes at this very moment may enter the thread too: then both entries count, and one of its
    // sleeps lacks its beginning or end.
    let thread = thread::enter(&asleep)?;
    await_wake(thread, task);
    send(sleeper, now, 0, reason);
    Some(())
}

/// Records where a thread stands whose sleep goes on at the end, unless it was sampled when it began.
#[inline(always)]
pub fn record(sleeper: &Sleeper) -> Option<()> {
    let task = sleeper.task;
    let thread = known(task.tid(), task.tgid())?;
    // Should it wake meanwhile, its sleep has ended unsampled, and the user side drops the record: it does not go on.
    let since = load!(thread.out_since);
    if since != 0 && load!(thread.odds) == 0 {
        send(sleeper, since, load!(thread.seq), load!(thread.reason).into());
    }
    Some(())
}

#[inline(always)]
fn send(sleeper: &Sleeper, since: u64, seq: u32, reason: u32) {
    let task = sleeper.task;
    let start = SleepStart {
        header: Header {
            probe: PROBE,
            kind: SLEEP_START,
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
        user_regs: sleeper.user_regs(),
        stacks: NO_STACKS,
    };
    record::send_walked(Slot::Walk, start, |frames, user_stack| {
        if user_stack {
            // Another process's memory is out of reach here; the user side walks it by `user_regs`.
            // SAFETY: the second stack has room for `STACK_BYTES`.
            return unsafe { calls::write(task, frames) };
        }
        // SAFETY: `frames` has room for `STACK_BYTES`; the task is the iterator's, which holds a reference.
        unsafe { bpf_get_task_stack(task.as_ptr().cast_mut().cast(), frames, STACK_BYTES as u32, 0) }
    });
}
