//! Numbers that drivers keep: coalescing, rings, channels, pause, EEE, MTU.

use super::cards::{Field, Group, Width, cards};
use super::{nic, nics};
use crate::host::Host;
use crate::tune::knob::{Held, KeptBy, Knob, KnobError, KnobSpec, Reading, Risk, Stage};
use crate::tune::{Kind, Scope, Target, Value};

/// A number that a driver keeps.
struct FieldKnob {
    spec: KnobSpec,
    field: Field,
}

const COALESCING: &str = "ETHTOOL_MSG_COALESCE_SET, Documentation/networking/ethtool-netlink.rst";
const RINGS: &str = "ETHTOOL_MSG_RINGS_SET, Documentation/networking/ethtool-netlink.rst";
const CHANNELS: &str = "ETHTOOL_MSG_CHANNELS_SET, Documentation/networking/ethtool-netlink.rst";
const PAUSE: &str = "ETHTOOL_MSG_PAUSE_SET, Documentation/networking/ethtool-netlink.rst";
const EEE: &str = "ETHTOOL_MSG_EEE_SET, Documentation/networking/ethtool-netlink.rst";

const US: Kind = Kind::Integer { min: 0, max: u32::MAX as i64, unit: "us" };
const FRAMES: Kind = Kind::Integer { min: 0, max: u32::MAX as i64, unit: "frames" };
const COUNT: Kind = Kind::Integer { min: 1, max: u32::MAX as i64, unit: "" };
const QUEUES: Kind = Kind::Integer { min: 0, max: u32::MAX as i64, unit: "queues" };

const RESET: Risk =
    Risk::Medium("most drivers stop the interface for a moment, and some take the link down for seconds");
const REQUEUE: Risk = Risk::High(
    "the driver makes its queues anew: the link may go down for seconds, and the CPUs of its interrupts, RPS and XPS go back to \
     defaults, where undoing does not bring back what was set by hand before",
);
const RENEGOTIATE: Risk = Risk::Medium("the link may be negotiated anew, which takes seconds");

const fn knob(
    (id, name, doc): (&'static str, &'static str, &'static str),
    source: &'static str,
    kind: Kind,
    (group, attribute, limit): (Group, u16, Option<u16>),
    (risk, stage): (Risk, Stage),
) -> FieldKnob {
    let width = if matches!(kind, Kind::Switch) { Width::Byte } else { Width::Word };
    FieldKnob {
        spec: KnobSpec {
            id,
            doc,
            source,
            kind,
            scope: Scope::Nic,
            risk,
            stage,
            kept_by: KeptBy::Hardware,
            ..KnobSpec::RUNTIME
        },
        field: Field { name, group, attribute, limit, width },
    }
}

const fn coalescing(names: (&'static str, &'static str, &'static str), kind: Kind, attribute: u16) -> FieldKnob {
    knob(names, COALESCING, kind, (Group::Coalescing, attribute, None), (Risk::Low, Stage::Setting))
}

/// The numbers are those of `ETHTOOL_A_*` in include/uapi/linux/ethtool_netlink.h.
static FIELDS: [FieldKnob; 24] = [
    // First the channels and rings: making them anew resets coalescing in some drivers.
    knob(
        (
            "net.channels_combined",
            "combined",
            "Queues that receive and send, an interrupt each. As many as there are CPUs that \
           handle packets: more only spread the same work over more interrupts.",
        ),
        CHANNELS,
        QUEUES,
        (Group::Channels, 9, Some(5)),
        (REQUEUE, Stage::Presence),
    ),
    knob(
        ("net.channels_rx", "rx-channels", "Queues that only receive."),
        CHANNELS,
        QUEUES,
        (Group::Channels, 6, Some(2)),
        (REQUEUE, Stage::Presence),
    ),
    knob(
        ("net.channels_tx", "tx-channels", "Queues that only send."),
        CHANNELS,
        QUEUES,
        (Group::Channels, 7, Some(3)),
        (REQUEUE, Stage::Presence),
    ),
    knob(
        (
            "net.ring_rx",
            "rx-ring",
            "Descriptors of each receive ring. Large rings take bursts without loss; small ones stay in \
           the cache.",
        ),
        RINGS,
        COUNT,
        (Group::Rings, 6, Some(2)),
        (RESET, Stage::Presence),
    ),
    knob(
        (
            "net.ring_tx",
            "tx-ring",
            "Descriptors of each send ring. A small one bounds how long a packet waits behind others.",
        ),
        RINGS,
        COUNT,
        (Group::Rings, 9, Some(5)),
        (RESET, Stage::Presence),
    ),
    knob(
        (
            "net.ring_tx_push",
            "tx-push",
            "Whether descriptors are written to the card itself and not to memory that it reads: \
           less latency for single packets.",
        ),
        "ETHTOOL_A_RINGS_TX_PUSH, Documentation/networking/ethtool-netlink.rst; from 5.19 on",
        Kind::Switch,
        (Group::Rings, 13, None),
        (RESET, Stage::Presence),
    ),
    knob(
        ("net.mtu", "mtu", "The largest packet. Both ends and all switches between must take it."),
        "IFLA_MTU, include/uapi/linux/if_link.h",
        Kind::Integer { min: 68, max: 65535, unit: "bytes" },
        // IFLA_MTU and IFLA_MAX_MTU, the latter since 4.19.
        (Group::Link, 4, Some(51)),
        (
            Risk::High("packets are lost where one end or a switch has another MTU; many drivers reset the interface"),
            Stage::Presence,
        ),
    ),
    knob(
        (
            "net.pause_autoneg",
            "pause-autoneg",
            "Whether both ends agree on pause frames by themselves. Off for `net.pause_rx` and \
           `net.pause_tx` to count.",
        ),
        PAUSE,
        Kind::Switch,
        (Group::Pause, 2, None),
        (RENEGOTIATE, Stage::Presence),
    ),
    knob(
        (
            "net.pause_rx",
            "pause-rx",
            "Whether the card stops sending when it is told to. Off, a slow peer cannot stop this host; \
           packets are lost where it would have.",
        ),
        PAUSE,
        Kind::Switch,
        (Group::Pause, 3, None),
        (RENEGOTIATE, Stage::Presence),
    ),
    knob(
        ("net.pause_tx", "pause-tx", "Whether the card tells the other end to stop when its queues are full."),
        PAUSE,
        Kind::Switch,
        (Group::Pause, 4, None),
        (RENEGOTIATE, Stage::Presence),
    ),
    knob(
        (
            "net.eee",
            "eee",
            "Whether an idle link sleeps (IEEE 802.3az). Waking it takes tens of microseconds: off for latency.",
        ),
        EEE,
        Kind::Switch,
        (Group::Eee, 5, None),
        (RENEGOTIATE, Stage::Presence),
    ),
    knob(
        ("net.eee_tx_lpi", "tx-lpi", "Whether this end sends its link to sleep."),
        EEE,
        Kind::Switch,
        (Group::Eee, 6, None),
        (RENEGOTIATE, Stage::Presence),
    ),
    // Then the adaptive modes: while they are on, drivers change the fixed values by themselves.
    coalescing(
        (
            "net.adaptive_rx",
            "adaptive-rx",
            "Whether the driver chooses receive coalescing by load. Off for delays that are the \
           same under all loads.",
        ),
        Kind::Switch,
        11,
    ),
    coalescing(
        ("net.adaptive_tx", "adaptive-tx", "Whether the driver chooses send coalescing by load."),
        Kind::Switch,
        12,
    ),
    coalescing(
        (
            "net.rx_usecs",
            "rx-usecs",
            "How long a received packet may wait for others before the interrupt. 0 for the least \
           latency, at an interrupt for each packet; drivers that count packets all the same want `net.rx_frames` 1 with it \
           (struct ethtool_coalesce, include/uapi/linux/ethtool.h).",
        ),
        US,
        2,
    ),
    coalescing(
        ("net.rx_frames", "rx-frames", "How many received packets raise the interrupt before `net.rx_usecs` is over."),
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
        (
            "net.tx_usecs",
            "tx-usecs",
            "How long a sent packet may wait for others before the interrupt that frees its memory.",
        ),
        US,
        6,
    ),
    coalescing(
        ("net.tx_frames", "tx-frames", "How many sent packets raise the interrupt before `net.tx_usecs` is over."),
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
        ("net.cqe_mode_rx", "cqe-mode-rx", "Whether the receive timer starts anew with each completion (mlx5)."),
        "ETHTOOL_A_COALESCE_USE_CQE_MODE_RX, Documentation/networking/ethtool-netlink.rst; from 5.15 on",
        Kind::Switch,
        (Group::Coalescing, 25, None),
        (Risk::Low, Stage::Setting),
    ),
    knob(
        ("net.cqe_mode_tx", "cqe-mode-tx", "Whether the send timer starts anew with each completion (mlx5)."),
        "ETHTOOL_A_COALESCE_USE_CQE_MODE_TX, Documentation/networking/ethtool-netlink.rst; from 5.15 on",
        Kind::Switch,
        (Group::Coalescing, 24, None),
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

    fn targets(&self, host: &Host) -> Vec<Target> {
        nics(host)
    }

    fn read(&self, host: &Host, target: &Target) -> Result<Reading, KnobError> {
        Ok(match cards(host).number(nic(target)?, &self.field)? {
            Ok(number) if self.field.width == Width::Byte => Reading::Value(Value::Switch(number != 0)),
            Ok(number) => Reading::Value(Value::Integer(number.into())),
            Err(why) => Reading::Absent(why),
        })
    }

    fn normalize(&self, host: &Host, target: &Target, value: &Value) -> Result<Value, KnobError> {
        let most = cards(host).limit(nic(target)?, &self.field)?;
        match (value, most) {
            // A limit of zero is a driver that does not tell one (`max_mtu`).
            (Value::Integer(wanted), Some(most)) if most > 0 && *wanted > most.into() => {
                Err(KnobError::Impossible { value: value.clone(), why: format!("the card has at most {most}") })
            }
            _ => Ok(value.clone()),
        }
    }

    fn write(&self, host: &Host, target: &Target, value: &Value) -> Result<Held, KnobError> {
        let number = match value {
            Value::Switch(on) => u32::from(*on),
            Value::Integer(number) => u32::try_from(*number)
                .map_err(|_| KnobError::Impossible { value: value.clone(), why: "it is too large".to_owned() })?,
            other => {
                return Err(KnobError::Impossible {
                    value: other.clone(),
                    why: format!("it is not {}", self.spec.kind),
                });
            }
        };
        cards(host).set_number(nic(target)?, &self.field, number).map(|()| Held::Nothing)
    }
}

#[cfg(test)]
mod tests {
    use super::super::uapi;
    use super::*;

    /// What the kernel's header calls each number, and its limit.
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
    fn the_numbers_are_those_of_the_kernels_header() {
        crate::needs!(uapi::INSTALLED);
        let header = uapi::constants();
        for FieldKnob { spec, field } in FIELDS.iter().filter(|knob| knob.field.group != Group::Link) {
            let (_, name, limit) = NAMES.iter().find(|(id, ..)| *id == spec.id).expect("a name");
            assert_eq!(header.get(*name), Some(&u32::from(field.attribute)), "{}", spec.id);
            let limit = limit.map(|limit| header.get(limit).copied().expect("the limit"));
            assert_eq!(field.limit.map(u32::from), limit, "{}", spec.id);
            let group = match name.split('_').nth(2) {
                Some("CHANNELS") => Group::Channels,
                Some("RINGS") => Group::Rings,
                Some("PAUSE") => Group::Pause,
                Some("EEE") => Group::Eee,
                _ => Group::Coalescing,
            };
            assert_eq!(field.group, group, "{}", spec.id);
        }
        assert_eq!(FIELDS.len(), NAMES.len() + 1, "the MTU is no number of ethtool's");
    }
}
