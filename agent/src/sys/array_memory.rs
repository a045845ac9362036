//! The memory of a BPF array, read without a system call for each element.

use std::ffi::c_void;
use std::io;
use std::num::NonZeroUsize;
use std::os::fd::BorrowedFd;
use std::ptr::NonNull;
use std::sync::atomic::AtomicU64;

use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};

/// The first elements of an array, mapped for reading. Programs may write them at the same time.
pub(crate) struct ArrayMemory {
    address: NonNull<c_void>,
    words: NonZeroUsize,
}

impl ArrayMemory {
    /// Maps the first `words` words of 64 bits of an array with the flag `BPF_F_MMAPABLE` (5.5).
    ///
    /// # Errors
    /// The error of the kernel: the array is smaller, or has no such flag.
    pub(crate) fn map(array: BorrowedFd<'_>, words: NonZeroUsize) -> io::Result<Self> {
        let bytes = words.saturating_mul(const { NonZeroUsize::new(size_of::<u64>()).unwrap() });
        // SAFETY: the kernel chooses the address. It refuses to map more than the array has, whose memory stays where it is.
        let address = unsafe { mmap(None, bytes, ProtFlags::PROT_READ, MapFlags::MAP_SHARED, array, 0) }?;
        Ok(Self { address, words })
    }

    /// The words. A word is never torn; several of them may be of different times.
    pub(crate) fn words(&self) -> &[AtomicU64] {
        // SAFETY: the mapping begins at a page, has this length and lives as long as `self`. Atomics may be written by others, and
        // are only loaded here.
        unsafe { std::slice::from_raw_parts(self.address.as_ptr().cast::<AtomicU64>(), self.words.get()) }
    }
}

impl Drop for ArrayMemory {
    fn drop(&mut self) {
        // SAFETY: the mapping was created by `map` with this length, and no reference to it outlives `self`.
        let _ = unsafe { munmap(self.address, self.words.get() * size_of::<u64>()) };
    }
}
