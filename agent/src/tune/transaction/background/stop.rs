//! Stopping a background process.

use std::io;
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::pid_file;
use super::task::BackgroundTask;
use crate::host::Root;
use crate::tune::transaction::journal::TransactionId;

/// The maximum time until the process exits, after each signal.
const TIMEOUT: Duration = Duration::from_secs(2);
const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// A process that could not be stopped, and still holds files open.
#[derive(Debug, thiserror::Error)]
pub enum StopError {
    /// The process cannot be determined.
    #[error("could not determine which process holds it open: {0}")]
    Unknown(io::Error),
    /// The process in the PID file runs another task.
    #[error("process {0} is in the PID file, but runs another command")]
    OtherProcess(Pid),
    /// The signal could not be sent to the process.
    #[error("could not stop process {pid}, which holds it open: {errno}")]
    Signal {
        /// The process.
        pid: Pid,
        /// The error from the kernel.
        errno: Errno,
    },
    /// The process did not exit after SIGKILL.
    #[error("process {0} holds it open, and did not end after SIGKILL")]
    StillRunning(Pid),
}

/// Stops the process that holds the files of a transaction open, if there is one, and waits until it has exited.
///
/// # Errors
/// The process may still be running.
pub fn stop_holder(root: &Root, id: TransactionId) -> Result<(), StopError> {
    stop(root, &BackgroundTask::Hold(id))
}

impl From<io::Error> for StopError {
    fn from(error: io::Error) -> Self {
        Self::Unknown(error)
    }
}

pub(super) fn stop(root: &Root, task: &BackgroundTask) -> Result<(), StopError> {
    // A process that was stopped by SIGSTOP exits only after the second signal.
    for signal in [Signal::SIGTERM, Signal::SIGKILL] {
        let Some(pid) = pid_file::running_pid(root, task)? else { break };
        if !task.is_running_as(pid) {
            return Err(StopError::OtherProcess(pid));
        }
        match kill(pid, signal) {
            Ok(()) | Err(Errno::ESRCH) => {}
            Err(errno) => return Err(StopError::Signal { pid, errno }),
        }
        let begin = Instant::now();
        while begin.elapsed() < TIMEOUT && pid_file::running_pid(root, task)?.is_some() {
            thread::sleep(POLL_INTERVAL);
        }
    }
    match pid_file::running_pid(root, task)? {
        Some(pid) => Err(StopError::StillRunning(pid)),
        None => {
            pid_file::clear(root, task);
            Ok(())
        }
    }
}
