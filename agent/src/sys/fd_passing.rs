//! Sends bytes and descriptors over a UNIX stream socket (unix(7), `SCM_RIGHTS`).

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::cmsg_space;
use nix::errno::Errno;
use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, recvmsg, sendmsg};

/// The maximum number of descriptors in a message. The kernel allows 253 (`SCM_MAX_FD`, include/net/scm.h).
pub(crate) const MAX_DESCRIPTORS: usize = 4;

/// Sends some of `bytes`, at least one, with `descriptors` attached to the first byte. Returns the number of bytes sent.
///
/// # Errors
/// The errors of sendmsg(2); `WouldBlock` and `TimedOut` if the socket is configured so.
pub(crate) fn send(socket: BorrowedFd<'_>, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<usize> {
    let raw: Vec<RawFd> = descriptors.iter().map(AsRawFd::as_raw_fd).collect();
    let rights = [ControlMessage::ScmRights(&raw)];
    let control = if raw.is_empty() { &[][..] } else { &rights[..] };
    loop {
        match sendmsg::<()>(socket.as_raw_fd(), &[IoSlice::new(bytes)], control, MsgFlags::MSG_NOSIGNAL, None) {
            Err(Errno::EINTR) => {}
            sent => return Ok(sent?),
        }
    }
}

/// Receives at most `buffer.len()` bytes (0 at the end of the stream), and appends the received descriptors, which are
/// close-on-exec. A message with more than [`MAX_DESCRIPTORS`] descriptors is an error. Without `descriptors`, any descriptor
/// is an error, and the kernel installs none: closing one could block.
///
/// # Errors
/// The errors of recvmsg(2).
pub(crate) fn receive(
    socket: BorrowedFd<'_>,
    buffer: &mut [u8],
    descriptors: Option<&mut Vec<OwnedFd>>,
    flags: MsgFlags,
) -> io::Result<usize> {
    let mut control = descriptors.is_some().then(|| cmsg_space!([RawFd; MAX_DESCRIPTORS]));
    let mut slices = [IoSliceMut::new(buffer)];
    let flags = flags | MsgFlags::MSG_CMSG_CLOEXEC;
    let message = loop {
        match recvmsg::<()>(socket.as_raw_fd(), &mut slices, control.as_deref_mut(), flags) {
            Err(Errno::EINTR) => {}
            received => break received?,
        }
    };
    let mut truncated = message.flags.contains(MsgFlags::MSG_CTRUNC);
    if let Some(descriptors) = descriptors {
        match message.cmsgs() {
            Ok(messages) => {
                for control in messages {
                    if let ControlMessageOwned::ScmRights(received) = control {
                        // SAFETY: the kernel has just installed these descriptors for this process, and nothing else owns them.
                        descriptors.extend(received.into_iter().map(|fd| unsafe { OwnedFd::from_raw_fd(fd) }));
                    }
                }
            }
            Err(_) => truncated = true,
        }
    }
    if truncated {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "too many descriptors in one message"));
    }
    Ok(message.bytes)
}
