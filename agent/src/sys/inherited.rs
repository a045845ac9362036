//! Descriptors that this process inherited.

use std::io;
use std::os::fd::{FromRawFd as _, OwnedFd, RawFd};

/// Duplicates a descriptor that was inherited from the shell and is open for writing; `None` if there is no such descriptor.
/// Descriptors that this process opened have close-on-exec, and are not inherited ones.
pub(crate) fn duplicate_writable(number: RawFd) -> io::Result<Option<OwnedFd>> {
    // SAFETY: F_GETFD and F_GETFL take no pointer. Any number is allowed; the error for a closed descriptor is EBADF.
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
    // SAFETY: the descriptor is new, so nothing else owns it.
    Ok(Some(unsafe { OwnedFd::from_raw_fd(copy) }))
}
