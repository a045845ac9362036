//! A process, identified by a pidfd.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// A process that quell started, itself or through another child. Its descriptor (pidfd_open(2), 5.3) stays valid for this process even
/// if the PID is reused.
#[derive(Debug)]
pub(crate) struct Process {
    id: u32,
    descriptor: OwnedFd,
}

impl Process {
    /// The process `id`, which must not have been waited for yet.
    ///
    /// # Errors
    /// The process does not exist, or the limit of descriptors is reached.
    pub(crate) fn open(id: u32) -> io::Result<Self> {
        let pid = i32::try_from(id).ok().and_then(Pid::from_raw).ok_or(io::ErrorKind::InvalidInput)?;
        Ok(Self { id, descriptor: pidfd_open(pid, PidfdFlags::empty())? })
    }

    /// A process from a descriptor that another process opened.
    pub(crate) fn from_descriptor(id: u32, descriptor: OwnedFd) -> Self {
        Self { id, descriptor }
    }

    /// The PID.
    pub(crate) fn id(&self) -> u32 {
        self.id
    }

    /// The descriptor, for sending it.
    pub(crate) fn descriptor(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }

    /// Whether it has exited, or exits within `patience`.
    pub(crate) fn has_ended(&self, patience: Duration) -> bool {
        let patience = PollTimeout::try_from(patience).unwrap_or(PollTimeout::MAX);
        poll(&mut [PollFd::new(self.descriptor.as_fd(), PollFlags::POLLIN)], patience).is_ok_and(|ready| ready > 0)
    }

    /// Kills it, and waits until it exits, at most for `patience`.
    pub(crate) fn end(&self, patience: Duration) {
        // It may have exited already.
        let _ = pidfd_send_signal(&self.descriptor, Signal::KILL);
        if self.has_ended(patience) {
            // If another process is its parent, only that process can wait for it: ECHILD.
            let _: Result<_, Errno> =
                waitid(Id::PIDFd(self.descriptor.as_fd()), WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG);
        }
    }
}
