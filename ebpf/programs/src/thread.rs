//! What is kept of each captured thread.

use aya_ebpf::helpers::{bpf_get_current_comm, generated::bpf_get_prandom_u32};
use quell_ebpf_common::{INDEXED, ThreadState, Total, reason};

use crate::{
    filter,
    maps::{FREE_THREADS, INDEX, THREADS, losses},
    random::next_random,
    task::Task,
    value::{Value, count, load, store},
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
    // SAFETY: a word of an array's element; volatile, since other CPUs store it.
    let number = unsafe { entry(tid)?.read_volatile() };
    if number == 0 {
        return None;
    }
    let thread = element(number - 1)?;
    // It may have been given to another thread meanwhile, where its own has just ended.
    if load!(thread.tid) == tid { Some(thread) } else { None }
}

/// Enters the current thread, which was never seen before.
#[inline(always)]
pub fn enter_current(task: Task) -> Option<Value<ThreadState>> {
    let new = never_seen(task, bpf_get_current_comm().unwrap_or_default());
    let thread = enter(&new);
    if thread.is_none() {
        let lost = losses()?;
        count!(lost.threads);
    }
    thread
}

/// Enters the state of a thread that has none; `None` where there is no room.
#[inline(always)]
pub fn enter(state: &ThreadState) -> Option<Value<ThreadState>> {
    let entry = entry(state.tid)?;
    let number = FREE_THREADS.pop().ok().flatten()?;
    let thread = element(number)?;
    // SAFETY: an element of an array that is this program's alone: no other finds its number.
    unsafe { thread.as_ptr().write(*state) };
    store!(thread.number, number);
    // SAFETY: as in `by_id`.
    unsafe { entry.write_volatile(number + 1) };
    Some(thread)
}

/// Forgets a thread that has ended.
#[inline(always)]
pub fn remove(tid: u32, thread: Value<ThreadState>) -> Option<()> {
    let entry = entry(tid)?;
    // SAFETY: as in `by_id`.
    let number = unsafe { entry.read_volatile() };
    store!(thread.tid, 0);
    // SAFETY: as in `by_id`.
    unsafe { entry.write_volatile(0) };
    FREE_THREADS.push(number.checked_sub(1)?, 0).ok()
}

/// A thread that was never seen to sleep.
#[inline(always)]
pub fn never_seen(task: Task, comm: [u8; 16]) -> ThreadState {
    // SAFETY: a helper call without arguments. Zero is the one seed that the sequence of random numbers does not leave.
    let random = unsafe { bpf_get_prandom_u32() } | 1;
    ThreadState {
        out_since: 0,
        tid: task.tid(),
        tgid: task.tgid(),
        seq: 0,
        awaited: 0,
        fund: 0,
        reason: 0,
        cpu: 0,
        odds: 0,
        predicted: [NO_PREDICTION; 3],
        random,
        recent_reason: 0,
        recent_count: 0,
        recent_nanos: 0,
        totals: [Total { count: 0, nanos: 0 }; reason::COUNT],
        woken_at: 0,
        delayed: 0,
        comm,
        number: 0,
        generation: random,
        walked: 0,
        task: filter::identity(task),
    }
}

/// Whether this is the state of `task`, not of another thread that had its id.
#[inline(always)]
pub fn is_of(thread: Value<ThreadState>, task: Task) -> bool {
    load!(thread.task) == filter::identity(task)
}

/// Begins the totals at zero, under another [`ThreadState::generation`].
#[inline(always)]
pub fn reset_totals(thread: Value<ThreadState>, next_generation: u32) {
    // Before the totals: who reads them under the old number would take them to go backwards.
    store!(thread.generation, next_generation);
    for reason in 0..reason::COUNT as u32 {
        let total = total(thread, reason);
        store!(total.count, 0);
        store!(total.nanos, 0);
    }
}

/// Its wake-up is awaited no longer, if it was.
#[inline(always)]
pub fn stop_awaiting(thread: Value<ThreadState>) {
    let awaited = load!(thread.awaited);
    if awaited != 0 {
        filter::leave(u32::from(awaited) - 1);
        store!(thread.awaited, 0);
    }
}

/// Makes the state of another thread that had the id of `task` that of `task`, once its totals are sent.
#[inline(always)]
pub fn hand_over(thread: Value<ThreadState>, task: Task) {
    reset_totals(thread, next_random(load!(thread.generation)));
    // The thread before may have been preempted on its way out: it does not sleep for the new one.
    store!(thread.out_since, 0);
    stop_awaiting(thread);
    // A new thread has the name of its creator, which runs here; one that executes a program runs here itself.
    store!(thread.comm, bpf_get_current_comm().unwrap_or_default());
    store!(thread.task, filter::identity(task));
}

/// The totals of a reason.
#[inline(always)]
pub fn total(thread: Value<ThreadState>, reason: u32) -> Value<Total> {
    const TOTALS: usize = core::mem::offset_of!(ThreadState, totals);
    const MASK: u32 = reason::COUNT.next_power_of_two() as u32 - 1;
    const { assert!(TOTALS + (MASK as usize + 1) * size_of::<Total>() <= size_of::<ThreadState>()) };
    // The mask shows the verifier that the access is within the element. No reason is above `COUNT`.
    // SAFETY: within the element, as asserted.
    unsafe {
        Value::new(thread.as_ptr().cast::<u8>().add(TOTALS + (reason & MASK) as usize * size_of::<Total>()).cast())
    }
}

/// The word of a thread in `INDEX`.
#[inline(always)]
fn entry(tid: u32) -> Option<*mut u32> {
    let line = INDEX.get_ptr_mut(tid / INDEXED)?;
    let word = (tid & (INDEXED - 1)) as usize;
    // SAFETY: the word is one of the element's; the verifier checks it.
    Some(unsafe { line.cast::<u32>().add(word) })
}

#[inline(always)]
fn element(number: u32) -> Option<Value<ThreadState>> {
    // SAFETY: an array's element.
    THREADS.get_ptr_mut(number).map(|thread| unsafe { Value::new(thread) })
}
