//! Knobs of network cards, each value with the card that it is of: the name of an interface may be another card's by the time
//! that a value is put back.

use super::{Held, Knob, KnobError, KnobSpec, Reading, Running};
use crate::host::Host;
use crate::tune::{Scope, Target, Value};

/// A knob whose targets are interfaces, or begin with the name of one.
pub(super) struct OnCard(&'static dyn Knob);

/// Those whose targets are named: `eth0:rx-gro`.
const NAMED: [&str; 2] = ["net.feature", "net.flow_rule"];

impl OnCard {
    /// The knob with its cards, if it has any.
    pub(super) fn of(knob: &'static dyn Knob) -> Option<Self> {
        let spec = knob.spec();
        (spec.scope == Scope::Nic || NAMED.contains(&spec.id)).then_some(Self(knob))
    }

    /// What a value is of, where that is known: interfaces without a device are their names.
    fn bound(host: &Host, target: &Target, value: Value) -> Value {
        match card(host, target) {
            Some(what) => Value::Of { what, value: Box::new(value) },
            None => value,
        }
    }

    /// The value itself, if it is of the card that the target is now.
    fn own<'a>(host: &Host, target: &Target, value: &'a Value) -> Result<&'a Value, KnobError> {
        let Value::Of { what, value: own } = value else { return Ok(value) };
        match another(host, target, what) {
            None => Ok(own),
            Some(why) => Err(KnobError::Impossible { value: value.clone(), why }),
        }
    }
}

/// Why a target is not the card any more that it was.
fn another(host: &Host, target: &Target, what: &str) -> Option<String> {
    match card(host, target) {
        Some(now) if now == what => None,
        Some(now) => Some(format!("{target} is now {now}, and was {what}")),
        None => Some(format!("{target} was {what}, which is not there")),
    }
}

/// The card that an interface is on: its driver, its address on the bus, and which of the ports there it is.
fn card(host: &Host, target: &Target) -> Option<String> {
    let nic = match target {
        Target::Nic(nic) => nic,
        // Names of interfaces may have colons, what comes behind has none.
        Target::Name(name) => name.rsplit_once(':')?.0,
        _ => return None,
    };
    let directory = format!("/sys/class/net/{nic}");
    let address = host.root.link_name(&format!("{directory}/device"))?;
    let driver = host.root.link_name(&format!("{directory}/device/driver")).unwrap_or_default();
    let port = host.root.read(&format!("{directory}/dev_port")).ok().filter(|port| port != "0");
    let port = port.map_or_else(String::new, |port| format!(" port {port}"));
    Some(format!("{driver} {address}{port}"))
}

fn inner(value: &Value) -> &Value {
    if let Value::Of { value, .. } = value { value } else { value }
}

impl Knob for OnCard {
    fn spec(&self) -> &KnobSpec {
        self.0.spec()
    }

    fn targets(&self, host: &Host) -> Vec<Target> {
        self.0.targets(host)
    }

    fn read(&self, host: &Host, target: &Target) -> Result<Reading, KnobError> {
        Ok(match self.0.read(host, target)? {
            Reading::Value(value) => Reading::Value(Self::bound(host, target, value)),
            absent => absent,
        })
    }

    fn normalize(&self, host: &Host, target: &Target, value: &Value) -> Result<Value, KnobError> {
        self.0.normalize(host, target, value)
    }

    fn spread(&self, before: &Value, wanted: &Value) -> Value {
        self.0.spread(inner(before), wanted)
    }

    fn write(&self, host: &Host, target: &Target, value: &Value) -> Result<Held, KnobError> {
        self.0.write(host, target, Self::own(host, target, value)?)
    }

    fn read_back(&self, host: &Host, target: &Target, before: &Value) -> Result<Reading, KnobError> {
        if let Value::Of { what, .. } = before
            && let Some(why) = another(host, target, what)
        {
            return Ok(Reading::Absent(why));
        }
        Ok(match self.0.read_back(host, target, inner(before))? {
            Reading::Value(value) => Reading::Value(Self::bound(host, target, value)),
            absent => absent,
        })
    }

    fn restore(&self, host: &Host, target: &Target, before: &Value) -> Result<(), KnobError> {
        self.0.restore(host, target, Self::own(host, target, before)?)
    }

    fn remainder(
        &self,
        host: &Host,
        target: &Target,
        before: &Value,
        wanted: &Value,
    ) -> Result<Option<String>, KnobError> {
        self.0.remainder(host, target, inner(before), wanted)
    }

    fn file(&self, target: &Target) -> Option<String> {
        self.0.file(target)
    }

    fn changeable(&self, host: &Host, target: &Target) -> Result<(), KnobError> {
        self.0.changeable(host, target)
    }

    fn meets(&self, now: &Value, wanted: &Value) -> bool {
        match (now, wanted) {
            (Value::Of { what, .. }, Value::Of { what: meant, .. }) if what != meant => false,
            (now, Value::Of { .. }) if !matches!(now, Value::Of { .. }) => false,
            (now, wanted) => self.0.meets(inner(now), inner(wanted)),
        }
    }

    fn may_end(&self) -> bool {
        self.0.may_end()
    }

    fn running(&self, host: &Host, target: &Target, wanted: &Value) -> Result<Running, KnobError> {
        self.0.running(host, target, inner(wanted))
    }

    fn settle(&self, host: &Host) -> Result<(), KnobError> {
        self.0.settle(host)
    }
}
