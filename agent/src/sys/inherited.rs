//! Descriptors that this process was started with.

use std::io;
use std::os::fd::{FromRawFd as _, OwnedFd, RawFd};

/// Duplicates a descriptor of the shell's, open for writing; `None` where the number stands for no such one. What this process has
/// opened itself is closed by exec, and is none.
pub(crate) fn duplicate_writable(number: RawFd) -> io::Result<Option<OwnedFd>> {
    // SAFETY: F_GETFD and F_GETFL take no pointer; any number is allowed, and EBADF the answer to one that is not open.
    let (flags, status) = unsafe { (libc::fcntl(number, libc::F_GETFD), libc::fcntl(number, libc::F_GETFL)) };
    let writable = status & libc::O_ACCMODE != libc::O_RDONLY && status & libc::O_PATH == 0;
    if flags < 0 || status < 0 || flags & libc::FD_CLOEXEC != 0 || !writable {
        return Ok(None);
    }
    // SAFETY: F_DUPFD_CLOEXEC takes a number and no pointer.
    let copy = unsafe { libc::fcntl(number, libc::F_DUPFD_CLOEXEC, 0) };
    if copy < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made this descriptor, and nobody else knows it.
    Ok(Some(unsafe { OwnedFd::from_raw_fd(copy) }))
}
