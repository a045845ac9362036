//! Packet timestamping, which stays enabled as long as quell holds a socket open.

use std::io;
use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::OwnedFd;

use nix::sys::socket::{setsockopt, sockopt};

use crate::host::Host;
use crate::tune::knob::error::KnobError;
use crate::tune::knob::knob::Knob;
use crate::tune::knob::reading::{Held, Reading};
use crate::tune::knob::spec::{KnobSpec, Lifetime};
use crate::tune::value::{KnobTarget, Value, ValueKind};

/// A knob that holds a socket which requests timestamps.
pub(super) struct HeldTimestamps;

static SPEC: KnobSpec = KnobSpec {
    id: "net.timestamps_held",
    doc: "Whether quell holds a socket that requests timestamps. The kernel enables timestamping with the first such socket and disables \
          it with the last one. Each time it patches its code, which interrupts all CPUs: whenever `tcpdump`, `ping` or `chronyd` \
          start or stop. While the socket is held, timestamping stays enabled.",
    source: "net_enable_timestamp, net/core/dev.c; sock_enable_timestamp, net/core/sock.c",
    kind: ValueKind::Switch,
    lifetime: Lifetime::WhileHeld,
    ..KnobSpec::RUNTIME
};

/// Identifies quell's socket, because the kernel does not report which process requests timestamps: a loopback address that
/// nothing else uses.
const MARK: Ipv4Addr = Ipv4Addr::new(127, 113, 108, 1);

const SOCKETS: &str = "/proc/net/udp";

/// Whether a line of the file starts with the marker address (get_openreq4 and udp4_format_sock print the address as a word in
/// memory order).
fn is_mark(line: &str) -> bool {
    let mark = format!("{:08X}:", u32::from_ne_bytes(MARK.octets()));
    line.split_whitespace().nth(1).is_some_and(|address| address.starts_with(&mark))
}

impl Knob for HeldTimestamps {
    fn spec(&self) -> &KnobSpec {
        &SPEC
    }

    fn read(&self, host: &Host, _: &KnobTarget) -> Result<Reading, KnobError> {
        match host.root.read(SOCKETS) {
            Ok(sockets) => Ok(Reading::Value(Value::Switch(sockets.lines().any(is_mark)))),
            Err(_) => Ok(Reading::Absent(format!("{SOCKETS} does not exist"))),
        }
    }

    fn write(&self, host: &Host, _: &KnobTarget, value: &Value) -> Result<Held, KnobError> {
        let path = host.root.display_path(SOCKETS);
        let on = *value == Value::Switch(true);
        if !host.root.is_host() {
            return set_in_tree(host, on)
                .map(|()| Held::Nothing)
                .map_err(|source| KnobError::from_write(path, value.to_string(), source));
        }
        if !on {
            // The request ends when the process that holds the socket closes it.
            return Ok(Held::Nothing);
        }
        hold().map(Held::Open).map_err(|error| KnobError::Refused { path, value: value.to_string(), source: error })
    }
}

fn hold() -> io::Result<OwnedFd> {
    let socket = UdpSocket::bind((MARK, 0))?;
    setsockopt(&socket, sockopt::ReceiveTimestamp, &true)?;
    Ok(socket.into())
}

/// Edits the list of sockets in the same way as the kernel would.
fn set_in_tree(host: &Host, on: bool) -> io::Result<()> {
    let text = host.root.read_text(SOCKETS)?;
    let mut lines: Vec<String> = text.lines().filter(|line| !is_mark(line)).map(str::to_owned).collect();
    if on {
        lines.push(format!("    0: {:08X}:0001 00000000:0000 07", u32::from_ne_bytes(MARK.octets())));
    }
    host.root.put(SOCKETS, &lines.iter().map(|line| format!("{line}\n")).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::Root;
    use crate::tune::knob::fake;

    #[test]
    fn it_is_in_force_while_it_is_held() {
        let mut host = fake::host(&[]).1;
        host.root = Root::host();
        let now = || HeldTimestamps.read(&host, &KnobTarget::Host).expect("a reading");
        let Reading::Value(Value::Switch(false)) = now() else {
            crate::skip!("a host without a program that has packets timestamped")
        };
        let held = HeldTimestamps.write(&host, &KnobTarget::Host, &Value::Switch(true)).expect("a socket");
        let Held::Open(socket) = &held else { panic!("a socket is held") };
        assert!(nix::sys::socket::getsockopt(socket, sockopt::ReceiveTimestamp).expect("an option"));
        assert_eq!(now(), Reading::Value(Value::Switch(true)));
        drop(held);
        fake::after_closing(|| now() == Reading::Value(Value::Switch(false)));
    }
}
