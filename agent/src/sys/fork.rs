//! A copy of this process.

use std::fs;
use std::io;

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
/// Other threads run, which the copy would lack, with the locks that they hold; or fork(2) failed.
pub(crate) fn fork_alone() -> io::Result<Fork> {
    if threads() != Some(1) {
        return Err(io::Error::other("only a process with one thread can be copied"));
    }
    // SAFETY: there is no other thread, so no lock stays locked in the child, which may do whatever the parent may.
    match unsafe { fork() }? {
        ForkResult::Parent { child } => Ok(Fork::Parent(child.as_raw().unsigned_abs())),
        ForkResult::Child => Ok(Fork::Child),
    }
}

/// How many threads this process has: `num_threads` of proc_pid_stat(5), the 18th field after the name.
fn threads() -> Option<u32> {
    let stat = fs::read("/proc/self/stat").ok()?;
    let end = stat.iter().rposition(|byte| *byte == b')')?;
    let mut fields = stat[end + 1..].split(|byte| *byte == b' ').filter(|field| !field.is_empty());
    std::str::from_utf8(fields.nth(17)?).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_are_counted_and_a_process_that_has_some_is_not_copied() {
        let before = threads().expect("readable");
        let (stop, wait) = std::sync::mpsc::channel::<()>();
        let other = std::thread::spawn(move || wait.recv());
        // Other tests have threads as well, so at least one.
        assert!(threads().expect("readable") >= 2, "{before} before");
        assert!(fork_alone().is_err());
        drop(stop);
        assert!(other.join().expect("it ends").is_err());
    }
}
