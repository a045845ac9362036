//! Offloads and other features of network interfaces.

use std::collections::BTreeMap;

use super::backend::cards;
use crate::host::Host;
use crate::tune::knob::checks::nic_name;
use crate::tune::knob::error::KnobError;
use crate::tune::knob::identity::{IdentityFn, prefixed_nic_device};
use crate::tune::knob::knob::Knob;
use crate::tune::knob::parts::{self, Change};
use crate::tune::knob::reading::{Held, Reading};
use crate::tune::knob::spec::{KnobSpec, Lifetime, Risk, Stage};
use crate::tune::value::{KnobTarget, Scope, Value, ValueKind};

/// A knob for one feature, or for several features that are switched together. The names are those of the kernel
/// (net/ethtool/common.c, netdev_features_strings).
struct FeatureKnob {
    spec: KnobSpec,
    names: &'static [&'static str],
}

/// A knob for any feature by name.
struct NamedFeature(KnobSpec);

const SOURCE: &str = "Documentation/networking/netdev-features.rst";

const fn spec(id: &'static str, doc: &'static str, scope: Scope) -> KnobSpec {
    KnobSpec {
        id,
        doc,
        source: SOURCE,
        kind: ValueKind::Switch,
        scope,
        lifetime: Lifetime::Runtime,
        risk: Risk::Medium("some drivers reset the interface, and dependent features change too"),
        stage: Stage::Setting,
        ..KnobSpec::RUNTIME
    }
}

const fn feature(id: &'static str, doc: &'static str, names: &'static [&'static str]) -> FeatureKnob {
    FeatureKnob { spec: spec(id, doc, Scope::Nic), names }
}

pub(super) static KNOBS: &[&dyn Knob] = &[
    &feature("net.rx_checksum", "Whether the card verifies the checksums of received packets.", &["rx-checksum"]),
    &feature(
        "net.tx_checksum",
        "Whether the card computes the checksums of sent packets. Segmentation offloads depend on it.",
        &["tx-checksum-ip-generic", "tx-checksum-ipv4", "tx-checksum-ipv6"],
    ),
    &feature(
        "net.sg",
        "Scatter-gather: whether the card can read a packet from several memory areas. Segmentation offloads depend on it.",
        &["tx-scatter-gather"],
    ),
    &feature(
        "net.tso",
        "Whether the card splits large TCP segments. It saves CPU time for bulk transfers, but sends packets in bursts.",
        &["tx-tcp-segmentation", "tx-tcp6-segmentation"],
    ),
    &feature(
        "net.gso",
        "Whether the network stack splits large segments as late as possible, just before the driver.",
        &["tx-generic-segmentation"],
    ),
    &feature(
        "net.gro",
        "Whether received segments are merged before the network stack processes them. It saves CPU time for streams; without it each \
         packet is delivered immediately.",
        &["rx-gro"],
    ),
    &feature("net.gro_hw", "Whether the card merges received segments like GRO.", &["rx-gro-hw"]),
    &feature(
        "net.lro",
        "Whether the card merges received segments irreversibly. It must be off on hosts that forward packets.",
        &["rx-lro"],
    ),
    &feature(
        "net.ntuple",
        "Whether flows can be steered to queues by rules (`net.flow_rule`) and by accelerated RFS.",
        &["rx-ntuple-filter"],
    ),
    &feature(
        "net.rx_hash",
        "Whether the card reports the hash of each packet, so that RPS and RFS need not compute it.",
        &["rx-hashing"],
    ),
    &feature("net.rx_vlan", "Whether the card strips VLAN tags.", &["rx-vlan-hw-parse"]),
    &feature("net.tx_vlan", "Whether the card inserts VLAN tags.", &["tx-vlan-hw-insert"]),
    &feature(
        "net.rx_udp_gro_forwarding",
        "Whether forwarded UDP packets are merged too. Since 5.12.",
        &["rx-udp-gro-forwarding"],
    ),
    &NamedFeature(spec(
        "net.feature",
        "Any feature of an interface by its name in the kernel: `eth0:tx-udp-segmentation`. `ethtool -k` shows older names for some: \
         its generic-receive-offload is `rx-gro`, its rx-checksumming `rx-checksum`, and its tcp-segmentation-offload stands for \
         all features that it lists below.",
        Scope::Named,
    )),
];

impl Knob for FeatureKnob {
    fn spec(&self) -> &KnobSpec {
        &self.spec
    }

    fn read(&self, host: &Host, target: &KnobTarget) -> Result<Reading, KnobError> {
        let (mut parts, mut reason) = (BTreeMap::new(), String::new());
        for name in self.names {
            match cards(host).feature(nic_name(target)?, name)? {
                Ok(on) => drop(parts.insert((*name).to_owned(), Value::Switch(on))),
                Err(absent) => reason = absent,
            }
        }
        Ok(match (parts.len(), self.names) {
            (0, _) => Reading::Absent(reason),
            (_, [_]) => parts.into_values().next().map_or(Reading::Absent(reason), Reading::Value),
            _ => Reading::Value(Value::PerPart(parts)),
        })
    }

    fn write(&self, host: &Host, target: &KnobTarget, value: &Value) -> Result<Held, KnobError> {
        let (changes, nic) = (self.changes(host, target, value)?, nic_name(target)?);
        parts::all_or_none(&changes, |name, on| set(host, nic, name, on)).map(|()| Held::Nothing)
    }

    fn restore(&self, host: &Host, target: &KnobTarget, before: &Value) -> Result<(), KnobError> {
        let (changes, nic) = (self.changes(host, target, before)?, nic_name(target)?);
        parts::best_effort(&changes, |name, on| set(host, nic, name, on))
    }
}

impl FeatureKnob {
    /// The features that have to be switched. Features that the driver does not allow to be changed are skipped.
    fn changes(&self, host: &Host, target: &KnobTarget, value: &Value) -> Result<Vec<Change<&'static str>>, KnobError> {
        let mut changes = Vec::new();
        for name in self.names {
            let desired = match value {
                Value::PerPart(parts) => parts.get(*name),
                value => Some(value),
            };
            let current = cards(host).feature(nic_name(target)?, name)?.ok().map(Value::Switch);
            if let (Some(current), Some(desired)) = (current, desired)
                && current != *desired
            {
                changes.push(Change { part: *name, current, desired: desired.clone() });
            }
        }
        Ok(changes)
    }
}

fn set(host: &Host, nic: &str, name: &str, value: &Value) -> Result<(), KnobError> {
    match value {
        Value::Switch(on) => cards(host).set_feature(nic, name, *on),
        other => Err(not_a_switch(other)),
    }
}

fn not_a_switch(value: &Value) -> KnobError {
    KnobError::Impossible { value: value.clone(), reason: "a feature is on or off".to_owned() }
}

impl Knob for NamedFeature {
    fn spec(&self) -> &KnobSpec {
        &self.0
    }

    fn read(&self, host: &Host, target: &KnobTarget) -> Result<Reading, KnobError> {
        let Some((nic, name)) = interface_and_feature(target) else {
            return Ok(Reading::Absent(format!(
                "`{target}` does not name a feature of an interface such as `eth0:rx-gro`"
            )));
        };
        let feature = cards(host).feature(nic, name)?;
        Ok(feature.map_or_else(Reading::Absent, |on| Reading::Value(Value::Switch(on))))
    }

    fn write(&self, host: &Host, target: &KnobTarget, value: &Value) -> Result<Held, KnobError> {
        let (nic, name) =
            interface_and_feature(target).ok_or_else(|| KnobError::WrongTarget { target: target.clone() })?;
        set(host, nic, name, value).map(|()| Held::Nothing)
    }

    fn identity(&self) -> Option<IdentityFn> {
        Some(prefixed_nic_device)
    }
}

/// Splits `eth0:rx-gro`. Interface names may contain colons, feature names do not.
fn interface_and_feature(target: &KnobTarget) -> Option<(&str, &str)> {
    let KnobTarget::Name(name) = target else { return None };
    name.rsplit_once(':')
}
