//! Simultaneous multithreading.

use crate::host::Host;
use crate::tune::knob::error::KnobError;
use crate::tune::knob::knob::Knob;
use crate::tune::knob::reading::{Held, Reading};
use crate::tune::knob::spec::{KnobSpec, Risk, Stage};
use crate::tune::knob::value_file::{Codec, ValueFile};
use crate::tune::value::{KnobTarget, Value, ValueKind};

/// `/sys/devices/system/cpu/smt/control`.
pub(super) struct Smt;

/// The id of the knob that takes CPUs offline.
pub(crate) const SMT_ID: &str = "cpu.smt";

static SPEC: KnobSpec = KnobSpec {
    id: SMT_ID,
    doc: "Whether each core runs two threads. Off, a thread has the caches and execution units of its core to itself, and the \
          sibling CPUs go offline: settings for them do not apply.",
    source: "Documentation/ABI/testing/sysfs-devices-system-cpu, smt/control",
    kind: ValueKind::Word(&["on", "off"]),
    risk: Risk::High(
        "half of the CPUs go offline, what was pinned to them is moved, and the kernel may not bring all of them back",
    ),
    stage: Stage::Presence,
    ..KnobSpec::RUNTIME
};

static FILE: ValueFile = ValueFile { path: "/sys/devices/system/cpu/smt/control", codec: Codec::Plain };

impl Knob for Smt {
    fn spec(&self) -> &KnobSpec {
        &SPEC
    }

    fn value_file(&self) -> Option<&ValueFile> {
        Some(&FILE)
    }

    fn read(&self, host: &Host, target: &KnobTarget) -> Result<Reading, KnobError> {
        let reading = FILE.read(host, target, SPEC.kind)?;
        Ok(match &reading {
            Reading::Value(Value::Word(word)) if word == "notsupported" || word == "notimplemented" => {
                Reading::Absent("the CPUs have no SMT, or the firmware disabled it".to_owned())
            }
            // `nosmt=force` forces SMT off until the next boot.
            Reading::Value(Value::Word(word)) if word == "forceoff" => {
                Reading::Absent("SMT is forced off on the command line".to_owned())
            }
            _ => reading,
        })
    }

    fn write(&self, host: &Host, target: &KnobTarget, value: &Value) -> Result<Held, KnobError> {
        FILE.write(host, target, value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tune::knob::fake;

    #[test]
    fn it_is_absent_if_the_cpus_cannot_be_switched() {
        let (folder, host) = fake::host(&[(FILE.path, "on\n")]);
        fake::round_trip(&Smt, &host, &KnobTarget::Host, "off");
        for word in ["notsupported", "forceoff"] {
            fake::put(folder.path(), FILE.path, word);
            assert!(matches!(Smt.read(&host, &KnobTarget::Host), Ok(Reading::Absent(_))), "{word}");
        }
    }
}
