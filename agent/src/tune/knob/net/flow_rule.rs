//! Flow rules as text.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

use bytemuck::Zeroable as _;

use crate::sys::ethtool::FlowSpec;

/// A rule without its location.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FlowRule {
    pub(super) spec: FlowSpec,
    /// The RSS context, if the flow type includes one.
    pub(super) context: u32,
}

// include/uapi/linux/ethtool.h
const TCP_V4_FLOW: u32 = 1;
const UDP_V4_FLOW: u32 = 2;
/// `RX_CLS_FLOW_DISC` (include/uapi/linux/ethtool.h): drops the packets.
const DROP: u64 = u64::MAX;

/// The fields of `struct ethtool_tcpip4_spec`: keyword, offset and length in bytes.
const FIELDS: [(&str, usize, usize); 4] = [("src-ip", 0, 4), ("dst-ip", 4, 4), ("src-port", 8, 2), ("dst-port", 10, 2)];

impl FromStr for FlowRule {
    type Err = String;

    /// Parses `udp4 dst-ip 239.1.1.1 dst-port 5000 queue 3`. A rule that cannot be expressed in this syntax is `raw` followed
    /// by hexadecimal bytes.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut words = text.split_whitespace();
        let flow_type = match words.next() {
            Some("tcp4") => TCP_V4_FLOW,
            Some("udp4") => UDP_V4_FLOW,
            Some("raw") => return raw(words.next().unwrap_or_default()),
            _ => return Err("a rule begins with `tcp4` or `udp4`".to_owned()),
        };
        let mut spec = FlowSpec { flow_type, ..FlowSpec::zeroed() };
        let mut target = None;
        while let Some(word) = words.next() {
            if word == "drop" {
                target = Some(DROP);
                continue;
            }
            let value = words.next().ok_or_else(|| format!("`{word}` needs a value"))?;
            let wrong = || format!("`{value}` is not a value of `{word}`");
            if word == "queue" {
                target = Some(u64::from(value.parse::<u32>().map_err(|_| wrong())?));
                continue;
            }
            let (_, at, length) = FIELDS.into_iter().find(|(name, ..)| *name == word).ok_or_else(|| {
                format!("`{word}` is not a field of a rule: use src-ip, dst-ip, src-port, dst-port, queue or drop")
            })?;
            let bytes = match length {
                4 => value.parse::<Ipv4Addr>().map_err(|_| wrong())?.octets().to_vec(),
                _ => value.parse::<u16>().map_err(|_| wrong())?.to_be_bytes().to_vec(),
            };
            spec.value[at..at + length].copy_from_slice(&bytes);
            spec.mask[at..at + length].fill(0xff);
        }
        spec.ring_cookie = target.ok_or("a rule ends with `queue` and a number, or `drop`")?;
        Ok(Self { spec, context: 0 })
    }
}

fn raw(hex: &str) -> Result<FlowRule, String> {
    let byte = |at: usize| hex.get(at..at + 2).and_then(|digits| u8::from_str_radix(digits, 16).ok());
    let bytes: Option<Vec<u8>> = (0..hex.len()).step_by(2).map(byte).collect();
    let bytes = bytes.filter(|bytes| bytes.len() == size_of::<FlowSpec>() + 4).ok_or("it is not a complete rule")?;
    let (spec, context) = bytes.split_at(size_of::<FlowSpec>());
    let context = context.try_into().map(u32::from_ne_bytes).map_err(|_| "it is not a complete rule")?;
    Ok(FlowRule { spec: bytemuck::pod_read_unaligned(spec), context })
}

impl FlowRule {
    /// The rule for a location of the table, as the kernel expects it.
    pub(super) fn at(&self, location: u32) -> FlowSpec {
        FlowSpec { location, ..self.spec }
    }

    /// The rule as words, if it can be expressed.
    fn words(&self) -> Option<String> {
        let mut text = match self.spec.flow_type {
            TCP_V4_FLOW => "tcp4".to_owned(),
            UDP_V4_FLOW => "udp4".to_owned(),
            _ => return None,
        };
        for (name, at, length) in FIELDS {
            let (value, mask) = (&self.spec.value[at..at + length], &self.spec.mask[at..at + length]);
            match (mask, value) {
                _ if mask.iter().all(|byte| *byte == 0) => {}
                ([0xff, 0xff, 0xff, 0xff], &[a, b, c, d]) => text += &format!(" {name} {}", Ipv4Addr::new(a, b, c, d)),
                ([0xff, 0xff], &[a, b]) => text += &format!(" {name} {}", u16::from_be_bytes([a, b])),
                _ => return None,
            }
        }
        text += &match self.spec.ring_cookie {
            DROP => " drop".to_owned(),
            queue => format!(" queue {queue}"),
        };
        Some(text)
    }
}

impl fmt::Display for FlowRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let without_location = FlowSpec { location: 0, ..self.spec };
        let same =
            |words: &String| words.parse().is_ok_and(|rule: Self| rule == Self { spec: without_location, ..*self });
        if let Some(words) = self.words().filter(same) {
            return f.write_str(&words);
        }
        f.write_str("raw ")?;
        let context = self.context.to_ne_bytes();
        bytemuck::bytes_of(&without_location).iter().chain(&context).try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_parses_as_it_is_written() {
        for text in [
            "udp4 dst-ip 239.1.1.1 dst-port 5000 queue 3",
            "tcp4 src-ip 10.0.0.1 src-port 443 queue 0",
            "udp4 dst-port 9 drop",
        ] {
            assert_eq!(text.parse::<FlowRule>().map(|rule| rule.to_string()).as_deref(), Ok(text));
        }
        for wrong in ["", "udp4", "udp4 dst-port 70000 queue 1", "udp4 queue", "ip4 queue 1", "udp4 tos 1 queue 1"] {
            assert!(wrong.parse::<FlowRule>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_rule_that_words_cannot_express_keeps_every_byte() {
        let mut rule: FlowRule = "udp4 dst-port 5000 queue 3".parse().expect("a rule");
        rule.spec.mask[10] = 0xf0;
        rule.context = 2;
        let text = rule.to_string();
        assert!(text.starts_with("raw "), "{text}");
        assert_eq!(text.parse(), Ok(rule));
    }

    #[test]
    fn a_rule_gets_its_location_and_is_unchanged_otherwise() {
        let rule: FlowRule = "udp4 dst-port 5000 queue 3".parse().expect("a rule");
        let placed = rule.at(17);
        assert_eq!((placed.location, placed.ring_cookie, placed.flow_type), (17, 3, UDP_V4_FLOW));
        assert_eq!(FlowSpec { location: 0, ..placed }, rule.spec);
    }
}
