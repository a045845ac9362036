//! The platform profile of the firmware.

use std::io;

use crate::host::Host;
use crate::tune::knob::error::KnobError;
use crate::tune::knob::knob::Knob;
use crate::tune::knob::reading::{Held, Reading};
use crate::tune::knob::spec::{KnobSpec, RetainedBy};
use crate::tune::knob::value_file::{Codec, ValueFile};
use crate::tune::value::{KnobTarget, Value, ValueKind};

/// The platform profile of the firmware.
pub(super) struct PlatformProfile;

static SPEC: KnobSpec = KnobSpec {
    id: "cpu.platform_profile",
    doc: "The platform profile of the firmware. Some servers keep uncore and memory slow with any other than `performance`. If the \
          current profile is `custom`, nothing is set, because `custom` could not be restored.",
    source: "Documentation/ABI/testing/sysfs-platform_profile (5.12; custom: 6.14; max-power later)",
    kind: ValueKind::Word(&[
        "low-power",
        "cool",
        "quiet",
        "balanced",
        "balanced-performance",
        "performance",
        "max-power",
    ]),
    retained_by: RetainedBy::Hardware,
    ..KnobSpec::RUNTIME
};

static FILE: ValueFile = ValueFile {
    path: "/sys/firmware/acpi/platform_profile",
    codec: Codec::OneOf("/sys/firmware/acpi/platform_profile_choices"),
};

pub(super) static PLATFORM_PROFILE: PlatformProfile = PlatformProfile;

/// The content of the file if a driver uses custom settings, or if several drivers have different profiles. It cannot be
/// written (platform_profile_store, drivers/acpi/platform_profile.c).
const CUSTOM: &str = "custom";

impl Knob for PlatformProfile {
    fn spec(&self) -> &KnobSpec {
        &SPEC
    }

    fn value_file(&self) -> Option<&ValueFile> {
        Some(&FILE)
    }

    fn read(&self, host: &Host, target: &KnobTarget) -> Result<Reading, KnobError> {
        FILE.read(host, target, SPEC.kind)
    }

    fn write(&self, host: &Host, target: &KnobTarget, value: &Value) -> Result<Held, KnobError> {
        FILE.write(host, target, value)
    }

    fn check_writable(&self, host: &Host, target: &KnobTarget) -> Result<(), KnobError> {
        FILE.check_writable(host, target)?;
        match self.read(host, target)? {
            Reading::Value(Value::Word(word)) if word == CUSTOM => Err(KnobError::Refused {
                path: host.root.display_path(FILE.path),
                value: word,
                source: io::Error::other("the current profile could not be restored"),
            }),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tune::knob::fake;

    #[test]
    fn a_profile_is_set_and_restored_except_custom() {
        let file = FILE.path;
        let choices = ("/sys/firmware/acpi/platform_profile_choices", "balanced performance max-power\n");
        let (_folder, host) = fake::host(&[(file, "max-power\n"), choices]);
        fake::round_trip(&PLATFORM_PROFILE, &host, &KnobTarget::Host, "performance");
        assert!(PLATFORM_PROFILE.check_writable(&host, &KnobTarget::Host).is_ok());
        let (_folder, host) = fake::host(&[(file, "custom\n"), choices]);
        let error = PLATFORM_PROFILE.check_writable(&host, &KnobTarget::Host).expect_err("it cannot be restored");
        assert!(error.to_string().contains("`custom`"), "{error}");
        assert!(PLATFORM_PROFILE.spec().kind.parse(CUSTOM).is_err());
    }
}
