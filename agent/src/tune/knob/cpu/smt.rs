//! Whether cores run more than one thread.

use crate::host::Host;
use crate::tune::knob::{Codec, FileKnob, Held, Knob, KnobError, KnobSpec, Reading, Risk, Stage};
use crate::tune::{Kind, Target, Value};

/// `/sys/devices/system/cpu/smt/control`.
pub(super) struct Smt;

static FILE: FileKnob = FileKnob {
    spec: KnobSpec {
        id: "cpu.smt",
        doc: "Whether each core runs two threads. Off, a thread has its core's caches and units for itself, and the siblings \
              go offline: settings for them do not apply.",
        source: "Documentation/ABI/testing/sysfs-devices-system-cpu, smt/control",
        kind: Kind::Word(&["on", "off"]),
        risk: Risk::High("half of the CPUs go, and what was bound to them moves; the kernel may not bring all back"),
        stage: Stage::Presence,
        ..KnobSpec::RUNTIME
    },
    path: "/sys/devices/system/cpu/smt/control",
    codec: Codec::Plain,
};

impl Knob for Smt {
    fn spec(&self) -> &KnobSpec {
        FILE.spec()
    }

    fn targets(&self, host: &Host) -> Vec<Target> {
        FILE.targets(host)
    }

    fn read(&self, host: &Host, target: &Target) -> Result<Reading, KnobError> {
        let reading = FILE.read(host, target)?;
        Ok(match &reading {
            Reading::Value(Value::Word(word)) if word == "notsupported" || word == "notimplemented" => {
                Reading::Absent("the CPUs have no SMT, or the firmware has switched it off".to_owned())
            }
            // Until the next boot, by `nosmt=force`.
            Reading::Value(Value::Word(word)) if word == "forceoff" => {
                Reading::Absent("SMT is forced off on the boot line".to_owned())
            }
            _ => reading,
        })
    }

    fn normalize(&self, host: &Host, target: &Target, value: &Value) -> Result<Value, KnobError> {
        FILE.normalize(host, target, value)
    }

    fn write(&self, host: &Host, target: &Target, value: &Value) -> Result<Held, KnobError> {
        FILE.write(host, target, value)
    }

    fn changeable(&self, host: &Host, target: &Target) -> Result<(), KnobError> {
        FILE.changeable(host, target)
    }

    fn file(&self, target: &Target) -> Option<String> {
        FILE.file(target)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tune::knob::fake;

    #[test]
    fn it_is_a_switch_only_where_there_is_one() {
        let (folder, host) = fake::host(&[(FILE.path, "on\n")]);
        fake::round_trip(&Smt, &host, &Target::Host, "off");
        for word in ["notsupported", "forceoff"] {
            fake::put(folder.path(), FILE.path, word);
            assert!(matches!(Smt.read(&host, &Target::Host), Ok(Reading::Absent(_))), "{word}");
        }
    }
}
