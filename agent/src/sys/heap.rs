//! The heap of this process.

/// Keeps freed memory, except blocks of more than 32 MiB: to give memory back, or to move a block, the kernel sends an interrupt to each
/// CPU on which this process ran before (`flush_tlb_func`, arch/x86/mm/tlb.c), and a capture must not disturb CPUs.
///
/// Only the allocator of glibc is known to have these settings.
pub(crate) fn keep_freed_memory() {
    #[cfg(target_env = "gnu")]
    {
        /// The maximum (`HEAP_MAX_SIZE / 2`, glibc's malloc/malloc.c), in bytes.
        const LARGE: libc::c_int = 32 << 20;
        // SAFETY: it changes settings of the allocator under its lock. If a setting is refused, nothing happens.
        unsafe {
            libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE);
            libc::mallopt(libc::M_TRIM_THRESHOLD, libc::c_int::MAX);
        }
    }
}
