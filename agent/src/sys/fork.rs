//! A copy of this process.

use std::io;

use nix::sched::{CloneFlags, unshare};
use nix::unistd::{ForkResult, fork};

/// Which of the two processes this is.
pub(crate) enum Fork {
    /// The one that asked for a copy; the copy's process id.
    Parent(u32),
    /// The copy.
    Child,
}

/// Makes a copy of this process, which goes on from here as well.
///
/// # Errors
/// Other threads run (`EINVAL`), which the copy would lack, with the locks that they hold; or fork(2) failed.
pub(crate) fn fork_alone() -> io::Result<Fork> {
    // Does nothing in a process with one thread, and is refused in others (unshare(2), CLONE_THREAD).
    unshare(CloneFlags::CLONE_THREAD)?;
    // SAFETY: there is no other thread, so no lock stays locked in the child, which may do whatever the parent may.
    match unsafe { fork() }? {
        ForkResult::Parent { child } => Ok(Fork::Parent(child.as_raw().unsigned_abs())),
        ForkResult::Child => Ok(Fork::Child),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_has_threads_is_not_copied() {
        // The test's own thread is not the only one.
        let refused = fork_alone().err().and_then(|error| error.raw_os_error());
        assert_eq!(refused, Some(libc::EINVAL));
    }
}
