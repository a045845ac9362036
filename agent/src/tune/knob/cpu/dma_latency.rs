//! The maximum exit latency of idle states for all CPUs. The limit is in force while a file is held open.

use std::io::{self, Read as _, Write as _};
use std::os::fd::OwnedFd;

use crate::host::Host;
use crate::tune::knob::error::KnobError;
use crate::tune::knob::knob::Knob;
use crate::tune::knob::reading::{Held, Reading};
use crate::tune::knob::spec::{KnobSpec, Lifetime, Risk};
use crate::tune::value::{KnobTarget, Value, ValueKind};

/// A request on `/dev/cpu_dma_latency`.
pub(super) struct DmaLatency;

/// `PM_QOS_CPU_LATENCY_DEFAULT_VALUE`, include/linux/pm_qos.h: the value without any request, in microseconds.
const NO_LIMIT: i64 = 2_000_000_000;

static SPEC: KnobSpec = KnobSpec {
    id: "cpu.dma_latency",
    doc: "The maximum latency of leaving an idle state, for all CPUs: deeper states are not entered. The lowest request of all \
          processes counts, so a lower one of another process is accepted too. 0 makes idle CPUs poll.",
    source: "Documentation/power/pm_qos_interface.rst",
    kind: ValueKind::Integer { min: 0, max: NO_LIMIT, unit: "us" },
    lifetime: Lifetime::WhileHeld,
    risk: Risk::Medium("CPUs that do not sleep use power that other CPUs could use for boost"),
    ..KnobSpec::RUNTIME
};

const FILE: &str = "/dev/cpu_dma_latency";

impl Knob for DmaLatency {
    fn spec(&self) -> &KnobSpec {
        &SPEC
    }

    /// The lowest of all requested latencies (cpu_latency_qos_read, kernel/power/qos.c).
    fn read(&self, host: &Host, _: &KnobTarget) -> Result<Reading, KnobError> {
        let path = host.root.display_path(FILE);
        let mut bytes = [0; 4];
        let read = host.root.open(FILE).and_then(|mut file| file.read_exact(&mut bytes));
        match read {
            Ok(()) => Ok(Reading::Value(Value::Integer(i32::from_ne_bytes(bytes).into()))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Ok(Reading::Absent(format!("{FILE} does not exist")))
            }
            Err(source) if source.kind() == io::ErrorKind::PermissionDenied => Err(KnobError::denied(path, source)),
            Err(source) => Err(KnobError::Read { path, source }),
        }
    }

    fn write(&self, host: &Host, target: &KnobTarget, value: &Value) -> Result<Held, KnobError> {
        let path = host.root.display_path(FILE);
        let limit = match value {
            Value::Integer(limit) => i32::try_from(*limit).ok(),
            _ => None,
        };
        let limit = limit.ok_or_else(|| KnobError::WrongTarget { target: target.clone() })?;
        request(host, limit).map(Held::Open).map_err(|source| KnobError::from_write(path, limit.to_string(), source))
    }

    /// A latency below the desired one also matches.
    fn matches(&self, current: &Value, expected: &Value) -> bool {
        match (current, expected) {
            (Value::Integer(current), Value::Integer(expected)) if *expected < NO_LIMIT => current <= expected,
            (current, expected) => current == expected,
        }
    }
}

/// Opens the device and writes a request. The request is in force until the file is closed.
fn request(host: &Host, limit: i32) -> io::Result<OwnedFd> {
    let mut file = host.root.open_to_write(FILE)?;
    file.write_all(&limit.to_ne_bytes())?;
    Ok(file.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::Root;
    use crate::tune::knob::fake;

    #[test]
    fn a_lower_latency_is_accepted_too() {
        let latency = Value::Integer;
        assert!(DmaLatency.matches(&latency(2), &latency(10)));
        assert!(!DmaLatency.matches(&latency(11), &latency(10)));
        assert!(!DmaLatency.matches(&latency(10), &latency(NO_LIMIT)));
    }

    #[test]
    fn it_is_in_force_while_it_is_held() {
        let mut host = fake::host(&[]).1;
        host.root = Root::host();
        let now = || match DmaLatency.read(&host, &KnobTarget::Host) {
            Ok(Reading::Value(Value::Integer(now))) => Some(now),
            // The device does not exist, or is not readable.
            _ => None,
        };
        let Some(before) = now() else { crate::skip!("/dev/cpu_dma_latency, and permission to open it") };
        if before <= 7 {
            crate::skip!("a host where no program asks for a latency of 7 us or less");
        }
        let held = DmaLatency.write(&host, &KnobTarget::Host, &Value::Integer(7)).expect("write");
        assert_eq!(now(), Some(7));
        drop(held);
        fake::after_closing(|| now() == Some(before));
    }
}
