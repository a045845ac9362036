//! The command after `--`, which begins when the capture has begun.

use std::ffi::OsStr;

use nix::errno::Errno;

use crate::privileges;
use crate::sys::{GateError, Gated};

/// Forks a process that will run a command, with the privileges of the caller of quell, once it is released. `words` are the program,
/// which is looked for in `PATH`, and its arguments.
///
/// # Errors
/// [`GateError::Fork`].
pub fn suspend<S: AsRef<OsStr>>(words: &[S]) -> Result<Gated, GateError> {
    Gated::fork(words, || privileges::become_callers().map_err(|_| Errno::EPERM))
}
