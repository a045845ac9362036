//! What a network card lets be set, whoever carries it: the kernel, or files that stand for it.

use super::flow_rule::FlowRule;
use super::kernel::Kernel;
use super::tree::Tree;
use crate::host::Host;
use crate::tune::knob::KnobError;

/// What a card has, or why it lacks it.
pub(super) type Found<T> = Result<Result<T, String>, KnobError>;

/// A number that a driver keeps: `rx-usecs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Field {
    /// As ethtool(8) calls it.
    pub(super) name: &'static str,
    /// What it is a part of.
    pub(super) group: Group,
    /// Its attribute in the group's messages.
    pub(super) attribute: u16,
    /// The attribute of the most that it can be.
    pub(super) limit: Option<u16>,
    /// How many bytes it takes in a message.
    pub(super) width: Width,
}

/// What is asked for and set in one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Group {
    Coalescing,
    Rings,
    Channels,
    Pause,
    Eee,
    /// Not ethtool's but rtnetlink's.
    Link,
}

impl Group {
    /// In words, for who is told that a driver has none of it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Coalescing => "coalescing settings",
            Self::Rings => "ring sizes",
            Self::Channels => "channels",
            Self::Pause => "pause frames",
            Self::Eee => "energy-efficient Ethernet",
            Self::Link => "link settings",
        }
    }
}

/// How large a number is in a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Width {
    Byte,
    Word,
}

/// An RSS table: the queue of each hash bucket, of so many queues.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RssTable {
    pub(super) entries: Vec<u32>,
    pub(super) queues: u32,
}

/// What cards let be set.
pub(super) trait Cards {
    /// What a field is.
    fn number(&self, nic: &str, field: &Field) -> Found<u32>;
    /// The most that a field can be, where the driver says so.
    fn limit(&self, nic: &str, field: &Field) -> Result<Option<u32>, KnobError>;
    fn set_number(&self, nic: &str, field: &Field, number: u32) -> Result<(), KnobError>;
    /// Whether a feature is active; absent where the driver does not let it be changed.
    fn feature(&self, nic: &str, name: &str) -> Found<bool>;
    fn set_feature(&self, nic: &str, name: &str, on: bool) -> Result<(), KnobError>;
    fn rss(&self, nic: &str) -> Found<RssTable>;
    /// Sets the RSS table; no entries for the driver's own.
    fn set_rss(&self, nic: &str, entries: &[u32]) -> Result<(), KnobError>;
    fn flow_rule(&self, nic: &str, location: u32) -> Found<Option<FlowRule>>;
    fn set_flow_rule(&self, nic: &str, location: u32, rule: Option<&FlowRule>) -> Result<(), KnobError>;
}

/// The cards of a host.
pub(super) fn cards(host: &Host) -> Box<dyn Cards> {
    if host.root.is_host() { Box::new(Kernel) } else { Box::new(Tree::of(&host.root)) }
}
