//! Children that start others.
//!
//! Readers and namers may have to be killed and restarted. quell cannot execute itself for that, for two reasons. A
//! reader needs `CAP_SYS_PTRACE`, which is equivalent to root, and quell does not keep it, because it parses what
//! others wrote. And a user may trace a program just executed without capabilities (ptrace(2), "Ptrace access mode
//! checking"), although that user has fewer rights than a file with capabilities gives. So one starter for each kind is
//! executed at the beginning, and forks copies of itself. It parses only quell's requests.

use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};

use super::{CallError, Channel, ChildError, Limits, Message, Process, Role, TaskOf, Worker, run_copy, unserved};
use crate::sys::{self, Fork};
use crate::units::Pid;

/// How long it may take to start a child.
const PATIENCE: Limits = Limits { blocked: Duration::from_secs(1), cpu: Duration::from_secs(1) };

/// The longest message, in bytes.
const MAX_MESSAGE: usize = 256;

/// The answer: the child's process id, or the errno of what failed. Its connection and its descriptor come along.
type Answer = Result<u32, i32>;

/// A running starter, from its parent's side.
#[derive(Debug)]
pub struct Starter {
    worker: Worker,
    /// The longest message of a child that is taken, in bytes.
    limit: usize,
}

impl Starter {
    /// Starts one, with the privileges that this thread has now. The messages of its children are at most `limit` bytes long.
    ///
    /// # Errors
    /// The process cannot be started.
    pub(crate) fn start(role: Role, limit: usize) -> io::Result<Self> {
        Ok(Self { worker: Worker::start_trusted(role, MAX_MESSAGE)?, limit })
    }

    /// Starts a child.
    ///
    /// # Errors
    /// The starter has ended or does not answer, or no process can be made.
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

    /// Its process id.
    pub(crate) fn process(&self) -> Pid {
        Pid(self.worker.id())
    }

    /// CPU time that it has used so far; that of its children is theirs.
    pub(crate) fn cpu(&self) -> Duration {
        self.worker.cpu()
    }
}

/// What a starter does until its parent closes the connection; and what each of its copies does, which go on from here.
pub(super) fn serve(starter: Role, task_of: TaskOf, socket: UnixStream) -> Result<(), ChildError> {
    let (Some(copy), mut parent) = (starter.copy(), Channel::new(socket, MAX_MESSAGE)) else { return Ok(()) };
    let Some(connection) = next_copy(&mut parent).map_err(unserved)? else { return Ok(()) };
    // With a copy of the starter's connection open, quell would not see it close.
    drop(parent);
    run_copy(copy, task_of, connection)
}

/// Makes copies as they are asked for. Returns in each of them, with its connection, and at the end in the starter.
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

/// Children that have ended. Until then their ids are not used anew.
fn forget_ended() {
    while !matches!(waitpid(None, Some(WaitPidFlag::WNOHANG)), Ok(WaitStatus::StillAlive) | Err(_)) {}
}
