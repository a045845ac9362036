//! The longest that any CPU may take to leave an idle state, for as long as somebody holds it.

use std::io::{self, Read as _, Write as _};
use std::os::fd::OwnedFd;

use crate::host::Host;
use crate::tune::knob::{Held, Knob, KnobError, KnobSpec, Lifetime, Reading, Risk};
use crate::tune::{Kind, Target, Value};

/// A request on `/dev/cpu_dma_latency`.
pub(super) struct DmaLatency;

/// `PM_QOS_CPU_LATENCY_DEFAULT_VALUE`, include/linux/pm_qos.h: what holds where nobody asks.
const NO_LIMIT: i64 = 2_000_000_000;

static SPEC: KnobSpec = KnobSpec {
    id: "cpu.dma_latency",
    doc: "The longest that any CPU may take to leave an idle state: deeper states are not entered. The shortest that a \
          process holds counts, so a shorter one of another process is as good. 0 makes idle CPUs poll.",
    source: "Documentation/power/pm_qos_interface.rst",
    kind: Kind::Integer { min: 0, max: NO_LIMIT, unit: "us" },
    lifetime: Lifetime::WhileHeld,
    risk: Risk::Medium("CPUs that do not sleep take power, and the boost of their neighbours"),
    ..KnobSpec::RUNTIME
};

const FILE: &str = "/dev/cpu_dma_latency";

impl Knob for DmaLatency {
    fn spec(&self) -> &KnobSpec {
        &SPEC
    }

    fn targets(&self, _: &Host) -> Vec<Target> {
        vec![Target::Host]
    }

    /// What holds now: the shortest of all requests (cpu_latency_qos_read, kernel/power/qos.c).
    fn read(&self, host: &Host, _: &Target) -> Result<Reading, KnobError> {
        let path = host.root.display_path(FILE);
        let mut bytes = [0; 4];
        let read = host.root.open(FILE).and_then(|mut file| file.read_exact(&mut bytes));
        match read {
            Ok(()) => Ok(Reading::Value(Value::Integer(i32::from_ne_bytes(bytes).into()))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Reading::Absent(format!("there is no {FILE}"))),
            Err(source) if source.kind() == io::ErrorKind::PermissionDenied => Err(KnobError::denied(path, source)),
            Err(source) => Err(KnobError::Read { path, source }),
        }
    }

    fn normalize(&self, _: &Host, _: &Target, value: &Value) -> Result<Value, KnobError> {
        Ok(value.clone())
    }

    fn write(&self, host: &Host, target: &Target, value: &Value) -> Result<Held, KnobError> {
        let path = host.root.display_path(FILE);
        let limit = match value {
            Value::Integer(limit) => i32::try_from(*limit).ok(),
            _ => None,
        };
        let limit = limit.ok_or_else(|| KnobError::Target { target: target.clone() })?;
        let open = || -> io::Result<OwnedFd> {
            let mut file = host.root.open_to_write(FILE)?;
            file.write_all(&limit.to_ne_bytes())?;
            Ok(file.into())
        };
        open().map(Held::Open).map_err(|source| KnobError::from_write(path.clone(), limit.to_string(), source))
    }

    /// A shorter one than wanted is as good; no limit is only none.
    fn meets(&self, now: &Value, wanted: &Value) -> bool {
        match (now, wanted) {
            (Value::Integer(now), Value::Integer(wanted)) if *wanted < NO_LIMIT => now <= wanted,
            (now, wanted) => now == wanted,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::Root;
    use crate::tune::knob::fake;

    #[test]
    fn a_shorter_latency_is_as_good_and_no_limit_is_none() {
        let latency = Value::Integer;
        assert!(DmaLatency.meets(&latency(2), &latency(10)));
        assert!(!DmaLatency.meets(&latency(11), &latency(10)));
        assert!(!DmaLatency.meets(&latency(10), &latency(NO_LIMIT)));
    }

    #[test]
    fn it_is_in_force_for_as_long_as_it_is_held() {
        let mut host = fake::host(&[]).1;
        host.root = Root::host();
        let now = || match DmaLatency.read(&host, &Target::Host) {
            Ok(Reading::Value(Value::Integer(now))) => Some(now),
            // No such device here, or not for us.
            _ => None,
        };
        let Some(before) = now() else { crate::skip!("/dev/cpu_dma_latency, and permission to open it") };
        if before <= 7 {
            crate::skip!("a host where no program asks for a latency of 7 us or less");
        }
        let held = DmaLatency.write(&host, &Target::Host, &Value::Integer(7)).expect("write");
        assert_eq!(now(), Some(7));
        drop(held);
        fake::after_closing(|| now() == Some(before));
    }
}
