//! Closes inherited descriptors.

use std::io;

/// Closes all descriptors from `first` on (`close_range`, 5.9). Must be called before this process opens any.
///
/// # Errors
/// The error of the kernel.
pub(crate) fn close_from(first: u32) -> io::Result<()> {
    // SAFETY: the call takes only numbers. It is the first call in a child process, so no object of this program owns a
    // descriptor from `first` on.
    match unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, 0) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
