//! Access to card settings of the running kernel: by netlink, and by `ioctl` if netlink lacks them.

use std::io;
use std::path::PathBuf;

use super::card::{Card, CardResult, Field, Message, RssTable, Width};
use crate::sys::ethtool;
use crate::sys::netlink::{self, Attributes, Netlink, Refusal, Service};
use crate::tune::knob::error::KnobError;
use crate::tune::knob::net::flow_rule::FlowRule;

/// Cards of the running kernel.
pub(super) struct KernelCard;

// include/uapi/linux/genetlink.h
const GENL_ID_CTRL: u16 = 0x10;
const CTRL_CMD_GETFAMILY: u8 = 3;
const CTRL_ATTR_FAMILY_ID: u16 = 1;
const CTRL_ATTR_FAMILY_NAME: u16 = 2;
// include/uapi/linux/ethtool_netlink.h: the family since 5.6, all of these messages since 5.7.
const ETHTOOL_A_HEADER: u16 = 1;
const ETHTOOL_A_HEADER_DEV_NAME: u16 = 2;
const ETHTOOL_MSG_FEATURES_GET: u8 = 11;
const ETHTOOL_MSG_FEATURES_SET: u8 = 12;
const ETHTOOL_A_FEATURES_HW: u16 = 2;
const ETHTOOL_A_FEATURES_WANTED: u16 = 3;
const ETHTOOL_A_FEATURES_ACTIVE: u16 = 4;
const ETHTOOL_A_FEATURES_NOCHANGE: u16 = 5;
const ETHTOOL_A_BITSET_NOMASK: u16 = 1;
const ETHTOOL_A_BITSET_BITS: u16 = 3;
const ETHTOOL_A_BITSET_BITS_BIT: u16 = 1;
const ETHTOOL_A_BITSET_BIT_NAME: u16 = 2;
const ETHTOOL_A_BITSET_BIT_VALUE: u16 = 3;
// include/uapi/linux/rtnetlink.h
const RTM_NEWLINK: u16 = 16;
const RTM_GETLINK: u16 = 18;
const IFLA_IFNAME: u16 = 3;
/// An empty `struct ifinfomsg`: an attribute names the interface.
const IFINFOMSG: [u8; 16] = [0; 16];

impl Message {
    /// `ETHTOOL_MSG_*_GET` and `_SET`; `None` for rtnetlink.
    fn ethtool_ids(self) -> Option<(u8, u8)> {
        match self {
            Self::Rings => Some((15, 16)),
            Self::Channels => Some((17, 18)),
            Self::Coalescing => Some((19, 20)),
            Self::Pause => Some((21, 22)),
            Self::Eee => Some((23, 24)),
            Self::Link => None,
        }
    }
}

/// A socket, and the ID of the netlink family of ethtool.
struct Ethtool {
    socket: Netlink,
    family: u16,
}

impl Ethtool {
    fn open() -> Result<Self, Refusal> {
        let mut socket = Netlink::open(Service::Generic)?;
        let request = Attributes::after(&[CTRL_CMD_GETFAMILY, 1, 0, 0]).text(CTRL_ATTR_FAMILY_NAME, "ethtool");
        let answers = socket.request(GENL_ID_CTRL, request.bytes())?;
        let family = answers.first().and_then(|answer| netlink::find(answer.get(4..)?, CTRL_ATTR_FAMILY_ID));
        let family = family.and_then(netlink::number).and_then(|id| u16::try_from(id).ok());
        let family =
            family.ok_or_else(|| io::Error::other("the kernel did not report the netlink family of ethtool"))?;
        Ok(Self { socket, family })
    }

    /// Sends a message about an interface. Returns the attributes of the reply, if there is one.
    fn call(nic: &str, message: u8, more: impl FnOnce(Attributes) -> Attributes) -> Result<Option<Vec<u8>>, Refusal> {
        let mut ethtool = Self::open()?;
        let header = Attributes::default().text(ETHTOOL_A_HEADER_DEV_NAME, nic);
        let request = more(Attributes::after(&[message, 1, 0, 0]).nest(ETHTOOL_A_HEADER, &header));
        let answers = ethtool.socket.request(ethtool.family, request.bytes())?;
        Ok(answers.into_iter().next().map(|answer| answer.get(4..).unwrap_or_default().to_vec()))
    }
}

/// The attributes of a message.
fn attributes(nic: &str, message: Message) -> CardResult<Vec<u8>> {
    let answer = match message.ethtool_ids() {
        Some((get, _)) => Ethtool::call(nic, get, |request| request),
        None => link(nic),
    };
    match answer {
        Ok(answer) => Ok(Ok(answer.unwrap_or_default())),
        Err(refusal) => unsupported_or_error(refusal.source, nic, message.fields()),
    }
}

fn link(nic: &str) -> Result<Option<Vec<u8>>, Refusal> {
    let request = Attributes::after(&IFINFOMSG).text(IFLA_IFNAME, nic);
    let answers = Netlink::open(Service::Route)?.request(RTM_GETLINK, request.bytes())?;
    Ok(answers.into_iter().next().map(|answer| answer.get(IFINFOMSG.len()..).unwrap_or_default().to_vec()))
}

/// Maps the error of a failed read: the driver may not support the setting.
fn unsupported_or_error<T>(error: io::Error, nic: &str, what: &str) -> CardResult<T> {
    match error.raw_os_error() {
        Some(libc::EOPNOTSUPP) => Ok(Err(format!("the driver does not support {what}"))),
        Some(libc::ENODEV) => Ok(Err(format!("there is no network interface {nic}"))),
        _ => Err(KnobError::Read { path: PathBuf::from(format!("{what} of {nic}")), source: error }),
    }
}

/// Builds the error of a refused write.
fn refused(nic: &str, what: &str, value: impl ToString, error: impl Into<io::Error>) -> KnobError {
    KnobError::from_write(PathBuf::from(format!("{what} of {nic}")), value.to_string(), error.into())
}

/// Whether a feature is in a bit set of the reply about features. A bit set with a mask lists the features of the mask, and
/// whether each is in the set. A bit set without a mask lists only its members.
fn in_set(answer: &[u8], set: u16, name: &str) -> bool {
    let Some(set) = netlink::find(answer, set) else { return false };
    let without_mask = netlink::find(set, ETHTOOL_A_BITSET_NOMASK).is_some();
    let bits = netlink::attributes(netlink::find(set, ETHTOOL_A_BITSET_BITS).unwrap_or_default());
    bits.filter(|(kind, _)| *kind == ETHTOOL_A_BITSET_BITS_BIT).any(|(_, bit)| {
        let named = netlink::find(bit, ETHTOOL_A_BITSET_BIT_NAME).is_some_and(|known| netlink::text(known) == name);
        named && (without_mask || netlink::find(bit, ETHTOOL_A_BITSET_BIT_VALUE).is_some())
    })
}

impl Card for KernelCard {
    fn number(&self, nic: &str, field: &Field) -> CardResult<u32> {
        Ok(attributes(nic, field.message)?.and_then(|answer| {
            // The driver's supported_coalesce_params and its ring and channel limits determine which attributes are present.
            let value = netlink::find(&answer, field.attribute).and_then(netlink::number);
            value.ok_or_else(|| format!("the driver does not support {}", field.name))
        }))
    }

    fn limit(&self, nic: &str, field: &Field) -> Result<Option<u32>, KnobError> {
        let Some(limit) = field.limit else { return Ok(None) };
        let answer = attributes(nic, field.message)?.unwrap_or_default();
        Ok(netlink::find(&answer, limit).and_then(netlink::number))
    }

    fn set_number(&self, nic: &str, field: &Field, number: u32) -> Result<(), KnobError> {
        let bytes = number.to_ne_bytes();
        let value = match field.width {
            Width::Byte => &[u8::from(number != 0)][..],
            Width::Word => &bytes[..],
        };
        let result = match field.message.ethtool_ids() {
            Some((_, set)) => Ethtool::call(nic, set, |request| request.put(field.attribute, value)).map(drop),
            None => Netlink::open(Service::Route).map_err(Refusal::from).and_then(|mut route| {
                let request = Attributes::after(&IFINFOMSG).text(IFLA_IFNAME, nic).put(field.attribute, value);
                route.request(RTM_NEWLINK, request.bytes()).map(drop)
            }),
        };
        result.map_err(|refusal| refused(nic, field.name, number, refusal))
    }

    fn feature(&self, nic: &str, name: &str) -> CardResult<bool> {
        let answer = match Ethtool::call(nic, ETHTOOL_MSG_FEATURES_GET, |request| request) {
            Ok(answer) => answer.unwrap_or_default(),
            Err(refusal) => return unsupported_or_error(refusal.source, nic, "features"),
        };
        let active = in_set(&answer, ETHTOOL_A_FEATURES_ACTIVE, name);
        let fixed = in_set(&answer, ETHTOOL_A_FEATURES_NOCHANGE, name) || !in_set(&answer, ETHTOOL_A_FEATURES_HW, name);
        Ok(if fixed {
            Err(format!("the driver has {name} fixed to {}", if active { "on" } else { "off" }))
        } else {
            Ok(active)
        })
    }

    fn set_feature(&self, nic: &str, name: &str, on: bool) -> Result<(), KnobError> {
        let bit = Attributes::default().text(ETHTOOL_A_BITSET_BIT_NAME, name);
        let bit = if on { bit.put(ETHTOOL_A_BITSET_BIT_VALUE, &[]) } else { bit };
        let bits = Attributes::default().nest(ETHTOOL_A_BITSET_BITS_BIT, &bit);
        let desired = Attributes::default().nest(ETHTOOL_A_BITSET_BITS, &bits);
        Ethtool::call(nic, ETHTOOL_MSG_FEATURES_SET, |request| request.nest(ETHTOOL_A_FEATURES_WANTED, &desired))
            .map(drop)
            .map_err(|refusal| refused(nic, name, if on { "on" } else { "off" }, refusal))
    }

    fn rss(&self, nic: &str) -> CardResult<RssTable> {
        let table =
            ethtool::rss_table(nic).and_then(|entries| Ok(RssTable { entries, queues: ethtool::rss_queues(nic)? }));
        match table {
            Ok(table) if table.entries.is_empty() => Ok(Err("the driver does not support an RSS table".to_owned())),
            Ok(table) => Ok(Ok(table)),
            Err(error) => unsupported_or_error(error, nic, "an RSS table"),
        }
    }

    fn set_rss(&self, nic: &str, entries: &[u32]) -> Result<(), KnobError> {
        ethtool::set_rss_table(nic, entries).map_err(|error| refused(nic, "RSS table", format!("{entries:?}"), error))
    }

    fn flow_rule(&self, nic: &str, location: u32) -> CardResult<Option<FlowRule>> {
        match ethtool::has_flow_rules(nic).and_then(|()| ethtool::flow_rule(nic, location)) {
            Ok(rule) => Ok(Ok(rule.map(|(spec, context)| FlowRule { spec, context }))),
            Err(error) => unsupported_or_error(error, nic, "flow rules"),
        }
    }

    fn set_flow_rule(&self, nic: &str, location: u32, rule: Option<&FlowRule>) -> Result<(), KnobError> {
        let result = match rule {
            Some(rule) => ethtool::set_flow_rule(nic, rule.at(location), rule.context),
            None => ethtool::remove_flow_rule(nic, location),
        };
        let words = rule.map_or_else(|| "no rule".to_owned(), ToString::to_string);
        result.map_err(|error| refused(nic, &format!("flow rule {location}"), words, error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tune::knob::net::uapi;

    #[test]
    fn message_and_attribute_numbers_match_the_kernel_header() {
        crate::needs!(uapi::INSTALLED);
        let header = uapi::constants();
        let of = |name: &str| *header.get(name).unwrap_or_else(|| panic!("no {name}"));
        for (message, name) in [
            (Message::Rings, "RINGS"),
            (Message::Channels, "CHANNELS"),
            (Message::Coalescing, "COALESCE"),
            (Message::Pause, "PAUSE"),
            (Message::Eee, "EEE"),
        ] {
            let (get, set) = message.ethtool_ids().expect("messages");
            let expected = ["GET", "SET"].map(|verb| of(&format!("ETHTOOL_MSG_{name}_{verb}")));
            assert_eq!([get, set].map(u32::from), expected, "{name}");
        }
        for (number, name) in [
            (ETHTOOL_A_HEADER_DEV_NAME, "ETHTOOL_A_HEADER_DEV_NAME"),
            (ETHTOOL_A_FEATURES_HW, "ETHTOOL_A_FEATURES_HW"),
            (ETHTOOL_A_FEATURES_WANTED, "ETHTOOL_A_FEATURES_WANTED"),
            (ETHTOOL_A_FEATURES_ACTIVE, "ETHTOOL_A_FEATURES_ACTIVE"),
            (ETHTOOL_A_FEATURES_NOCHANGE, "ETHTOOL_A_FEATURES_NOCHANGE"),
            (ETHTOOL_A_BITSET_NOMASK, "ETHTOOL_A_BITSET_NOMASK"),
            (ETHTOOL_A_BITSET_BITS, "ETHTOOL_A_BITSET_BITS"),
            (ETHTOOL_A_BITSET_BITS_BIT, "ETHTOOL_A_BITSET_BITS_BIT"),
            (ETHTOOL_A_BITSET_BIT_NAME, "ETHTOOL_A_BITSET_BIT_NAME"),
            (ETHTOOL_A_BITSET_BIT_VALUE, "ETHTOOL_A_BITSET_BIT_VALUE"),
            (ETHTOOL_MSG_FEATURES_GET.into(), "ETHTOOL_MSG_FEATURES_GET"),
            (ETHTOOL_MSG_FEATURES_SET.into(), "ETHTOOL_MSG_FEATURES_SET"),
        ] {
            assert_eq!(u32::from(number), of(name), "{name}");
        }
    }
}
