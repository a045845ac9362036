//! A knob for one of the two watchdogs, which `kernel.watchdog` turns off together.

use crate::host::Host;
use crate::tune::knob::error::KnobError;
use crate::tune::knob::knob::Knob;
use crate::tune::knob::reading::{Held, Reading};
use crate::tune::knob::spec::KnobSpec;
use crate::tune::knob::value_file::{ValueFile, write};
use crate::tune::value::{KnobTarget, Value};

/// A knob for the file of one watchdog.
///
/// The file is not read while both watchdogs are off. Up to 6.12, reading it in this state overwrites the setting with the
/// effective value 0, which remains when `kernel.watchdog` is turned on again (proc_watchdog_common, kernel/watchdog.c; 7.3
/// restores it). The value is known without reading: off.
pub(super) struct Watchdog {
    pub(super) spec: KnobSpec,
    pub(super) file: ValueFile,
}

const BOTH: &str = "/proc/sys/kernel/watchdog";

/// Whether both watchdogs are off. Kernels without this file have only one watchdog.
fn both_off(host: &Host) -> bool {
    host.root.read(BOTH).is_ok_and(|text| text == "0")
}

impl Knob for Watchdog {
    fn spec(&self) -> &KnobSpec {
        &self.spec
    }

    fn value_file(&self) -> Option<&ValueFile> {
        Some(&self.file)
    }

    fn read(&self, host: &Host, target: &KnobTarget) -> Result<Reading, KnobError> {
        match both_off(host) && host.root.has(self.file.path) {
            true => Ok(Reading::Value(Value::Switch(false))),
            false => self.file.read(host, target, self.spec.kind),
        }
    }

    fn normalize(&self, host: &Host, _: &KnobTarget, value: &Value) -> Result<Value, KnobError> {
        if *value == Value::Switch(true) && both_off(host) {
            let reason = "both watchdogs are off: set kernel.watchdog to 1 first".to_owned();
            return Err(KnobError::Impossible { value: value.clone(), reason });
        }
        Ok(value.clone())
    }

    /// Also turns `kernel.watchdog` on, if necessary. When both watchdogs are turned off one by one, the kernel turns
    /// `kernel.watchdog` off too, and does not turn it on again by itself.
    fn write(&self, host: &Host, target: &KnobTarget, value: &Value) -> Result<Held, KnobError> {
        let held = self.file.write(host, target, value)?;
        if *value == Value::Switch(true) && both_off(host) {
            write(host, BOTH, "1")?;
        }
        Ok(held)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::tune::knob::fake;

    const NMI: &str = "/proc/sys/kernel/nmi_watchdog";

    fn nmi() -> &'static dyn Knob {
        super::super::KNOBS.iter().copied().find(|knob| knob.spec().id == "sched.nmi_watchdog").expect("the knob")
    }

    #[test]
    fn while_both_are_off_each_is_off_and_is_not_read() {
        // The content of the file is invalid, so that reading it would fail.
        let (_folder, host) = fake::host(&[(BOTH, "0\n"), (NMI, "not read\n")]);
        assert_eq!(fake::value(nmi(), &host, &KnobTarget::Host), Value::Switch(false));
        let on = nmi().normalize(&host, &KnobTarget::Host, &Value::Switch(true));
        assert!(matches!(on, Err(KnobError::Impossible { .. })), "{on:?}");
        let (_folder, without) = fake::host(&[(BOTH, "0\n")]);
        assert!(matches!(nmi().read(&without, &KnobTarget::Host), Ok(Reading::Absent(_))));
    }

    #[test]
    fn restoring_a_watchdog_turns_kernel_watchdog_on() {
        let (_folder, host) = fake::host(&[(BOTH, "1\n"), (NMI, "1\n")]);
        fake::round_trip(nmi(), &host, &KnobTarget::Host, "off");
        nmi().write(&host, &KnobTarget::Host, &Value::Switch(false)).expect("off");
        // As the kernel does if the other watchdog is off too.
        host.root.write(BOTH, "0\n").expect("write");
        nmi().write(&host, &KnobTarget::Host, &Value::Switch(true)).expect("on");
        assert_eq!(host.root.read(BOTH).expect("read"), "1", "neither runs without it");
        assert_eq!(fake::value(nmi(), &host, &KnobTarget::Host), Value::Switch(true));
    }

    #[test]
    fn a_file_that_nobody_may_write_is_not_reported_as_a_missing_permission() {
        let (folder, host) = fake::host(&[(NMI, "0\n")]);
        let file = folder.path().join(NMI.trim_start_matches('/'));
        fs::set_permissions(file, fs::Permissions::from_mode(0o444)).expect("chmod");
        let errors = [
            nmi().check_writable(&host, &KnobTarget::Host),
            nmi().write(&host, &KnobTarget::Host, &Value::Switch(true)).map(drop),
        ];
        for error in errors.map(Result::unwrap_err) {
            assert!(matches!(error, KnobError::Fixed { .. }), "{error}");
            assert!(!error.to_string().contains("run as root"), "{error}");
        }
    }
}
