//! Netlink requests, one at a time, with the kernel's error messages.
//!
//! The crates for ethtool's netlink protocol (rust-netlink's `ethtool`, neli) require an async runtime or lack most of the
//! settings that quell changes. This file implements the required part of the protocol.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd as _, OwnedFd};

/// The kernel service of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Service {
    /// `NETLINK_ROUTE`: interfaces.
    Route,
    /// `NETLINK_GENERIC`: families by name.
    Generic,
}

/// A rejected request.
#[derive(Debug)]
pub(crate) struct Refusal {
    /// The errno.
    pub(crate) source: io::Error,
    /// The message of the kernel (`NLMSGERR_ATTR_MSG`), which many errors do not have.
    pub(crate) words: Option<String>,
}

impl From<io::Error> for Refusal {
    fn from(source: io::Error) -> Self {
        Self { source, words: None }
    }
}

impl From<Refusal> for io::Error {
    /// An error with the errno and the message; its kind is that of the errno.
    fn from(refusal: Refusal) -> Self {
        match refusal.words {
            Some(words) => Self::new(refusal.source.kind(), format!("{} ({words})", refusal.source)),
            None => refusal.source,
        }
    }
}

/// A netlink socket, in the network namespace of the thread that opened it.
#[derive(Debug)]
pub(crate) struct Netlink {
    socket: OwnedFd,
    sequence: u32,
}

// include/uapi/linux/netlink.h
const HEADER: usize = 16;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const NLM_F_REQUEST: u16 = 1;
const NLM_F_ACK: u16 = 4;
const NLM_F_CAPPED: u16 = 0x100;
const NLM_F_ACK_TLVS: u16 = 0x200;
const NLMSGERR_ATTR_MSG: u16 = 1;
const NLA_TYPE_MASK: u16 = 0x3fff;
const NLA_F_NESTED: u16 = 0x8000;

impl Netlink {
    pub(crate) fn open(service: Service) -> io::Result<Self> {
        let protocol = match service {
            Service::Route => libc::NETLINK_ROUTE,
            Service::Generic => libc::NETLINK_GENERIC,
        };
        // SAFETY: socket takes only numbers; its result is checked, and nothing else owns the descriptor.
        let socket = unsafe {
            let fd = libc::socket(libc::AF_NETLINK, libc::SOCK_RAW | libc::SOCK_CLOEXEC, protocol);
            if fd < 0 {
                return Err(io::Error::last_os_error());
            }
            OwnedFd::from_raw_fd(fd)
        };
        let on: libc::c_int = 1;
        // NETLINK_EXT_ACK since 4.12, NETLINK_CAP_ACK since 4.3. Without them, only the messages are missing.
        for option in [libc::NETLINK_EXT_ACK, libc::NETLINK_CAP_ACK] {
            // SAFETY: the kernel reads an int from a reference that is valid during the call.
            unsafe {
                libc::setsockopt(
                    socket.as_raw_fd(),
                    libc::SOL_NETLINK,
                    option,
                    (&raw const on).cast(),
                    size_of::<libc::c_int>() as libc::socklen_t,
                );
            }
        }
        Ok(Self { socket, sequence: 0 })
    }

    /// Sends a request and waits for the end of the answer. Returns the messages of the answer without their headers.
    pub(crate) fn request(&mut self, kind: u16, payload: &[u8]) -> Result<Vec<Vec<u8>>, Refusal> {
        self.sequence += 1;
        let length = u32::try_from(HEADER + payload.len()).map_err(io::Error::other)?;
        let mut message = Vec::with_capacity(HEADER + payload.len());
        message.extend(length.to_ne_bytes());
        message.extend(kind.to_ne_bytes());
        message.extend((NLM_F_REQUEST | NLM_F_ACK).to_ne_bytes());
        message.extend(self.sequence.to_ne_bytes());
        message.extend(0u32.to_ne_bytes());
        message.extend(payload);
        self.send(&message)?;
        let mut answers = Vec::new();
        let mut buffer = vec![0; 64 << 10];
        loop {
            let received = self.receive(&mut buffer)?;
            let mut rest = &buffer[..received];
            while let Some((header, message, after)) = take_message(rest) {
                rest = after;
                match header.kind {
                    // An answer to an earlier request that failed before it was read completely.
                    _ if header.sequence != self.sequence => {}
                    NLMSG_ERROR => return acknowledged(header.flags, message).map(|()| answers),
                    NLMSG_DONE => return Ok(answers),
                    _ => answers.push(message.to_vec()),
                }
            }
        }
    }

    fn send(&self, message: &[u8]) -> io::Result<()> {
        // SAFETY: the kernel reads at most the length of the slice. Without an address, a netlink socket sends to the kernel.
        let sent = unsafe { libc::send(self.socket.as_raw_fd(), message.as_ptr().cast(), message.len(), 0) };
        if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    fn receive(&self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            // SAFETY: the kernel writes at most the length of the slice.
            let got = unsafe { libc::recv(self.socket.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len(), 0) };
            match usize::try_from(got) {
                Ok(got) => return Ok(got),
                Err(_) => match io::Error::last_os_error() {
                    error if error.kind() == io::ErrorKind::Interrupted => {}
                    error => return Err(error),
                },
            }
        }
    }
}

struct Header {
    kind: u16,
    flags: u16,
    sequence: u32,
}

/// The first message of a buffer (header and content), and the remaining bytes.
fn take_message(bytes: &[u8]) -> Option<(Header, &[u8], &[u8])> {
    let length = usize::try_from(u32_at(bytes, 0)?).ok()?;
    let header = Header { kind: u16_at(bytes, 4)?, flags: u16_at(bytes, 6)?, sequence: u32_at(bytes, 8)? };
    let message = bytes.get(HEADER..length)?;
    Some((header, message, bytes.get(length.next_multiple_of(4)..).unwrap_or_default()))
}

/// Parses an `NLMSG_ERROR`: an errno, the request (only its header if the answer is capped), and attributes.
fn acknowledged(flags: u16, message: &[u8]) -> Result<(), Refusal> {
    let number = u32_at(message, 0).unwrap_or_default().cast_signed();
    if number == 0 {
        return Ok(());
    }
    let request = match u32_at(message, 4) {
        Some(length) if flags & NLM_F_CAPPED == 0 => usize::try_from(length).unwrap_or(HEADER),
        _ => HEADER,
    };
    let attributes = message.get(4 + request.next_multiple_of(4)..).filter(|_| flags & NLM_F_ACK_TLVS != 0);
    let words = attributes.and_then(|bytes| find(bytes, NLMSGERR_ATTR_MSG)).map(text);
    Err(Refusal { source: io::Error::from_raw_os_error(-number), words })
}

/// The attributes of a message to send.
#[derive(Clone, Debug, Default)]
pub(crate) struct Attributes(Vec<u8>);

impl Attributes {
    /// Attributes after the header of the family.
    pub(crate) fn after(header: &[u8]) -> Self {
        Self(header.to_vec())
    }

    pub(crate) fn put(mut self, kind: u16, value: &[u8]) -> Self {
        // A value longer than an attribute is a name that cannot exist, and is sent as an empty value.
        let length = u16::try_from(4 + value.len()).unwrap_or(4);
        self.0.extend(length.to_ne_bytes());
        self.0.extend(kind.to_ne_bytes());
        self.0.extend(&value[..usize::from(length) - 4]);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
        self
    }

    pub(crate) fn text(self, kind: u16, value: &str) -> Self {
        let mut bytes = value.as_bytes().to_vec();
        bytes.push(0);
        self.put(kind, &bytes)
    }

    pub(crate) fn nest(self, kind: u16, inner: &Self) -> Self {
        self.put(kind | NLA_F_NESTED, &inner.0)
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// The attributes of a received message, as types and values.
pub(crate) fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = usize::from(u16_at(bytes, 0)?);
        let kind = u16_at(bytes, 2)? & NLA_TYPE_MASK;
        let value = bytes.get(4..length)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    })
}

/// The first attribute of a type.
pub(crate) fn find(bytes: &[u8], kind: u16) -> Option<&[u8]> {
    attributes(bytes).find(|(found, _)| *found == kind).map(|(_, value)| value)
}

/// A number of one, two or four bytes.
pub(crate) fn number(value: &[u8]) -> Option<u32> {
    match *value {
        [byte] => Some(u32::from(byte)),
        [a, b] => Some(u32::from(u16::from_ne_bytes([a, b]))),
        [a, b, c, d] => Some(u32::from_ne_bytes([a, b, c, d])),
        _ => None,
    }
}

/// A text, without its terminating NUL byte.
pub(crate) fn text(value: &[u8]) -> String {
    String::from_utf8_lossy(value).trim_end_matches('\0').to_owned()
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_read_back_as_they_were_put() {
        let inner = Attributes::default().text(2, "eth0").put(1, &7u32.to_ne_bytes());
        let outer = Attributes::default().nest(1, &inner).put(9, &[1]);
        let nest = find(outer.bytes(), 1).expect("the nest");
        assert_eq!(find(nest, 2).map(text).as_deref(), Some("eth0"));
        assert_eq!(find(nest, 1).and_then(number), Some(7));
        assert_eq!(find(outer.bytes(), 9).and_then(number), Some(1));
        assert_eq!(find(outer.bytes(), 3), None);
    }

    #[test]
    fn a_cut_message_is_no_message() {
        let whole = Attributes::default().put(1, &[1, 2, 3, 4]);
        for end in 0..whole.bytes().len() {
            assert_eq!(attributes(&whole.bytes()[..end]).count(), 0);
        }
    }

    #[test]
    fn the_kernel_says_why_it_refuses_an_interface_that_is_not_there() {
        let mut route = Netlink::open(Service::Route).expect("a socket");
        // RTM_GETLINK of include/uapi/linux/rtnetlink.h, with an empty ifinfomsg.
        let request = Attributes::after(&[0; 16]).text(3, "no-such-nic");
        let refusal = route.request(18, request.bytes()).expect_err("there is no such interface");
        assert_eq!(refusal.source.raw_os_error(), Some(libc::ENODEV));
    }
}
