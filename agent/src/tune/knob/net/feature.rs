//! Offloads: what a card, or the stack for it, does with packets by itself.

use std::collections::BTreeMap;

use super::cards::cards;
use super::{nic, nics};
use crate::host::Host;
use crate::tune::knob::parts::{self, Change};
use crate::tune::knob::{Held, Knob, KnobError, KnobSpec, Lifetime, Reading, Risk, Stage};
use crate::tune::{Kind, Scope, Target, Value};

/// A feature, or some that are switched together, by the kernel's names (net/ethtool/common.c, netdev_features_strings).
struct FeatureKnob {
    spec: KnobSpec,
    names: &'static [&'static str],
}

/// Any feature by name.
struct NamedFeature(KnobSpec);

const SOURCE: &str = "Documentation/networking/netdev-features.rst";

const fn spec(id: &'static str, doc: &'static str, scope: Scope) -> KnobSpec {
    KnobSpec {
        id,
        doc,
        source: SOURCE,
        kind: Kind::Switch,
        scope,
        lifetime: Lifetime::Runtime,
        risk: Risk::Medium("some drivers reset the interface, and what depends on a feature changes with it"),
        stage: Stage::Setting,
        ..KnobSpec::RUNTIME
    }
}

const fn feature(id: &'static str, doc: &'static str, names: &'static [&'static str]) -> FeatureKnob {
    FeatureKnob { spec: spec(id, doc, Scope::Nic), names }
}

pub(super) static KNOBS: &[&dyn Knob] = &[
    &feature("net.rx_checksum", "Whether the card checks checksums of received packets.", &["rx-checksum"]),
    &feature(
        "net.tx_checksum",
        "Whether the card makes the checksums of sent packets. Segmentation offloads depend on it.",
        &["tx-checksum-ip-generic", "tx-checksum-ipv4", "tx-checksum-ipv6"],
    ),
    &feature(
        "net.sg",
        "Whether the card gathers a packet from several pieces of memory. Segmentation offloads depend on it.",
        &["tx-scatter-gather"],
    ),
    &feature(
        "net.tso",
        "Whether the card cuts large TCP segments. Saves CPU time for bulk, and makes bursts.",
        &["tx-tcp-segmentation", "tx-tcp6-segmentation"],
    ),
    &feature(
        "net.gso",
        "Whether the stack cuts large segments late, just before the driver.",
        &["tx-generic-segmentation"],
    ),
    &feature(
        "net.gro",
        "Whether received segments are joined before the stack sees them. Saves CPU time for streams; without it each packet \
         goes up at once.",
        &["rx-gro"],
    ),
    &feature("net.gro_hw", "Whether the card joins received segments, as GRO would.", &["rx-gro-hw"]),
    &feature(
        "net.lro",
        "Whether the card joins received segments in a way that cannot be taken apart again: off wherever packets are forwarded.",
        &["rx-lro"],
    ),
    &feature(
        "net.ntuple",
        "Whether flows can be steered to queues by rules (`net.flow_rule`), and by accelerated RFS.",
        &["rx-ntuple-filter"],
    ),
    &feature(
        "net.rx_hash",
        "Whether the card tells the hash of each packet: RPS and RFS save a computation.",
        &["rx-hashing"],
    ),
    &feature("net.rx_vlan", "Whether the card takes VLAN tags off.", &["rx-vlan-hw-parse"]),
    &feature("net.tx_vlan", "Whether the card puts VLAN tags on.", &["tx-vlan-hw-insert"]),
    &feature(
        "net.rx_udp_gro_forwarding",
        "Whether UDP packets that are forwarded are joined too. From 5.12 on.",
        &["rx-udp-gro-forwarding"],
    ),
    &NamedFeature(spec(
        "net.feature",
        "Any feature of an interface by the kernel's name: `eth0:tx-udp-segmentation`. `ethtool -k` shows older names for some: \
         its generic-receive-offload is `rx-gro`, its rx-checksumming `rx-checksum`, its tcp-segmentation-offload all that it \
         lists below.",
        Scope::Named,
    )),
];

impl Knob for FeatureKnob {
    fn spec(&self) -> &KnobSpec {
        &self.spec
    }

    fn targets(&self, host: &Host) -> Vec<Target> {
        nics(host)
    }

    fn read(&self, host: &Host, target: &Target) -> Result<Reading, KnobError> {
        let (mut parts, mut why) = (BTreeMap::new(), String::new());
        for name in self.names {
            match cards(host).feature(nic(target)?, name)? {
                Ok(on) => drop(parts.insert((*name).to_owned(), Value::Switch(on))),
                Err(absent) => why = absent,
            }
        }
        Ok(match (parts.len(), self.names) {
            (0, _) => Reading::Absent(why),
            (_, [_]) => parts.into_values().next().map_or(Reading::Absent(why), Reading::Value),
            _ => Reading::Value(Value::Each(parts)),
        })
    }

    fn normalize(&self, _: &Host, _: &Target, value: &Value) -> Result<Value, KnobError> {
        Ok(value.clone())
    }

    fn write(&self, host: &Host, target: &Target, value: &Value) -> Result<Held, KnobError> {
        let (changes, nic) = (self.changes(host, target, value)?, nic(target)?);
        parts::all_or_none(&changes, |name, on| set(host, nic, name, on)).map(|()| Held::Nothing)
    }

    fn restore(&self, host: &Host, target: &Target, before: &Value) -> Result<(), KnobError> {
        let (changes, nic) = (self.changes(host, target, before)?, nic(target)?);
        parts::as_many_as_can_be(&changes, |name, on| set(host, nic, name, on))
    }
}

impl FeatureKnob {
    /// What is to be switched. Those that the driver does not let be changed are left as they are.
    fn changes(&self, host: &Host, target: &Target, value: &Value) -> Result<Vec<Change<&'static str>>, KnobError> {
        let mut changes = Vec::new();
        for name in self.names {
            let wanted = match value {
                Value::Each(parts) => parts.get(*name),
                value => Some(value),
            };
            let now = cards(host).feature(nic(target)?, name)?.ok().map(Value::Switch);
            if let (Some(now), Some(wanted)) = (now, wanted)
                && now != *wanted
            {
                changes.push(Change { part: *name, now, wanted: wanted.clone() });
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
    KnobError::Impossible { value: value.clone(), why: "a feature is on or off".to_owned() }
}

impl Knob for NamedFeature {
    fn spec(&self) -> &KnobSpec {
        &self.0
    }

    fn targets(&self, _: &Host) -> Vec<Target> {
        Vec::new()
    }

    fn read(&self, host: &Host, target: &Target) -> Result<Reading, KnobError> {
        let Some((nic, name)) = parts(target) else {
            return Ok(Reading::Absent(format!("`{target}` names no feature: write `eth0:rx-gro`")));
        };
        let found = cards(host).feature(nic, name)?;
        Ok(found.map_or_else(Reading::Absent, |on| Reading::Value(Value::Switch(on))))
    }

    fn normalize(&self, _: &Host, _: &Target, value: &Value) -> Result<Value, KnobError> {
        Ok(value.clone())
    }

    fn write(&self, host: &Host, target: &Target, value: &Value) -> Result<Held, KnobError> {
        let (nic, name) = parts(target).ok_or_else(|| KnobError::Target { target: target.clone() })?;
        set(host, nic, name, value).map(|()| Held::Nothing)
    }
}

/// `eth0:rx-gro`. Names of interfaces may have colons, those of features have none.
fn parts(target: &Target) -> Option<(&str, &str)> {
    let Target::Name(name) = target else { return None };
    name.rsplit_once(':')
}
