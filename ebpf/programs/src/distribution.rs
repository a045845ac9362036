//! Counting values into distributions that lie in maps.

use core::arch::asm;

use quell_ebpf_common::{
    Distribution,
    distribution::{BUCKETS, bucket},
};

/// Counts a value in a distribution of this CPU alone.
///
/// # Safety
/// `counts` is the value of a per-CPU map.
#[inline(always)]
pub unsafe fn count(counts: *mut Distribution, value: u64) {
    // SAFETY: as the caller says; programs that interrupt this one may lose one count.
    unsafe {
        let count = element(counts, value);
        count.write_volatile(count.read_volatile() + 1);
    }
}

/// Counts a value in a distribution of all CPUs.
///
/// # Safety
/// `counts` is the value of a map.
#[inline(always)]
pub unsafe fn count_shared(counts: *mut Distribution, value: u64) {
    // SAFETY: as the caller says. For the instruction see `filter`.
    unsafe {
        let count = element(counts, value);
        asm!("lock *(u64 *)({count} + 0) += {one}", count = in(reg) count, one = in(reg) 1u64);
    }
}

#[inline(always)]
unsafe fn element(counts: *mut Distribution, value: u64) -> *mut u64 {
    let index = bucket(value) as usize & (BUCKETS - 1);
    // SAFETY: the index is within the array; the verifier checks it.
    unsafe { counts.cast::<u64>().add(index) }
}
