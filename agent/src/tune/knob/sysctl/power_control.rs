//! Runtime power management of devices.

use crate::host::Host;
use crate::tune::knob::error::KnobError;
use crate::tune::knob::identity::{IdentityFn, sysfs_device};
use crate::tune::knob::knob::Knob;
use crate::tune::knob::reading::{Held, Reading};
use crate::tune::knob::spec::KnobSpec;
use crate::tune::knob::value_file::{check_writable, read, write};
use crate::tune::value::{KnobTarget, Scope, Value, ValueKind};

/// `power/control` of a device.
pub(super) struct PowerControl;

static SPEC: KnobSpec = KnobSpec {
    id: "device.power_control",
    doc: "Whether a device stays awake (`on`) or may be suspended while it is idle (`auto`), by its PCI address such as `0000:00:02.0`, \
          or its path below /sys. A suspended i915 caused latency spikes of a millisecond (tuned #719).",
    source: "Documentation/ABI/testing/sysfs-devices-power, control",
    kind: ValueKind::Word(&["auto", "on"]),
    scope: Scope::Named,
    ..KnobSpec::RUNTIME
};

/// The file of a device.
fn file(target: &KnobTarget) -> Result<String, KnobError> {
    target.name().and_then(file_of_device).ok_or_else(|| KnobError::WrongTarget { target: target.clone() })
}

fn file_of_device(name: &str) -> Option<String> {
    match name.strip_prefix("/sys/") {
        Some(path) if path.split('/').all(|part| !part.is_empty() && part != "..") => {
            Some(format!("{name}/power/control"))
        }
        None if !name.contains('/') && name != ".." => Some(format!("/sys/bus/pci/devices/{name}/power/control")),
        _ => None,
    }
}

impl Knob for PowerControl {
    fn spec(&self) -> &KnobSpec {
        &SPEC
    }

    fn read(&self, host: &Host, target: &KnobTarget) -> Result<Reading, KnobError> {
        let file = file(target)?;
        Ok(match read(host, &file, &file)? {
            Ok(word) => Reading::Value(Value::Word(word)),
            Err(reason) => Reading::Absent(reason),
        })
    }

    fn write(&self, host: &Host, target: &KnobTarget, value: &Value) -> Result<Held, KnobError> {
        write(host, &file(target)?, &value.to_string()).map(|()| Held::Nothing)
    }

    fn identity(&self) -> Option<IdentityFn> {
        Some(|host, target| sysfs_device(host, &file(target).ok()?))
    }

    fn check_writable(&self, host: &Host, target: &KnobTarget) -> Result<(), KnobError> {
        check_writable(host, &file(target)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tune::knob::fake;

    #[test]
    fn a_device_is_named_by_its_address_or_path() {
        let (_folder, host) = fake::host(&[("/sys/bus/pci/devices/0000:00:02.0/power/control", "auto\n")]);
        for name in ["0000:00:02.0", "/sys/bus/pci/devices/0000:00:02.0"] {
            fake::round_trip(&PowerControl, &host, &KnobTarget::Name(name.to_owned()), "on");
        }
        let (folder, host) = fake::host(&[
            ("/sys/devices/pci0000:00/0000:00:02.0/power/control", "auto\n"),
            ("/sys/bus/pci/devices/.keep", ""),
        ]);
        let link = folder.path().join("sys/bus/pci/devices/0000:00:02.0");
        std::os::unix::fs::symlink("../../../devices/pci0000:00/0000:00:02.0", link).expect("a link");
        let now = fake::value(&PowerControl, &host, &KnobTarget::Name("0000:00:02.0".to_owned()));
        assert!(
            matches!(&now, Value::OnDevice { device: what, .. } if what.starts_with("/sys/devices/pci0000:00/0000:00:02.0"))
        );
        let elsewhere = PowerControl.read(&host, &KnobTarget::Name("/sys/../etc".to_owned()));
        assert!(matches!(elsewhere, Err(KnobError::WrongTarget { .. })), "{elsewhere:?}");
    }
}
