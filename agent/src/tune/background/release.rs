//! Ending what holds files open.

use std::fs;
use std::io;
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{Errand, PAUSE, post};
use crate::host::Root;
use crate::tune::journal::TransactionId;

/// So long a process may take to end, before it is killed and after.
const PATIENCE: Duration = Duration::from_secs(2);

/// A process that still holds what it should not.
#[derive(Debug, thiserror::Error)]
pub enum ReleaseError {
    /// It cannot be told who it is.
    #[error("could not tell who holds it: {0}")]
    Unknown(#[from] io::Error),
    /// The number in its file is that of another.
    #[error("process {0} is said to hold it, and is something else")]
    Stranger(Pid),
    /// It may not be ended.
    #[error("could not end process {pid}, which holds it: {errno}")]
    Signal {
        /// It.
        pid: Pid,
        /// Why.
        errno: Errno,
    },
    /// It was killed, and is still there.
    #[error("process {0} holds it, and does not end though it was killed")]
    Stays(Pid),
}

/// Ends the process that holds what a transaction needs held, if there is one, and waits until it is gone.
///
/// # Errors
/// It is still there, for all that is known.
pub fn release(root: &Root, id: TransactionId) -> Result<(), ReleaseError> {
    dismiss(root, &Errand::Hold(id))
}

pub(super) fn dismiss(root: &Root, errand: &Errand) -> Result<(), ReleaseError> {
    // A process that is stopped, as by SIGSTOP, ends by the second only.
    for signal in [Signal::SIGTERM, Signal::SIGKILL] {
        let Some(pid) = post::manned(root, errand)? else { break };
        if !is_at_work(pid, errand) {
            return Err(ReleaseError::Stranger(pid));
        }
        match kill(pid, signal) {
            Ok(()) | Err(Errno::ESRCH) => {}
            Err(errno) => return Err(ReleaseError::Signal { pid, errno }),
        }
        let begin = Instant::now();
        while begin.elapsed() < PATIENCE && post::manned(root, errand)?.is_some() {
            thread::sleep(PAUSE);
        }
    }
    match post::manned(root, errand)? {
        Some(pid) => Err(ReleaseError::Stays(pid)),
        None => {
            post::clear(root, errand);
            Ok(())
        }
    }
}

/// Whether the number has not passed to another process.
pub(super) fn is_at_work(pid: Pid, errand: &Errand) -> bool {
    let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let words: Vec<_> = words.split(|&byte| byte == 0).collect();
    words.windows(2).any(|pair| pair == errand.words().each_ref().map(|word| word.as_bytes()))
}
