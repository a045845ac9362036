//! Forks a process that has only one thread.

use std::io;

use nix::sched::{CloneFlags, unshare};
use nix::unistd::{ForkResult, fork};

/// The two processes after a fork.
pub(crate) enum Fork {
    /// The parent, with the PID of the child.
    Parent(u32),
    /// The child.
    Child,
}

/// Forks this process.
///
/// # Errors
/// This process has other threads (`EINVAL`), which would be missing in the child while their locks remain locked, or fork(2)
/// failed.
pub(crate) fn fork_alone() -> io::Result<Fork> {
    // This has no effect in a single-threaded process, and fails in others (unshare(2), CLONE_THREAD).
    unshare(CloneFlags::CLONE_THREAD)?;
    // SAFETY: there is no other thread, so no lock remains locked in the child, which may do the same as the parent.
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
        // The test harness has other threads.
        let refused = fork_alone().err().and_then(|error| error.raw_os_error());
        assert_eq!(refused, Some(libc::EINVAL));
    }
}
