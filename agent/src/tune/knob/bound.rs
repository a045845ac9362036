//! Knobs whose targets are names that may be given again: each value comes with the thing that it is of. An interface's name
//! may be another card's by the time that a value is put back, and a disk's another disk's.

use super::identity::{card, device, interface};
use super::sysctl;
use super::{Held, Knob, KnobError, KnobSpec, Lifetime, Reading, Running};
use crate::host::Host;
use crate::tune::{MatchedProcess, Scope, Target, Value, ValueError};

/// A knob, and what its targets are the names of.
pub(super) struct Bound {
    knob: &'static dyn Knob,
    thing: fn(&Host, &Target) -> Option<String>,
}

impl Bound {
    /// The knob with its things, if it has any.
    pub(super) fn of(knob: &'static dyn Knob) -> Option<Self> {
        let thing: fn(&Host, &Target) -> Option<String> = match knob.spec().id {
            // Whose targets begin with an interface, as in `eth0:rx-gro`.
            "net.feature" | "net.flow_rule" => card,
            "sysctl" => |host, target| interface(host, &sysctl::file_of_parameter(target.name()?)),
            "sysfs" => |host, target| device(host, target.name()?),
            "device.power_control" => |host, target| device(host, &sysctl::file_of_device(target).ok()?),
            _ if knob.spec().scope == Scope::Nic => card,
            _ => return None,
        };
        Some(Self { knob, thing })
    }

    /// What a value is of, where that is known: interfaces without a device are their names.
    fn bound(&self, host: &Host, target: &Target, value: Value) -> Value {
        match (self.thing)(host, target) {
            Some(what) => Value::Of { what, value: Box::new(value) },
            None => value,
        }
    }

    /// The value itself, if it is of the thing that the target is now.
    fn own<'a>(&self, host: &Host, target: &Target, value: &'a Value) -> Result<&'a Value, KnobError> {
        let Value::Of { what, value: own } = value else { return Ok(value) };
        match self.another(host, target, what) {
            None => Ok(own),
            Some(why) => Err(KnobError::Impossible { value: value.clone(), why }),
        }
    }

    /// Why a target is not the thing any more that it was.
    fn another(&self, host: &Host, target: &Target, what: &str) -> Option<String> {
        match (self.thing)(host, target) {
            Some(now) if now == what => None,
            Some(now) => Some(format!("{target} is now {now}, and was {what}")),
            None => Some(format!("{target} was {what}, which is not there")),
        }
    }
}

fn inner(value: &Value) -> &Value {
    if let Value::Of { value, .. } = value { value } else { value }
}

impl Knob for Bound {
    fn spec(&self) -> &KnobSpec {
        self.knob.spec()
    }

    fn check(&self, value: &Value) -> Result<(), ValueError> {
        self.knob.check(value)
    }

    fn check_name(&self, name: &str) -> Result<(), String> {
        self.knob.check_name(name)
    }

    fn lifetime(&self, wanted: &Value) -> Lifetime {
        self.knob.lifetime(wanted)
    }

    fn files_on_disk(&self, host: &Host, target: &Target) -> Result<Vec<String>, KnobError> {
        self.knob.files_on_disk(host, target)
    }

    fn targets(&self, host: &Host) -> Vec<Target> {
        self.knob.targets(host)
    }

    fn read(&self, host: &Host, target: &Target) -> Result<Reading, KnobError> {
        Ok(match self.knob.read(host, target)? {
            Reading::Value(value) => Reading::Value(self.bound(host, target, value)),
            absent => absent,
        })
    }

    fn normalize(&self, host: &Host, target: &Target, value: &Value) -> Result<Value, KnobError> {
        self.knob.normalize(host, target, value)
    }

    fn spread(&self, before: &Value, wanted: &Value) -> Value {
        self.knob.spread(inner(before), wanted)
    }

    fn write(&self, host: &Host, target: &Target, value: &Value) -> Result<Held, KnobError> {
        self.knob.write(host, target, self.own(host, target, value)?)
    }

    fn read_back(&self, host: &Host, target: &Target, before: &Value) -> Result<Reading, KnobError> {
        if let Value::Of { what, .. } = before
            && let Some(why) = self.another(host, target, what)
        {
            return Ok(Reading::Absent(why));
        }
        Ok(match self.knob.read_back(host, target, inner(before))? {
            Reading::Value(value) => Reading::Value(self.bound(host, target, value)),
            absent => absent,
        })
    }

    fn restore(&self, host: &Host, target: &Target, before: &Value) -> Result<(), KnobError> {
        self.knob.restore(host, target, self.own(host, target, before)?)
    }

    fn remainder(
        &self,
        host: &Host,
        target: &Target,
        before: &Value,
        wanted: &Value,
    ) -> Result<Option<String>, KnobError> {
        self.knob.remainder(host, target, inner(before), wanted)
    }

    fn is_granted(&self, now: &Value, before: &Value, wanted: &Value) -> bool {
        self.knob.is_granted(inner(now), inner(before), inner(wanted))
    }

    fn revoke(
        &self,
        host: &Host,
        before: &Value,
        wanted: &Value,
        processes: &[MatchedProcess],
    ) -> Result<Option<String>, KnobError> {
        self.knob.revoke(host, inner(before), inner(wanted), processes)
    }

    fn file(&self, target: &Target) -> Option<String> {
        self.knob.file(target)
    }

    fn changeable(&self, host: &Host, target: &Target) -> Result<(), KnobError> {
        self.knob.changeable(host, target)
    }

    fn meets(&self, now: &Value, wanted: &Value) -> bool {
        match (now, wanted) {
            (Value::Of { what, .. }, Value::Of { what: meant, .. }) if what != meant => false,
            (now, Value::Of { .. }) if !matches!(now, Value::Of { .. }) => false,
            (now, wanted) => self.knob.meets(inner(now), inner(wanted)),
        }
    }

    fn satisfies(&self, now: &Value, wanted: &Value) -> bool {
        match (now, wanted) {
            (Value::Of { .. }, Value::Of { .. }) => self.meets(now, wanted),
            (now, wanted) => self.knob.satisfies(inner(now), wanted),
        }
    }

    fn in_words(&self, wanted: &Value) -> String {
        self.knob.in_words(inner(wanted))
    }

    fn may_end(&self) -> bool {
        self.knob.may_end()
    }

    fn running(&self, host: &Host, target: &Target, wanted: &Value) -> Result<Running, KnobError> {
        self.knob.running(host, target, inner(wanted))
    }

    fn settle(&self, host: &Host) -> Result<(), KnobError> {
        self.knob.settle(host)
    }
}
