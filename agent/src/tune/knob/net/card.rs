//! The settings of network cards, independent of their source.

use crate::tune::knob::error::KnobError;
use crate::tune::knob::net::flow_rule::FlowRule;

/// A setting of a card, or the reason why the card does not have it.
pub(super) type CardResult<T> = Result<Result<T, String>, KnobError>;

/// A numeric setting of the driver, such as `rx-usecs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Field {
    /// The name in ethtool(8).
    pub(super) name: &'static str,
    /// The netlink message that contains it.
    pub(super) message: Message,
    /// Its attribute in the message.
    pub(super) attribute: u16,
    /// The attribute of its maximum, if there is one.
    pub(super) limit: Option<u16>,
    /// Its size in the message.
    pub(super) width: Width,
}

/// A netlink message: a group of fields that are read and set together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Message {
    Coalescing,
    Rings,
    Channels,
    Pause,
    Eee,
    /// A message of rtnetlink and not of ethtool.
    Link,
}

impl Message {
    /// A description of the fields, for messages to the user.
    pub(super) fn fields(self) -> &'static str {
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

/// The size of a number in a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Width {
    /// One byte: a switch.
    Byte,
    /// Four bytes: a number.
    Word,
}

/// An RSS indirection table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RssTable {
    /// The queue of each hash bucket.
    pub(super) entries: Vec<u32>,
    /// The number of queues.
    pub(super) queues: u32,
}

/// Access to the settings of network cards, by the names of their interfaces.
pub(super) trait Card {
    /// The value of a field.
    fn number(&self, nic: &str, field: &Field) -> CardResult<u32>;
    /// The maximum of a field, if the driver reports it.
    fn limit(&self, nic: &str, field: &Field) -> Result<Option<u32>, KnobError>;
    /// Sets a field.
    fn set_number(&self, nic: &str, field: &Field, number: u32) -> Result<(), KnobError>;
    /// Whether a feature is active; absent if the driver does not allow changing it.
    fn feature(&self, nic: &str, name: &str) -> CardResult<bool>;
    /// Switches a feature.
    fn set_feature(&self, nic: &str, name: &str, on: bool) -> Result<(), KnobError>;
    /// The RSS table.
    fn rss(&self, nic: &str) -> CardResult<RssTable>;
    /// Sets the RSS table; an empty list selects the default of the driver.
    fn set_rss(&self, nic: &str, entries: &[u32]) -> Result<(), KnobError>;
    /// The flow rule at a location, if there is one.
    fn flow_rule(&self, nic: &str, location: u32) -> CardResult<Option<FlowRule>>;
    /// Sets or removes the flow rule at a location.
    fn set_flow_rule(&self, nic: &str, location: u32, rule: Option<&FlowRule>) -> Result<(), KnobError>;
}
