//! Which threads that sleep are waited for: a filter, so that all other wake-ups cost next to nothing.
//!
//! A thread that is woken has not run for a while, and reading anything of it, or what is kept of it, takes a cache miss of some
//! hundred nanoseconds. The address of its `task_struct` is at hand. So the filter counts the awaited threads by a
//! hash of that address, in a table of few cache lines: where the count is 0, the thread is none of them.

use core::arch::asm;

use crate::{maps::AWAITED, settings::SETTINGS, task::Task};

/// How many counters there are: the threads of a host that sleep all the while leave most at 0.
pub const COUNTERS: u32 = 1 << 12;

/// The counter of a task.
#[inline(always)]
pub fn counter(task: Task) -> u32 {
    (hash(task) >> 52) as u32 & (COUNTERS - 1)
}

/// A number for a task: that of another is equal once in 2^32.
#[inline(always)]
pub fn identity(task: Task) -> u32 {
    (hash(task) >> 32) as u32
}

#[inline(always)]
fn hash(task: Task) -> u64 {
    let mut distance = task.as_ptr() as u64;
    // To the verifier the address is a pointer, not a number; but the difference of two pointers is one, for programs with
    // CAP_PERFMON (`adjust_reg_min_max_vals`, kernel/bpf/verifier.c). A helper that reads memory would cost more, and a kernel that is
    // locked down has none. The settings lie at one address as long as the programs are loaded.
    // SAFETY: arithmetic on two registers.
    unsafe { asm!("{distance} -= {base}", distance = inout(reg) distance, base = in(reg) &raw const SETTINGS) };
    // Fibonacci hashing (Knuth, The Art of Computer Programming, volume 3, 6.4).
    distance.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// Whether a thread of this counter may be awaited.
#[inline(always)]
pub fn is_awaited(counter: u32) -> bool {
    // SAFETY: an array's element; volatile, since other CPUs change it.
    AWAITED.get_ptr(counter).is_some_and(|count| unsafe { count.read_volatile() } != 0)
}

/// Awaits one thread more.
#[inline(always)]
pub fn enter(counter: u32) {
    add(counter, 1);
}

/// Awaits one thread less.
#[inline(always)]
pub fn leave(counter: u32) {
    add(counter, -1);
}

#[inline(always)]
fn add(counter: u32, number: i64) {
    if let Some(count) = AWAITED.get_ptr_mut(counter) {
        // SAFETY: an aligned word of an array's element. BPF has had this instruction from its beginning, and `core` no
        // function for it, since BPF before 5.12 has no other atomic one.
        unsafe { asm!("lock *(u64 *)({count} + 0) += {number}", count = in(reg) count, number = in(reg) number) };
    }
}
