//! The kernel's switch for stamping packets with the time, kept on.

use std::io;
use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::OwnedFd;

use nix::sys::socket::{setsockopt, sockopt};

use crate::host::Host;
use crate::tune::knob::{Held, Knob, KnobError, KnobSpec, Lifetime, Reading};
use crate::tune::{Kind, Target, Value};

/// A socket that asks for time stamps.
pub(super) struct Timestamps;

static SPEC: KnobSpec = KnobSpec {
    id: "net.timestamps_held",
    doc: "Whether quell holds a socket that asks for time stamps. The kernel turns stamping on with the first such socket and off \
          with the last, each time by changing its code under all CPUs, with an interrupt to each: `tcpdump`, `ping` and `chronyd` \
          come and go. Held, it stays on.",
    source: "net_enable_timestamp, net/core/dev.c; sock_enable_timestamp, net/core/sock.c",
    kind: Kind::Switch,
    lifetime: Lifetime::WhileHeld,
    ..KnobSpec::RUNTIME
};

/// What tells quell's socket from others, since the kernel does not say who asks: an address of the loopback interface that
/// nobody else has a use for.
const MARK: Ipv4Addr = Ipv4Addr::new(127, 113, 108, 1);

const SOCKETS: &str = "/proc/net/udp";

/// How a line of the file begins with the mark (get_openreq4 and udp4_format_sock: the address as a word in memory).
fn is_mark(line: &str) -> bool {
    let mark = format!("{:08X}:", u32::from_ne_bytes(MARK.octets()));
    line.split_whitespace().nth(1).is_some_and(|address| address.starts_with(&mark))
}

impl Knob for Timestamps {
    fn spec(&self) -> &KnobSpec {
        &SPEC
    }

    fn targets(&self, _: &Host) -> Vec<Target> {
        vec![Target::Host]
    }

    fn read(&self, host: &Host, _: &Target) -> Result<Reading, KnobError> {
        match host.root.read(SOCKETS) {
            Ok(sockets) => Ok(Reading::Value(Value::Switch(sockets.lines().any(is_mark)))),
            Err(_) => Ok(Reading::Absent(format!("there is no {SOCKETS}"))),
        }
    }

    fn normalize(&self, _: &Host, _: &Target, value: &Value) -> Result<Value, KnobError> {
        Ok(value.clone())
    }

    fn write(&self, host: &Host, _: &Target, value: &Value) -> Result<Held, KnobError> {
        let path = host.root.display_path(SOCKETS);
        let on = *value == Value::Switch(true);
        if !host.root.is_host() {
            return in_tree(host, on)
                .map(|()| Held::Nothing)
                .map_err(|source| KnobError::from_write(path, value.to_string(), source));
        }
        if !on {
            // It goes with who holds it.
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

/// As the kernel would list it.
fn in_tree(host: &Host, on: bool) -> io::Result<()> {
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
    fn it_is_seen_for_as_long_as_it_is_held() {
        let mut host = fake::host(&[]).1;
        host.root = Root::host();
        let now = || Timestamps.read(&host, &Target::Host).expect("a reading");
        let Reading::Value(Value::Switch(false)) = now() else {
            crate::skip!("a host without a program that has packets timestamped")
        };
        let held = Timestamps.write(&host, &Target::Host, &Value::Switch(true)).expect("a socket");
        let Held::Open(socket) = &held else { panic!("it is held") };
        assert!(nix::sys::socket::getsockopt(socket, sockopt::ReceiveTimestamp).expect("an option"));
        assert_eq!(now(), Reading::Value(Value::Switch(true)));
        drop(held);
        fake::after_closing(|| now() == Reading::Value(Value::Switch(false)));
    }
}
