//! The connection between quell and one of its children: messages of bytes, whole or not at all.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, recv, send, setsockopt, sockopt};
use nix::sys::time::TimeVal;

/// One end of a socket pair of the type `SOCK_SEQPACKET`.
#[derive(Debug)]
pub struct Channel(OwnedFd);

impl Channel {
    pub(super) fn new(socket: OwnedFd) -> Self {
        Self(socket)
    }

    /// Bounds how long one [`send`](Self::send) or [`receive`](Self::receive) may wait; both then fail with
    /// [`io::ErrorKind::WouldBlock`].
    ///
    /// # Errors
    /// The kernel's.
    pub fn set_timeout(&self, limit: Duration) -> io::Result<()> {
        let limit = TimeVal::new(i64::try_from(limit.as_secs()).unwrap_or(i64::MAX), i64::from(limit.subsec_micros()));
        setsockopt(&self.0, sockopt::ReceiveTimeout, &limit)?;
        Ok(setsockopt(&self.0, sockopt::SendTimeout, &limit)?)
    }

    /// Sends one message.
    ///
    /// # Errors
    /// [`io::ErrorKind::BrokenPipe`] where the other end is closed; the kernel's.
    pub fn send(&self, message: &[u8]) -> io::Result<()> {
        loop {
            match send(self.0.as_raw_fd(), message, MsgFlags::MSG_NOSIGNAL) {
                Ok(_) => return Ok(()),
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }

    /// Receives one message into `buffer` and gives its length; 0 where the other end is closed. What does not fit is cut off.
    ///
    /// # Errors
    /// The kernel's.
    pub fn receive(&self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match recv(self.0.as_raw_fd(), buffer, MsgFlags::empty()) {
                Ok(length) => return Ok(length),
                Err(Errno::EINTR) => {}
                // The other end closed with a message of ours unread.
                Err(Errno::ECONNRESET) => return Ok(0),
                Err(errno) => return Err(errno.into()),
            }
        }
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
