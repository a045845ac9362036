//! What the firmware aims for.

use std::io;

use crate::host::Host;
use crate::tune::knob::{Codec, FileKnob, Held, KeptBy, Knob, KnobError, KnobSpec, Reading};
use crate::tune::{Kind, Target, Value};

/// The profile of the firmware.
pub(super) struct PlatformProfile(FileKnob);

pub(super) static PLATFORM_PROFILE: PlatformProfile = PlatformProfile(FileKnob {
    spec: KnobSpec {
        id: "cpu.platform_profile",
        doc: "What the firmware aims for: some servers keep uncore and memory slow under any other than `performance`. Where it \
              is `custom`, nothing is set: that could not be put back.",
        source: "Documentation/ABI/testing/sysfs-platform_profile (5.12; custom: 6.14; max-power later)",
        kind: Kind::Word(&[
            "low-power",
            "cool",
            "quiet",
            "balanced",
            "balanced-performance",
            "performance",
            "max-power",
        ]),
        kept_by: KeptBy::Hardware,
        ..KnobSpec::RUNTIME
    },
    path: "/sys/firmware/acpi/platform_profile",
    codec: Codec::OneOf("/sys/firmware/acpi/platform_profile_choices"),
});

/// What the file reads where a driver has settings of its own, or several drivers do not agree; a write of it is refused
/// (platform_profile_store, drivers/acpi/platform_profile.c).
const CUSTOM: &str = "custom";

impl Knob for PlatformProfile {
    fn spec(&self) -> &KnobSpec {
        self.0.spec()
    }

    fn targets(&self, host: &Host) -> Vec<Target> {
        self.0.targets(host)
    }

    fn read(&self, host: &Host, target: &Target) -> Result<Reading, KnobError> {
        self.0.read(host, target)
    }

    fn normalize(&self, host: &Host, target: &Target, value: &Value) -> Result<Value, KnobError> {
        self.0.normalize(host, target, value)
    }

    fn write(&self, host: &Host, target: &Target, value: &Value) -> Result<Held, KnobError> {
        self.0.write(host, target, value)
    }

    fn changeable(&self, host: &Host, target: &Target) -> Result<(), KnobError> {
        self.0.changeable(host, target)?;
        match self.read(host, target)? {
            Reading::Value(Value::Word(word)) if word == CUSTOM => Err(KnobError::Refused {
                path: host.root.display_path(self.0.path),
                value: word,
                source: io::Error::other("it is that now, and could not be put back"),
            }),
            _ => Ok(()),
        }
    }

    fn file(&self, target: &Target) -> Option<String> {
        self.0.file(target)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tune::knob::fake;

    #[test]
    fn a_profile_is_set_and_put_back_but_for_custom() {
        let file = PLATFORM_PROFILE.0.path;
        let choices = ("/sys/firmware/acpi/platform_profile_choices", "balanced performance max-power\n");
        let (_folder, host) = fake::host(&[(file, "max-power\n"), choices]);
        fake::round_trip(&PLATFORM_PROFILE, &host, &Target::Host, "performance");
        assert!(PLATFORM_PROFILE.changeable(&host, &Target::Host).is_ok());
        let (_folder, host) = fake::host(&[(file, "custom\n"), choices]);
        let error = PLATFORM_PROFILE.changeable(&host, &Target::Host).expect_err("it cannot be put back");
        assert!(error.to_string().contains("`custom`"), "{error}");
        assert!(PLATFORM_PROFILE.spec().kind.parse(CUSTOM).is_err());
    }
}
