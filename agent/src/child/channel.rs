//! Messages between quell and a child process over a stream socket: a JSON head, raw bytes, and file descriptors.
//!
//! Either side may be compromised by its input, so the receiver limits the length of messages, and invalid messages are errors.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use nix::sys::socket::MsgFlags;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::sys::{MAX_DESCRIPTORS, receive, send};

/// The length of the head, the length of the data, and the number of descriptors, each a native `u32`.
const PREFIX: usize = 12;

/// The size of a read, in bytes.
const PIECE: usize = 64 << 10;

/// A received message.
#[derive(Debug)]
pub(crate) struct Message<T> {
    pub(crate) head: T,
    pub(crate) data: Vec<u8>,
    pub(crate) descriptors: Vec<OwnedFd>,
}

/// One end of a connection.
#[derive(Debug)]
pub(crate) struct Channel {
    socket: UnixStream,
    /// The maximum length of a message, head and data together, in bytes.
    limit: usize,
    received: Vec<u8>,
    /// Received descriptors; `None` if descriptors are not accepted.
    descriptors: Option<Vec<OwnedFd>>,
}

impl Channel {
    /// An end that accepts no descriptors: a compromised peer could send one of a file that blocks when it is closed.
    pub(crate) fn new(socket: UnixStream, limit: usize) -> Self {
        Self { socket, limit, received: Vec::new(), descriptors: None }
    }

    /// An end that accepts descriptors, from a trusted peer.
    pub(crate) fn taking_descriptors(mut self) -> Self {
        self.take_descriptors();
        self
    }

    /// Accepts descriptors from now on.
    pub(crate) fn take_descriptors(&mut self) {
        self.descriptors.get_or_insert_default();
    }

    /// Sends a message, within the timeout of the socket.
    ///
    /// # Errors
    /// The peer has closed its end, or does not read.
    pub(crate) fn send(&self, head: &impl Serialize, data: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
        let head = serde_json::to_vec(head)?;
        let length = |length: usize| u32::try_from(length).map_err(io::Error::other).map(u32::to_ne_bytes);
        let mut bytes = Vec::with_capacity(PREFIX + head.len() + data.len());
        bytes.extend(length(head.len())?);
        bytes.extend(length(data.len())?);
        bytes.extend(length(descriptors.len())?);
        bytes.extend_from_slice(&head);
        bytes.extend_from_slice(data);
        let mut sent = send(self.socket.as_fd(), &bytes, descriptors)?;
        while sent < bytes.len() {
            sent += send(self.socket.as_fd(), &bytes[sent..], &[])?;
        }
        Ok(())
    }

    /// Waits for the next message; `None` at the end of the connection.
    ///
    /// # Errors
    /// The connection fails, or the message is invalid.
    pub(crate) fn receive<T: DeserializeOwned>(&mut self) -> io::Result<Option<Message<T>>> {
        loop {
            if let Some(message) = self.take()? {
                return Ok(Some(message));
            }
            if !self.fill(MsgFlags::empty())? {
                return Ok(None);
            }
        }
    }

    /// The next message, without waiting; `None` if it has not arrived. The end of the connection is the error `UnexpectedEof`.
    ///
    /// # Errors
    /// As [`Channel::receive`].
    pub(crate) fn try_receive<T: DeserializeOwned>(&mut self) -> io::Result<Option<Message<T>>> {
        loop {
            if let Some(message) = self.take()? {
                return Ok(Some(message));
            }
            match self.fill(MsgFlags::MSG_DONTWAIT) {
                Ok(true) => {}
                Ok(false) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) => return Err(error),
            }
        }
    }

    fn fill(&mut self, flags: MsgFlags) -> io::Result<bool> {
        let before = self.received.len();
        self.received.resize(before + PIECE, 0);
        let result = receive(self.socket.as_fd(), &mut self.received[before..], self.descriptors.as_mut(), flags);
        self.received.truncate(before + result.as_ref().copied().unwrap_or(0));
        if self.descriptors.as_ref().is_some_and(|waiting| waiting.len() > 4 * MAX_DESCRIPTORS) {
            return Err(damaged("too many descriptors"));
        }
        Ok(result? > 0)
    }

    fn take<T: DeserializeOwned>(&mut self) -> io::Result<Option<Message<T>>> {
        let Some(prefix) = self.received.first_chunk::<PREFIX>() else { return Ok(None) };
        let number =
            |at: usize| u32::from_ne_bytes([prefix[at], prefix[at + 1], prefix[at + 2], prefix[at + 3]]) as usize;
        let (head, data, descriptors) = (number(0), number(4), number(8));
        if head.saturating_add(data) > self.limit || descriptors > MAX_DESCRIPTORS {
            return Err(damaged("a message is too long"));
        }
        let end = PREFIX + head + data;
        if self.received.len() < end {
            return Ok(None);
        }
        let there = self.descriptors.as_deref().unwrap_or_default().len();
        if there < descriptors {
            return Err(damaged("a message lacks its descriptors"));
        }
        let message = Message {
            head: serde_json::from_slice(&self.received[PREFIX..PREFIX + head])?,
            data: self.received[PREFIX + head..end].to_vec(),
            descriptors: self.descriptors.iter_mut().flat_map(|all| all.drain(..descriptors)).collect(),
        };
        self.received.drain(..end);
        Ok(Some(message))
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn damaged(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Seek as _, Write as _};

    use super::*;

    fn pair(limit: usize) -> (Channel, Channel) {
        let (one, other) = UnixStream::pair().expect("a socket pair");
        (Channel::new(one, limit), Channel::new(other, limit).taking_descriptors())
    }

    #[test]
    fn descriptors_that_are_not_expected_are_an_error_and_not_installed() {
        let (mut one, other) = pair(100);
        let (file, mut reader) = UnixStream::pair().expect("a socket pair");
        other.send(&"x", &[], &[file.as_fd(), file.as_fd()]).expect("sent");
        drop(file);
        assert_eq!(one.receive::<String>().expect_err("not taken").kind(), io::ErrorKind::InvalidData);
        // No copy of the descriptor is open.
        assert_eq!(reader.read(&mut [0]).ok(), Some(0));
    }

    #[test]
    fn a_message_arrives_whole_and_with_its_own_descriptors() {
        let (one, mut other) = pair(1 << 20);
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(b"content").expect("written");
        let data: Vec<u8> = (0..600_000u32).map(|byte| byte as u8).collect();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                one.send(&"first", &data, &[]).expect("sent");
                one.send(&"second", &[], &[file.as_fd()]).expect("sent");
            });
            let first: Message<String> = other.receive().expect("received").expect("a message");
            assert_eq!((first.head.as_str(), first.descriptors.len()), ("first", 0));
            assert!(first.data == data);
            let second: Message<String> = other.receive().expect("received").expect("a message");
            assert_eq!((second.head.as_str(), second.data.len()), ("second", 0));
            let mut received = std::fs::File::from(second.descriptors.into_iter().next().expect("a descriptor"));
            let mut text = String::new();
            received.rewind().and_then(|()| received.read_to_string(&mut text)).expect("readable");
            assert_eq!(text, "content");
        });
        drop(one);
        assert!(other.receive::<String>().expect("the end").is_none());
    }

    #[test]
    fn a_message_that_claims_to_be_long_is_refused_before_it_comes() {
        let (one, mut other) = pair(100);
        let mut lie = Vec::new();
        for length in [u32::MAX, u32::MAX, 0] {
            lie.extend(length.to_ne_bytes());
        }
        send(one.as_fd(), &lie, &[]).expect("sent");
        assert_eq!(other.receive::<String>().expect_err("too long").kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn a_message_is_not_taken_before_it_is_whole() {
        let (one, mut other) = pair(100);
        assert!(other.try_receive::<String>().expect("nothing yet").is_none());
        let head = serde_json::to_vec("x").expect("JSON");
        let mut bytes = Vec::new();
        for length in [head.len() as u32, 2, 0] {
            bytes.extend(length.to_ne_bytes());
        }
        bytes.extend(head);
        bytes.push(7);
        send(one.as_fd(), &bytes, &[]).expect("sent");
        assert!(other.try_receive::<String>().expect("half").is_none());
        send(one.as_fd(), &[8], &[]).expect("sent");
        assert_eq!(other.try_receive::<String>().expect("whole").expect("a message").data, [7, 8]);
    }
}
