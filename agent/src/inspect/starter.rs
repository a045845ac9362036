//! The child that starts readers.
//!
//! What readers need is as good as root (`CAP_SYS_PTRACE`), and they have to be killed and started anew during a capture. Quell
//! itself does not keep it, since it parses what others wrote. The starter does: it reads nothing but quell's
//! requests, and each reader is a copy of it.

use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};

use super::{MAX_ANSWER, MAX_REQUEST, reader};
use crate::child::{self, CallError, Channel, Limits, Message, Process, Role, Worker};
use crate::sys::{self, Fork};

/// How long it may take to start a reader.
const PATIENCE: Limits = Limits { blocked: Duration::from_secs(1), cpu: Duration::from_secs(1) };

/// The answer: the reader's process id, or the errno of what failed. Its connection and its descriptor come along.
type Answer = Result<u32, i32>;

/// A running starter, from its parent's side.
#[derive(Debug)]
pub(super) struct Starter(Worker);

impl Starter {
    /// Starts one, with the privileges that this thread has now.
    ///
    /// # Errors
    /// The process cannot be started.
    pub(super) fn start() -> io::Result<Self> {
        Worker::start(Role::Starter, MAX_REQUEST).map(Self)
    }

    /// Starts a reader.
    ///
    /// # Errors
    /// The starter has ended or does not answer, or no process can be made.
    pub(super) fn reader(&mut self) -> io::Result<Worker> {
        self.0.send(&(), &[], &[])?;
        match self.0.receive::<Answer>(PATIENCE, &mut || false) {
            Ok(Message { head, descriptors, .. }) => {
                let id = head.map_err(io::Error::from_raw_os_error)?;
                let mut descriptors = descriptors.into_iter();
                match (descriptors.next(), descriptors.next()) {
                    (Some(connection), Some(process)) => {
                        Worker::new(Process::from_descriptor(id, process), connection.into(), MAX_ANSWER)
                    }
                    _ => Err(io::ErrorKind::InvalidData.into()),
                }
            }
            Err(CallError::Failed(error)) => Err(error),
            Err(CallError::TimedOut | CallError::Cancelled) => Err(io::ErrorKind::TimedOut.into()),
        }
    }

    /// Its process id.
    pub(super) fn id(&self) -> u32 {
        self.0.id()
    }

    /// CPU time that it has used so far; that of its readers is theirs.
    pub(super) fn cpu(&self) -> Duration {
        self.0.cpu()
    }
}

/// What the starter does until its parent closes the connection; and what each reader does, which goes on from here.
pub(crate) fn serve(socket: UnixStream) -> io::Result<()> {
    let mut parent = Channel::new(socket, MAX_REQUEST);
    while parent.receive::<()>()?.is_some() {
        forget_ended();
        let (ours, theirs) = UnixStream::pair()?;
        match sys::fork_alone() {
            Ok(Fork::Child) => {
                // The starter's own end: with a copy of it open, quell would not see it close.
                drop((parent, ours));
                child::become_reader().map_err(io::Error::other)?;
                return reader::serve(theirs);
            }
            Ok(Fork::Parent(id)) => match Process::open(id) {
                Ok(process) => {
                    parent.send(&Answer::Ok(id), &[], &[ours.as_fd(), process.descriptor()])?;
                }
                Err(error) => refuse(&parent, &error)?,
            },
            Err(error) => refuse(&parent, &error)?,
        }
    }
    Ok(())
}

fn refuse(parent: &Channel, error: &io::Error) -> io::Result<()> {
    parent.send(&Answer::Err(error.raw_os_error().unwrap_or(libc::EAGAIN)), &[], &[])
}

/// Readers that have ended. Until then their ids are not used anew.
fn forget_ended() {
    while !matches!(waitpid(None, Some(WaitPidFlag::WNOHANG)), Ok(WaitStatus::StillAlive) | Err(_)) {}
}
