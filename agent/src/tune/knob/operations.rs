//! The operations on a knob that plans and transactions use.
//!
//! The kernel reuses names: by the time a value is restored, an interface name may refer to another card, and a disk name to
//! another disk. These operations add the device to every value that is read, and compare the device before a value is
//! restored.

use super::error::KnobError;
use super::knob::Knob;
use super::matched_process::MatchedProcess;
use super::reading::{Activation, Held, Reading, Survey};
use crate::host::Host;
use crate::tune::value::{KnobTarget, Value, ValueError};

impl dyn Knob + '_ {
    /// Parses a value of a profile or of the command line.
    ///
    /// # Errors
    /// No host accepts the value.
    pub fn parse(&self, text: &str) -> Result<Value, ValueError> {
        let value = self.spec().kind.parse(text)?;
        self.check_value(&value).map(|()| value)
    }

    /// The current value, with the device to which it belongs.
    ///
    /// # Errors
    /// The errors of [`Knob::read`].
    pub fn current(&self, host: &Host, target: &KnobTarget) -> Result<Reading, KnobError> {
        Ok(self.with_device(host, target, self.read(host, target)?))
    }

    /// The current value for a plan.
    ///
    /// # Errors
    /// The errors of [`Knob::survey`].
    pub fn current_survey(&self, host: &Host, target: &KnobTarget) -> Result<Survey, KnobError> {
        let Survey { reading, processes, remarks } = self.survey(host, target)?;
        Ok(Survey { reading: self.with_device(host, target, reading), processes, remarks })
    }

    /// The current value for a plan that is applied. A process rule is limited to the processes that the plan lists.
    ///
    /// # Errors
    /// The errors of [`Knob::read`] and [`ProcessRule::read_planned`](super::knob::ProcessRule::read_planned).
    pub fn current_for(
        &self,
        host: &Host,
        target: &KnobTarget,
        processes: &[MatchedProcess],
    ) -> Result<Reading, KnobError> {
        match self.process_rule() {
            Some(rule) => rule.read_planned(host, target, processes),
            None => self.current(host, target),
        }
    }

    /// The current value of the parts of `before`, on the device of `before`; absent if the target is another device now.
    ///
    /// # Errors
    /// The errors of [`Knob::read_back`].
    pub fn current_since(&self, host: &Host, target: &KnobTarget, before: &Value) -> Result<Reading, KnobError> {
        if let Some(reason) = self.other_device(host, target, before) {
            return Ok(Reading::Absent(reason));
        }
        let reading = self.read_back(host, target, self.without_device(before))?;
        Ok(self.with_device(host, target, reading))
    }

    /// Sets the desired value on the parts of `before`.
    ///
    /// # Errors
    /// The errors of [`Knob::write`].
    pub fn set(&self, host: &Host, target: &KnobTarget, before: &Value, desired: &Value) -> Result<Held, KnobError> {
        self.write(host, target, &self.limit_to_parts(self.without_device(before), desired))
    }

    /// Restores the original value on the device from which it was read.
    ///
    /// # Errors
    /// The errors of [`Knob::restore`]; or the target is another device now.
    pub fn roll_back(&self, host: &Host, target: &KnobTarget, before: &Value) -> Result<(), KnobError> {
        match self.other_device(host, target, before) {
            Some(reason) => Err(KnobError::Impossible { value: before.clone(), reason }),
            None => self.restore(host, target, self.without_device(before)),
        }
    }

    /// Whether `current` equals `expected` and belongs to the same device.
    #[must_use]
    pub fn equals(&self, current: &Value, expected: &Value) -> bool {
        if self.identity().is_some()
            && let Value::OnDevice { device: expected, .. } = expected
            && !matches!(current, Value::OnDevice { device, .. } if device == expected)
        {
            return false;
        }
        self.matches(self.without_device(current), self.without_device(expected))
    }

    /// Whether `current` fulfils the purpose of `desired`.
    #[must_use]
    pub fn is_satisfied(&self, current: &Value, desired: &Value) -> bool {
        match (current, desired) {
            (Value::OnDevice { .. }, Value::OnDevice { .. }) if self.identity().is_some() => {
                self.equals(current, desired)
            }
            _ => self.satisfies(self.without_device(current), desired),
        }
    }

    /// Checks that the processes of a plan have not changed.
    ///
    /// # Errors
    /// The errors of [`ProcessRule::check_unchanged`](super::knob::ProcessRule::check_unchanged).
    pub fn check_processes(&self, host: &Host, planned: &[MatchedProcess]) -> Result<(), KnobError> {
        self.process_rule().map_or(Ok(()), |rule| rule.check_unchanged(host, planned))
    }

    /// Whether `current` is a privilege that was granted when `desired` replaced `before`.
    #[must_use]
    pub fn is_granted_privilege(&self, current: &Value, before: &Value, desired: &Value) -> bool {
        self.privileges().is_some_and(|privileges| privileges.is_granted(current, before, desired))
    }

    /// Revokes the privileges that setting `desired` granted. Returns a message that names the processes that still have them.
    ///
    /// # Errors
    /// The errors of [`Privileges::revoke`](super::knob::Privileges::revoke).
    pub fn revoke_privileges(
        &self,
        host: &Host,
        before: &Value,
        desired: &Value,
        processes: &[MatchedProcess],
    ) -> Result<Option<String>, KnobError> {
        self.privileges().map_or(Ok(None), |privileges| privileges.revoke(host, before, desired, processes))
    }

    /// Whether the running system uses `desired`.
    ///
    /// # Errors
    /// The errors of [`Configuration::activation`](super::knob::Configuration::activation).
    pub fn activation(&self, host: &Host, target: &KnobTarget, desired: &Value) -> Result<Activation, KnobError> {
        self.configuration().map_or(Ok(Activation::Active), |files| files.activation(host, target, desired))
    }

    /// Activates the written values.
    ///
    /// # Errors
    /// The errors of [`Configuration::activate`](super::knob::Configuration::activate).
    pub fn activate(&self, host: &Host) -> Result<(), KnobError> {
        self.configuration().map_or(Ok(()), |files| files.activate(host))
    }

    /// Adds the device to a value. Interfaces without a device are identified only by name.
    fn with_device(&self, host: &Host, target: &KnobTarget, reading: Reading) -> Reading {
        let device = self.identity().and_then(|identity| identity(host, target));
        match (reading, device) {
            (Reading::Value(value), Some(device)) => Reading::Value(Value::OnDevice { device, value: Box::new(value) }),
            (reading, _) => reading,
        }
    }

    /// The value without the device, for the knob. A knob without an identity handles devices itself.
    fn without_device<'a>(&self, value: &'a Value) -> &'a Value {
        match value {
            Value::OnDevice { value, .. } if self.identity().is_some() => value,
            value => value,
        }
    }

    /// The reason why the target is not the device of `before`; `None` if it is the same device.
    fn other_device(&self, host: &Host, target: &KnobTarget, before: &Value) -> Option<String> {
        let Value::OnDevice { device, .. } = before else { return None };
        match self.identity()?(host, target) {
            Some(current) if current == *device => None,
            Some(current) => Some(format!("{target} is now {current}, and was {device}")),
            None => Some(format!("{target} was {device}, which does not exist")),
        }
    }
}
