//! Rules that steer flows to receive queues.

use super::backend::cards;
use crate::host::Host;
use crate::tune::knob::checks::check_text;
use crate::tune::knob::error::KnobError;
use crate::tune::knob::identity::{IdentityFn, prefixed_nic_device};
use crate::tune::knob::knob::Knob;
use crate::tune::knob::net::flow_rule::FlowRule;
use crate::tune::knob::reading::{Held, Reading};
use crate::tune::knob::spec::{KnobSpec, Risk, Stage};
use crate::tune::value::{KnobTarget, Scope, Value, ValueError, ValueKind};

/// A knob for the rule at one location of a card's flow table.
struct FlowRuleKnob;

static SPEC: KnobSpec = KnobSpec {
    id: "net.flow_rule",
    doc: "A rule that steers a flow to a receive queue, at a location of the table of a card: on `eth0:10`, `udp4 dst-ip 239.1.1.1 \
          dst-port 5000 queue 3`. An empty value removes the rule. It needs `net.ntuple`.",
    source: "Documentation/networking/scaling.rst (n-tuple filtering); ETHTOOL_SRXCLSRLINS, include/uapi/linux/ethtool.h",
    kind: ValueKind::Text,
    scope: Scope::Named,
    risk: Risk::Medium("a rule that is too general steers or drops other flows too"),
    stage: Stage::Placement,
    ..KnobSpec::RUNTIME
};

pub(super) static KNOBS: &[&dyn Knob] = &[&FlowRuleKnob];

/// Splits `eth0:10` into the interface and the location.
fn interface_and_location(target: &KnobTarget) -> Option<(&str, u32)> {
    let KnobTarget::Name(name) = target else { return None };
    let (nic, location) = name.rsplit_once(':')?;
    Some((nic, location.parse().ok()?))
}

fn rule_text(rule: Option<FlowRule>) -> String {
    rule.map(|rule| rule.to_string()).unwrap_or_default()
}

fn parse_rule(value: &Value) -> Result<Option<FlowRule>, KnobError> {
    match value {
        Value::Text(text) if text.is_empty() => Ok(None),
        Value::Text(text) => {
            text.parse().map(Some).map_err(|reason| KnobError::Impossible { value: value.clone(), reason })
        }
        other => Err(KnobError::Impossible { value: other.clone(), reason: "it is not a flow rule".to_owned() }),
    }
}

impl Knob for FlowRuleKnob {
    fn spec(&self) -> &KnobSpec {
        &SPEC
    }

    fn check_value(&self, value: &Value) -> Result<(), ValueError> {
        let expected = "a rule such as `udp4 dst-port 5000 queue 3`, or empty";
        check_text(value, expected, |text| text.is_empty() || text.parse::<FlowRule>().is_ok())
    }

    fn read(&self, host: &Host, target: &KnobTarget) -> Result<Reading, KnobError> {
        let Some((nic, location)) = interface_and_location(target) else {
            return Ok(Reading::Absent(format!("`{target}` is not the location of a rule such as `eth0:10`")));
        };
        let rule = cards(host).flow_rule(nic, location)?;
        Ok(rule.map_or_else(Reading::Absent, |rule| Reading::Value(Value::Text(rule_text(rule)))))
    }

    fn normalize(&self, _: &Host, _: &KnobTarget, value: &Value) -> Result<Value, KnobError> {
        Ok(Value::Text(rule_text(parse_rule(value)?)))
    }

    fn write(&self, host: &Host, target: &KnobTarget, value: &Value) -> Result<Held, KnobError> {
        let (nic, location) =
            interface_and_location(target).ok_or_else(|| KnobError::WrongTarget { target: target.clone() })?;
        cards(host).set_flow_rule(nic, location, parse_rule(value)?.as_ref()).map(|()| Held::Nothing)
    }

    fn identity(&self) -> Option<IdentityFn> {
        Some(prefixed_nic_device)
    }
}
