//! Targets of knobs: the host, or one of its parts.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::units::{CpuId, Irq, NodeId};

/// The target of a knob. Written as `host`, `cpu 3`, `node 0`, `irq 24`, `nic eth0`, `name vm.swappiness`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum KnobTarget {
    /// The host as a whole.
    Host,
    /// A logical CPU.
    Cpu(CpuId),
    /// A NUMA node.
    Node(NodeId),
    /// An interrupt.
    Irq(Irq),
    /// A network interface.
    Nic(String),
    /// A name from the profile: a sysctl, a path, a unit, a device.
    Name(String),
}

impl KnobTarget {
    /// The name of the network interface, or the name from the profile; `None` for numbered targets.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Nic(name) | Self::Name(name) => Some(name),
            _ => None,
        }
    }
}

/// The kinds of targets of a knob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The host as a whole.
    Host,
    /// Each online CPU.
    Cpu,
    /// Each NUMA node.
    Node,
    /// Each interrupt.
    Irq,
    /// Each network interface that has a device.
    Nic,
    /// Each part of the host of this kind, by name, such as the dies of its sockets.
    Each(&'static str),
    /// Only the targets that a profile names.
    Named,
}

impl Scope {
    /// The name in documentation and lists.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Cpu => "CPU",
            Self::Node => "NUMA node",
            Self::Irq => "interrupt",
            Self::Nic => "network interface",
            Self::Each(what) => what,
            Self::Named => "named",
        }
    }
}

/// A text that is not a target.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{} is not a target: write `host`, `cpu 3`, `node 0`, `irq 24`, `nic eth0` or `name ...`",
    crate::excerpt::quoted(_0)
)]
pub struct TargetError(String);

impl fmt::Display for KnobTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host => f.write_str("host"),
            Self::Cpu(cpu) => write!(f, "cpu {cpu}"),
            Self::Node(node) => write!(f, "node {node}"),
            Self::Irq(irq) => write!(f, "irq {irq}"),
            Self::Nic(nic) => write!(f, "nic {nic}"),
            Self::Name(name) => write!(f, "name {name}"),
        }
    }
}

impl FromStr for KnobTarget {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || TargetError(text.to_owned());
        if text == "host" {
            return Ok(Self::Host);
        }
        let (kind, rest) = text.split_once(' ').ok_or_else(wrong)?;
        let number = || rest.parse::<u32>().map_err(|_| wrong());
        match kind {
            "cpu" => Ok(Self::Cpu(CpuId(number()?))),
            "node" => Ok(Self::Node(NodeId(number()?))),
            "irq" => Ok(Self::Irq(Irq(number()?))),
            "nic" => Ok(Self::Nic(rest.to_owned())),
            "name" => Ok(Self::Name(rest.to_owned())),
            _ => Err(wrong()),
        }
    }
}

impl TryFrom<String> for KnobTarget {
    type Error = TargetError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<KnobTarget> for String {
    fn from(target: KnobTarget) -> Self {
        target.to_string()
    }
}
