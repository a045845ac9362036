//! Rules that steer flows to queues.

use super::cards::cards;
use super::flow_rule::FlowRule;
use crate::host::Host;
use crate::tune::knob::{Held, Knob, KnobError, KnobSpec, Lifetime, Reading, Risk, Stage, check_text};
use crate::tune::{Kind, Scope, Target, Value, ValueError};

/// The rule at one place of a card's table.
struct Rule;

static SPEC: KnobSpec = KnobSpec {
    id: "net.flow_rule",
    doc: "A rule that steers a flow to a receive queue, at a place of the card's table: on `eth0:10`, `udp4 dst-ip 239.1.1.1 \
          dst-port 5000 queue 3`. Empty for no rule there. Needs `net.ntuple`.",
    source: "Documentation/networking/scaling.rst (n-tuple filtering); ETHTOOL_SRXCLSRLINS, include/uapi/linux/ethtool.h",
    kind: Kind::Text,
    scope: Scope::Named,
    lifetime: Lifetime::Runtime,
    risk: Risk::Medium("a rule that is too wide takes other flows with it, or drops them"),
    stage: Stage::Placement,
    ..KnobSpec::RUNTIME
};

pub(super) static KNOBS: &[&dyn Knob] = &[&Rule];

/// `eth0:10`.
fn place(target: &Target) -> Option<(&str, u32)> {
    let Target::Name(name) = target else { return None };
    let (nic, location) = name.rsplit_once(':')?;
    Some((nic, location.parse().ok()?))
}

fn rule(value: &Value) -> Result<Option<FlowRule>, KnobError> {
    match value {
        Value::Text(text) if text.is_empty() => Ok(None),
        Value::Text(text) => text.parse().map(Some).map_err(|why| KnobError::Impossible { value: value.clone(), why }),
        other => Err(KnobError::Impossible { value: other.clone(), why: "it is no rule".to_owned() }),
    }
}

impl Knob for Rule {
    fn spec(&self) -> &KnobSpec {
        &SPEC
    }

    fn check(&self, value: &Value) -> Result<(), ValueError> {
        let wanted = "a rule as in `udp4 dst-port 5000 queue 3`, or empty for none";
        check_text(value, wanted, |text| text.is_empty() || text.parse::<FlowRule>().is_ok())
    }

    fn targets(&self, _: &Host) -> Vec<Target> {
        Vec::new()
    }

    fn read(&self, host: &Host, target: &Target) -> Result<Reading, KnobError> {
        let Some((nic, location)) = place(target) else {
            return Ok(Reading::Absent(format!("`{target}` is no place of a rule: write `eth0:10`")));
        };
        let found = cards(host).flow_rule(nic, location)?;
        let text = |rule: Option<FlowRule>| rule.map(|rule| rule.to_string()).unwrap_or_default();
        Ok(found.map_or_else(Reading::Absent, |rule| Reading::Value(Value::Text(text(rule)))))
    }

    fn normalize(&self, _: &Host, _: &Target, value: &Value) -> Result<Value, KnobError> {
        Ok(Value::Text(rule(value)?.map(|rule| rule.to_string()).unwrap_or_default()))
    }

    fn write(&self, host: &Host, target: &Target, value: &Value) -> Result<Held, KnobError> {
        let (nic, location) = place(target).ok_or_else(|| KnobError::Target { target: target.clone() })?;
        cards(host).set_flow_rule(nic, location, rule(value)?.as_ref()).map(|()| Held::Nothing)
    }
}
