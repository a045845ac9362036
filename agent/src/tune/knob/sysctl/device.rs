//! Whether a device sleeps while it is not used.

use crate::host::Host;
use crate::tune::knob::file::{changeable, read, write};
use crate::tune::knob::{Held, Knob, KnobError, KnobSpec, Reading};
use crate::tune::{Kind, Scope, Target, Value};

/// `power/control` of a device.
pub(super) struct PowerControl;

static SPEC: KnobSpec = KnobSpec {
    id: "device.power_control",
    doc: "Whether a device stays awake (`on`) or sleeps while it is not used (`auto`), by its PCI address, as in \
          `0000:00:02.0`, or its path below /sys. An i915 that slept was behind a spike of a millisecond (tuned #719).",
    source: "Documentation/ABI/testing/sysfs-devices-power, control",
    kind: Kind::Word(&["auto", "on"]),
    scope: Scope::Named,
    ..KnobSpec::RUNTIME
};

/// The file of a device.
pub(crate) fn file(target: &Target) -> Result<String, KnobError> {
    let unknown = || KnobError::Target { target: target.clone() };
    let Target::Name(name) = target else { return Err(unknown()) };
    let parts = |path: &str| path.split('/').all(|part| !part.is_empty() && part != "..");
    match name.strip_prefix("/sys/") {
        Some(rest) if parts(rest) => Ok(format!("{name}/power/control")),
        None if !name.contains('/') && name != ".." => Ok(format!("/sys/bus/pci/devices/{name}/power/control")),
        _ => Err(unknown()),
    }
}

impl Knob for PowerControl {
    fn spec(&self) -> &KnobSpec {
        &SPEC
    }

    fn targets(&self, _: &Host) -> Vec<Target> {
        Vec::new()
    }

    fn read(&self, host: &Host, target: &Target) -> Result<Reading, KnobError> {
        let file = file(target)?;
        Ok(match read(host, &file, &file)? {
            Ok(word) => Reading::Value(Value::Word(word)),
            Err(why) => Reading::Absent(why),
        })
    }

    fn normalize(&self, _: &Host, _: &Target, value: &Value) -> Result<Value, KnobError> {
        Ok(value.clone())
    }

    fn write(&self, host: &Host, target: &Target, value: &Value) -> Result<Held, KnobError> {
        write(host, &file(target)?, &value.to_string()).map(|()| Held::Nothing)
    }

    fn changeable(&self, host: &Host, target: &Target) -> Result<(), KnobError> {
        changeable(host, &file(target)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tune::knob::fake;

    #[test]
    fn a_device_is_named_by_its_address_or_its_path() {
        let (_folder, host) = fake::host(&[("/sys/bus/pci/devices/0000:00:02.0/power/control", "auto\n")]);
        for name in ["0000:00:02.0", "/sys/bus/pci/devices/0000:00:02.0"] {
            fake::round_trip(&PowerControl, &host, &Target::Name(name.to_owned()), "on");
        }
        let knob = crate::tune::knob::by_id("device.power_control").expect("the knob");
        let (folder, host) = fake::host(&[
            ("/sys/devices/pci0000:00/0000:00:02.0/power/control", "auto\n"),
            ("/sys/bus/pci/devices/.keep", ""),
        ]);
        let link = folder.path().join("sys/bus/pci/devices/0000:00:02.0");
        std::os::unix::fs::symlink("../../../devices/pci0000:00/0000:00:02.0", link).expect("a link");
        let now = fake::value(knob, &host, &Target::Name("0000:00:02.0".to_owned()));
        assert!(matches!(&now, Value::Of { what, .. } if what.starts_with("/sys/devices/pci0000:00/0000:00:02.0")));
        let elsewhere = PowerControl.read(&host, &Target::Name("/sys/../etc".to_owned()));
        assert!(matches!(elsewhere, Err(KnobError::Target { .. })), "{elsewhere:?}");
    }
}
