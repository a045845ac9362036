//! Closing what a child inherited.

use std::io;

/// Closes every descriptor from `first` on (`close_range`, 5.9). To be called before this process has opened any.
///
/// # Errors
/// The kernel's.
pub(crate) fn close_from(first: u32) -> io::Result<()> {
    // SAFETY: the call takes numbers only. Called first thing in a child process, whose descriptors from `first` on belong to no
    // object of this program.
    match unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, 0) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
