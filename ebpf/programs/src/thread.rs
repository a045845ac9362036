//! What is kept of each captured thread.

use aya_ebpf::helpers::{bpf_get_current_comm, generated::bpf_get_prandom_u32};
use quell_ebpf_common::{ThreadState, Total};

use crate::{
    maps::{SEEN_THREADS, THREADS, losses, mark_seen, was_seen},
    value::{Value, count, load},
};

/// [`ThreadState::predicted`] before the first sleep.
pub const NO_PREDICTION: u32 = u32::MAX;

/// The state of a thread that was seen before: not that of another that had its id and whose end was not seen, or could
/// not be told.
#[inline(always)]
pub fn known(tid: u32, tgid: u32) -> Option<Value<ThreadState>> {
    let thread = by_id(tid)?;
    if load!(thread.tgid) == tgid { Some(thread) } else { None }
}

/// What is kept under a thread's id, of whichever thread.
#[inline(always)]
pub fn by_id(tid: u32) -> Option<Value<ThreadState>> {
    if !was_seen(&SEEN_THREADS, tid) {
        return None;
    }
    // SAFETY: an element of a preallocated hash map.
    THREADS.get_ptr_mut(tid).map(|thread| unsafe { Value::new(thread) })
}

/// Enters the state of a thread, with the flags of `bpf_map_update_elem`; `None` where there is no room, or the flags forbid it.
#[inline(always)]
pub fn enter(tid: u32, state: &ThreadState, flags: u64) -> Option<()> {
    // Before the state: who finds the state finds the mark.
    mark_seen(&SEEN_THREADS, tid);
    THREADS.insert(tid, state, flags).ok()
}

/// The current thread's state, new: it was never seen before.
#[inline(always)]
pub fn enter_current(tid: u32, tgid: u32) -> Option<Value<ThreadState>> {
    let new = never_seen(tgid, bpf_get_current_comm().unwrap_or_default());
    if enter(tid, &new, 0).is_none() {
        let lost = losses()?;
        count!(lost.threads);
        return None;
    }
    // SAFETY: an element of a preallocated hash map.
    THREADS.get_ptr_mut(tid).map(|thread| unsafe { Value::new(thread) })
}

/// A thread that was never seen to sleep.
#[inline(always)]
pub fn never_seen(tgid: u32, comm: [u8; 16]) -> ThreadState {
    ThreadState {
        out_since: 0,
        woken_at: 0,
        delayed: 0,
        tgid,
        seq: 0,
        reason: 0,
        cpu: 0,
        comm,
        totals: [Total { count: 0, nanos: 0 }; 3],
        predicted: [NO_PREDICTION; 3],
        odds: 0,
        // SAFETY: a helper call without arguments. Zero is the one seed that the sequence does not leave.
        random: unsafe { bpf_get_prandom_u32() } | 1,
        pad: 0,
    }
}
