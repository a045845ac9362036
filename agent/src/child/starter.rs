//! Children that fork other children.
//!
//! Readers and namers may have to be killed and restarted. quell cannot execute itself again for this, for two reasons. A
//! reader needs `CAP_SYS_PTRACE`, which is equivalent to root, and quell does not keep it, because it parses untrusted
//! input. And a user may trace a program that was executed without capabilities (ptrace(2), "Ptrace access mode
//! checking"), even if its file has capabilities that the user does not have. So a starter for each kind is executed at
//! the beginning, and forks copies of itself. It parses only requests of quell.

use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};

use super::{CallError, Channel, ChildError, Limits, Message, Process, Role, TaskOf, Worker, run_copy, unserved};
use crate::sys::{self, Fork};
use crate::units::Pid;

/// The timeout for starting a child.
const PATIENCE: Limits = Limits { blocked: Duration::from_secs(1), cpu: Duration::from_secs(1) };

/// The maximum length of a message, in bytes.
const MAX_MESSAGE: usize = 256;

/// The answer: the PID of the child, or an errno. The connection to the child and its pidfd are attached.
type Answer = Result<u32, i32>;

/// A running starter, as seen by its parent.
#[derive(Debug)]
pub struct Starter {
    worker: Worker,
    /// The maximum length of a message of a child, in bytes.
    limit: usize,
}

impl Starter {
    /// Starts a starter with the current privileges of this thread. The messages of its children have at most `limit` bytes.
    ///
    /// # Errors
    /// The process cannot be started.
    pub(crate) fn start(role: Role, limit: usize) -> io::Result<Self> {
        Ok(Self { worker: Worker::start_trusted(role, MAX_MESSAGE)?, limit })
    }

    /// Starts a child.
    ///
    /// # Errors
    /// The starter has exited or does not answer, or a process cannot be created.
    pub(crate) fn child(&mut self) -> io::Result<Worker> {
        self.worker.send(&(), &[], &[])?;
        match self.worker.receive::<Answer>(PATIENCE, &mut || false) {
            Ok(Message { head, descriptors, .. }) => {
                let id = head.map_err(io::Error::from_raw_os_error)?;
                let mut descriptors = descriptors.into_iter();
                match (descriptors.next(), descriptors.next()) {
                    (Some(connection), Some(process)) => {
                        Worker::new(Process::from_descriptor(id, process), connection.into(), self.limit)
                    }
                    _ => Err(io::ErrorKind::InvalidData.into()),
                }
            }
            Err(CallError::Failed(error)) => Err(error),
            Err(CallError::TimedOut | CallError::Cancelled) => Err(io::ErrorKind::TimedOut.into()),
        }
    }

    /// The PID.
    pub(crate) fn process(&self) -> Pid {
        Pid(self.worker.id())
    }

    /// The CPU time that it has used, without the CPU time of its children.
    pub(crate) fn cpu(&self) -> Duration {
        self.worker.cpu()
    }
}

/// Runs a starter until its parent closes the connection. In a copy of the starter, runs the task of the copy.
pub(super) fn serve(starter: Role, task_of: TaskOf, socket: UnixStream) -> Result<(), ChildError> {
    let (Some(copy), mut parent) = (starter.copy(), Channel::new(socket, MAX_MESSAGE)) else { return Ok(()) };
    let Some(connection) = next_copy(&mut parent).map_err(unserved)? else { return Ok(()) };
    // If a copy held the connection of the starter open, quell would not see the end of the connection.
    drop(parent);
    run_copy(copy, task_of, connection)
}

/// Forks copies on request. Returns in each copy with its connection, and in the starter with `None` at the end.
fn next_copy(parent: &mut Channel) -> io::Result<Option<UnixStream>> {
    while parent.receive::<()>()?.is_some() {
        forget_ended();
        let (ours, theirs) = UnixStream::pair()?;
        let copied = match sys::fork_alone() {
            Ok(Fork::Child) => return Ok(Some(theirs)),
            Ok(Fork::Parent(id)) => Process::open(id),
            Err(error) => Err(error),
        };
        match copied {
            Ok(process) => parent.send(&Answer::Ok(process.id()), &[], &[ours.as_fd(), process.descriptor()])?,
            Err(error) => parent.send(&Answer::Err(error.raw_os_error().unwrap_or(libc::EAGAIN)), &[], &[])?,
        }
    }
    Ok(None)
}

/// Reaps children that have exited. Until then their PIDs are not reused.
fn forget_ended() {
    while !matches!(waitpid(None, Some(WaitPidFlag::WNOHANG)), Ok(WaitStatus::StillAlive) | Err(_)) {}
}
