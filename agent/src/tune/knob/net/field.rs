//! Numeric settings of drivers: coalescing, rings, channels, pause frames, EEE, MTU.

use super::backend::cards;
use super::card::{Field, Message, Width};
use crate::host::Host;
use crate::tune::knob::checks::nic_name;
use crate::tune::knob::error::KnobError;
use crate::tune::knob::knob::Knob;
use crate::tune::knob::reading::{Held, Reading};
use crate::tune::knob::spec::{KnobSpec, RetainedBy, Risk, Stage};
use crate::tune::value::{KnobTarget, Scope, Value, ValueKind};

/// A knob for a numeric setting of a driver.
struct FieldKnob {
    spec: KnobSpec,
    field: Field,
}

const COALESCING: &str = "ETHTOOL_MSG_COALESCE_SET, Documentation/networking/ethtool-netlink.rst";
const RINGS: &str = "ETHTOOL_MSG_RINGS_SET, Documentation/networking/ethtool-netlink.rst";
const CHANNELS: &str = "ETHTOOL_MSG_CHANNELS_SET, Documentation/networking/ethtool-netlink.rst";
const PAUSE: &str = "ETHTOOL_MSG_PAUSE_SET, Documentation/networking/ethtool-netlink.rst";
const EEE: &str = "ETHTOOL_MSG_EEE_SET, Documentation/networking/ethtool-netlink.rst";

const US: ValueKind = ValueKind::Integer { min: 0, max: u32::MAX as i64, unit: "us" };
const FRAMES: ValueKind = ValueKind::Integer { min: 0, max: u32::MAX as i64, unit: "frames" };
const COUNT: ValueKind = ValueKind::Integer { min: 1, max: u32::MAX as i64, unit: "" };
const QUEUES: ValueKind = ValueKind::Integer { min: 0, max: u32::MAX as i64, unit: "queues" };

const RESET: Risk =
    Risk::Medium("most drivers stop the interface for a moment, and with some the link goes down for seconds");
const REQUEUE: Risk = Risk::High(
    "the driver recreates its queues: the link may go down for seconds, and the affinities of its interrupts, RPS and XPS return to \
     their defaults; a rollback does not restore those that were set manually before",
);
const RENEGOTIATE: Risk = Risk::Medium("the link may be renegotiated, which takes seconds");

const fn knob(
    (id, name, doc): (&'static str, &'static str, &'static str),
    source: &'static str,
    kind: ValueKind,
    (message, attribute, limit): (Message, u16, Option<u16>),
    (risk, stage): (Risk, Stage),
) -> FieldKnob {
    let width = if matches!(kind, ValueKind::Switch) { Width::Byte } else { Width::Word };
    FieldKnob {
        spec: KnobSpec {
            id,
            doc,
            source,
            kind,
            scope: Scope::Nic,
            risk,
            stage,
            retained_by: RetainedBy::Hardware,
            ..KnobSpec::RUNTIME
        },
        field: Field { name, message, attribute, limit, width },
    }
}

const fn coalescing(names: (&'static str, &'static str, &'static str), kind: ValueKind, attribute: u16) -> FieldKnob {
    knob(names, COALESCING, kind, (Message::Coalescing, attribute, None), (Risk::Low, Stage::Setting))
}

/// The numbers are those of `ETHTOOL_A_*` in include/uapi/linux/ethtool_netlink.h.
static FIELDS: [FieldKnob; 24] = [
    // Channels and rings come first: recreating them resets coalescing in some drivers.
    knob(
        (
            "net.channels_combined",
            "combined",
            "The number of combined queues, which receive and send and have one interrupt each. Use as many as CPUs handle packets: \
             more queues only spread the same work over more interrupts.",
        ),
        CHANNELS,
        QUEUES,
        (Message::Channels, 9, Some(5)),
        (REQUEUE, Stage::Presence),
    ),
    knob(
        ("net.channels_rx", "rx-channels", "The number of queues that only receive."),
        CHANNELS,
        QUEUES,
        (Message::Channels, 6, Some(2)),
        (REQUEUE, Stage::Presence),
    ),
    knob(
        ("net.channels_tx", "tx-channels", "The number of queues that only send."),
        CHANNELS,
        QUEUES,
        (Message::Channels, 7, Some(3)),
        (REQUEUE, Stage::Presence),
    ),
    knob(
        (
            "net.ring_rx",
            "rx-ring",
            "The number of descriptors of each receive ring. Large rings absorb bursts without loss; small ones stay in the cache.",
        ),
        RINGS,
        COUNT,
        (Message::Rings, 6, Some(2)),
        (RESET, Stage::Presence),
    ),
    knob(
        (
            "net.ring_tx",
            "tx-ring",
            "The number of descriptors of each send ring. A small ring limits how long a packet waits behind others.",
        ),
        RINGS,
        COUNT,
        (Message::Rings, 9, Some(5)),
        (RESET, Stage::Presence),
    ),
    knob(
        (
            "net.ring_tx_push",
            "tx-push",
            "Whether descriptors are written directly to the card instead of memory that it reads: lower latency for single packets.",
        ),
        "ETHTOOL_A_RINGS_TX_PUSH, Documentation/networking/ethtool-netlink.rst; since 5.19",
        ValueKind::Switch,
        (Message::Rings, 13, None),
        (RESET, Stage::Presence),
    ),
    knob(
        ("net.mtu", "mtu", "The maximum packet size. Both ends and all switches in between must support it."),
        "IFLA_MTU, include/uapi/linux/if_link.h",
        ValueKind::Integer { min: 68, max: 65535, unit: "bytes" },
        // IFLA_MTU, and IFLA_MAX_MTU since 4.19.
        (Message::Link, 4, Some(51)),
        (
            Risk::High("packets are lost if one end or a switch has another MTU; many drivers reset the interface"),
            Stage::Presence,
        ),
    ),
    knob(
        (
            "net.pause_autoneg",
            "pause-autoneg",
            "Whether both ends negotiate pause frames. It must be off for `net.pause_rx` and `net.pause_tx` to take effect.",
        ),
        PAUSE,
        ValueKind::Switch,
        (Message::Pause, 2, None),
        (RENEGOTIATE, Stage::Presence),
    ),
    knob(
        (
            "net.pause_rx",
            "pause-rx",
            "Whether the card stops sending when it receives pause frames. Off, a slow peer cannot stop this host, but packets are lost.",
        ),
        PAUSE,
        ValueKind::Switch,
        (Message::Pause, 3, None),
        (RENEGOTIATE, Stage::Presence),
    ),
    knob(
        ("net.pause_tx", "pause-tx", "Whether the card sends pause frames when its queues are full."),
        PAUSE,
        ValueKind::Switch,
        (Message::Pause, 4, None),
        (RENEGOTIATE, Stage::Presence),
    ),
    knob(
        (
            "net.eee",
            "eee",
            "Whether an idle link sleeps (Energy-Efficient Ethernet, IEEE 802.3az). Waking it takes tens of microseconds.",
        ),
        EEE,
        ValueKind::Switch,
        (Message::Eee, 5, None),
        (RENEGOTIATE, Stage::Presence),
    ),
    knob(
        ("net.eee_tx_lpi", "tx-lpi", "Whether this end puts the link to sleep (low-power idle)."),
        EEE,
        ValueKind::Switch,
        (Message::Eee, 6, None),
        (RENEGOTIATE, Stage::Presence),
    ),
    // The adaptive modes come next: while they are on, drivers change the fixed values themselves.
    coalescing(
        (
            "net.adaptive_rx",
            "adaptive-rx",
            "Whether the driver adapts receive coalescing to the load. Off, delays do not depend on the load.",
        ),
        ValueKind::Switch,
        11,
    ),
    coalescing(
        ("net.adaptive_tx", "adaptive-tx", "Whether the driver adapts send coalescing to the load."),
        ValueKind::Switch,
        12,
    ),
    coalescing(
        (
            "net.rx_usecs",
            "rx-usecs",
            "How long the interrupt for a received packet may be delayed to coalesce it with others. 0 gives the lowest latency, at one \
             interrupt per packet; drivers that still count packets also need `net.rx_frames` 1 (struct ethtool_coalesce, \
             include/uapi/linux/ethtool.h).",
        ),
        US,
        2,
    ),
    coalescing(
        (
            "net.rx_frames",
            "rx-frames",
            "The number of received packets that raise the interrupt before `net.rx_usecs` has elapsed.",
        ),
        FRAMES,
        3,
    ),
    coalescing(("net.rx_usecs_irq", "rx-usecs-irq", "As `net.rx_usecs`, while an interrupt is being handled."), US, 4),
    coalescing(
        ("net.rx_frames_irq", "rx-frames-irq", "As `net.rx_frames`, while an interrupt is being handled."),
        FRAMES,
        5,
    ),
    coalescing(
        ("net.tx_usecs", "tx-usecs", "How long the interrupt that frees the memory of a sent packet may be delayed."),
        US,
        6,
    ),
    coalescing(
        (
            "net.tx_frames",
            "tx-frames",
            "The number of sent packets that raise the interrupt before `net.tx_usecs` has elapsed.",
        ),
        FRAMES,
        7,
    ),
    coalescing(("net.tx_usecs_irq", "tx-usecs-irq", "As `net.tx_usecs`, while an interrupt is being handled."), US, 8),
    coalescing(
        ("net.tx_frames_irq", "tx-frames-irq", "As `net.tx_frames`, while an interrupt is being handled."),
        FRAMES,
        9,
    ),
    knob(
        ("net.cqe_mode_rx", "cqe-mode-rx", "Whether the receive timer restarts with each completion (mlx5)."),
        "ETHTOOL_A_COALESCE_USE_CQE_MODE_RX, Documentation/networking/ethtool-netlink.rst; since 5.15",
        ValueKind::Switch,
        (Message::Coalescing, 25, None),
        (Risk::Low, Stage::Setting),
    ),
    knob(
        ("net.cqe_mode_tx", "cqe-mode-tx", "Whether the send timer restarts with each completion (mlx5)."),
        "ETHTOOL_A_COALESCE_USE_CQE_MODE_TX, Documentation/networking/ethtool-netlink.rst; since 5.15",
        ValueKind::Switch,
        (Message::Coalescing, 24, None),
        (Risk::Low, Stage::Setting),
    ),
];

pub(super) static KNOBS: &[&dyn Knob] = &as_knobs(&FIELDS);

const fn as_knobs<const COUNT: usize>(fields: &'static [FieldKnob; COUNT]) -> [&'static dyn Knob; COUNT] {
    let mut knobs: [&'static dyn Knob; COUNT] = [&fields[0]; COUNT];
    let mut index = 1;
    while index < COUNT {
        knobs[index] = &fields[index];
        index += 1;
    }
    knobs
}

impl Knob for FieldKnob {
    fn spec(&self) -> &KnobSpec {
        &self.spec
    }

    fn read(&self, host: &Host, target: &KnobTarget) -> Result<Reading, KnobError> {
        Ok(match cards(host).number(nic_name(target)?, &self.field)? {
            Ok(number) if self.field.width == Width::Byte => Reading::Value(Value::Switch(number != 0)),
            Ok(number) => Reading::Value(Value::Integer(number.into())),
            Err(reason) => Reading::Absent(reason),
        })
    }

    fn normalize(&self, host: &Host, target: &KnobTarget, value: &Value) -> Result<Value, KnobError> {
        let max = cards(host).limit(nic_name(target)?, &self.field)?;
        match (value, max) {
            // A maximum of 0 means that the driver does not report one (`max_mtu`).
            (Value::Integer(desired), Some(max)) if max > 0 && *desired > max.into() => {
                Err(KnobError::Impossible { value: value.clone(), reason: format!("the maximum of the card is {max}") })
            }
            _ => Ok(value.clone()),
        }
    }

    fn write(&self, host: &Host, target: &KnobTarget, value: &Value) -> Result<Held, KnobError> {
        let number = match value {
            Value::Switch(on) => u32::from(*on),
            Value::Integer(number) => u32::try_from(*number)
                .map_err(|_| KnobError::Impossible { value: value.clone(), reason: "it is too large".to_owned() })?,
            other => {
                return Err(KnobError::Impossible {
                    value: other.clone(),
                    reason: format!("it is not {}", self.spec.kind),
                });
            }
        };
        cards(host).set_number(nic_name(target)?, &self.field, number).map(|()| Held::Nothing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tune::knob::net::uapi;

    /// The names of each attribute and of its maximum in the kernel header.
    const NAMES: [(&str, &str, Option<&str>); 23] = [
        ("net.channels_combined", "ETHTOOL_A_CHANNELS_COMBINED_COUNT", Some("ETHTOOL_A_CHANNELS_COMBINED_MAX")),
        ("net.channels_rx", "ETHTOOL_A_CHANNELS_RX_COUNT", Some("ETHTOOL_A_CHANNELS_RX_MAX")),
        ("net.channels_tx", "ETHTOOL_A_CHANNELS_TX_COUNT", Some("ETHTOOL_A_CHANNELS_TX_MAX")),
        ("net.ring_rx", "ETHTOOL_A_RINGS_RX", Some("ETHTOOL_A_RINGS_RX_MAX")),
        ("net.ring_tx", "ETHTOOL_A_RINGS_TX", Some("ETHTOOL_A_RINGS_TX_MAX")),
        ("net.ring_tx_push", "ETHTOOL_A_RINGS_TX_PUSH", None),
        ("net.pause_autoneg", "ETHTOOL_A_PAUSE_AUTONEG", None),
        ("net.pause_rx", "ETHTOOL_A_PAUSE_RX", None),
        ("net.pause_tx", "ETHTOOL_A_PAUSE_TX", None),
        ("net.eee", "ETHTOOL_A_EEE_ENABLED", None),
        ("net.eee_tx_lpi", "ETHTOOL_A_EEE_TX_LPI_ENABLED", None),
        ("net.adaptive_rx", "ETHTOOL_A_COALESCE_USE_ADAPTIVE_RX", None),
        ("net.adaptive_tx", "ETHTOOL_A_COALESCE_USE_ADAPTIVE_TX", None),
        ("net.rx_usecs", "ETHTOOL_A_COALESCE_RX_USECS", None),
        ("net.rx_frames", "ETHTOOL_A_COALESCE_RX_MAX_FRAMES", None),
        ("net.rx_usecs_irq", "ETHTOOL_A_COALESCE_RX_USECS_IRQ", None),
        ("net.rx_frames_irq", "ETHTOOL_A_COALESCE_RX_MAX_FRAMES_IRQ", None),
        ("net.tx_usecs", "ETHTOOL_A_COALESCE_TX_USECS", None),
        ("net.tx_frames", "ETHTOOL_A_COALESCE_TX_MAX_FRAMES", None),
        ("net.tx_usecs_irq", "ETHTOOL_A_COALESCE_TX_USECS_IRQ", None),
        ("net.tx_frames_irq", "ETHTOOL_A_COALESCE_TX_MAX_FRAMES_IRQ", None),
        ("net.cqe_mode_rx", "ETHTOOL_A_COALESCE_USE_CQE_MODE_RX", None),
        ("net.cqe_mode_tx", "ETHTOOL_A_COALESCE_USE_CQE_MODE_TX", None),
    ];

    #[test]
    fn attribute_numbers_match_the_kernel_header() {
        crate::needs!(uapi::INSTALLED);
        let header = uapi::constants();
        for FieldKnob { spec, field } in FIELDS.iter().filter(|knob| knob.field.message != Message::Link) {
            let (_, name, limit) = NAMES.iter().find(|(id, ..)| *id == spec.id).expect("a name");
            assert_eq!(header.get(*name), Some(&u32::from(field.attribute)), "{}", spec.id);
            let limit = limit.map(|limit| header.get(limit).copied().expect("the limit"));
            assert_eq!(field.limit.map(u32::from), limit, "{}", spec.id);
            let message = match name.split('_').nth(2) {
                Some("CHANNELS") => Message::Channels,
                Some("RINGS") => Message::Rings,
                Some("PAUSE") => Message::Pause,
                Some("EEE") => Message::Eee,
                _ => Message::Coalescing,
            };
            assert_eq!(field.message, message, "{}", spec.id);
        }
        assert_eq!(FIELDS.len(), NAMES.len() + 1, "the MTU is not an attribute of ethtool");
    }
}
