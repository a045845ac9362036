//! The command after `--`, which starts when the capture has started.

use std::ffi::OsStr;

use nix::errno::Errno;

use crate::privileges;
use crate::sys::{CommandError, SuspendedCommand};

/// Forks a process that executes a command once it is released, with the privileges of the caller of quell. `words` are the program,
/// which is searched in `PATH`, and its arguments.
///
/// # Errors
/// [`CommandError::Fork`].
pub fn suspend<S: AsRef<OsStr>>(words: &[S]) -> Result<SuspendedCommand, CommandError> {
    SuspendedCommand::fork(words, || privileges::become_callers().map_err(|_| Errno::EPERM))
}
