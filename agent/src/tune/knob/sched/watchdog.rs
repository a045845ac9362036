//! One of the two watchdogs, which `kernel.watchdog` turns off together.

use crate::host::Host;
use crate::tune::knob::file::write;
use crate::tune::knob::{FileKnob, Held, Knob, KnobError, KnobSpec, Reading};
use crate::tune::{Target, Value};

/// The file of one watchdog.
///
/// It is not read while both are off. Kernels up to and including 6.12 then lose what it was set to: a read puts what is in force
/// in its place, 0, and there it stays when `kernel.watchdog` goes on again (proc_watchdog_common, kernel/watchdog.c; 7.3 puts it
/// back). What it would have said is known: it is off.
pub(super) struct Watchdog(pub(super) FileKnob);

const BOTH: &str = "/proc/sys/kernel/watchdog";

/// Whether neither runs. Kernels without the file have but one.
fn both_off(host: &Host) -> bool {
    host.root.read(BOTH).is_ok_and(|text| text == "0")
}

impl Knob for Watchdog {
    fn spec(&self) -> &KnobSpec {
        self.0.spec()
    }

    fn targets(&self, host: &Host) -> Vec<Target> {
        self.0.targets(host)
    }

    fn read(&self, host: &Host, target: &Target) -> Result<Reading, KnobError> {
        match both_off(host) && host.root.has(self.0.path) {
            true => Ok(Reading::Value(Value::Switch(false))),
            false => self.0.read(host, target),
        }
    }

    fn normalize(&self, host: &Host, target: &Target, value: &Value) -> Result<Value, KnobError> {
        if *value == Value::Switch(true) && both_off(host) {
            let why = "both watchdogs are off: kernel.watchdog must be 1 first".to_owned();
            return Err(KnobError::Impossible { value: value.clone(), why });
        }
        self.0.normalize(host, target, value)
    }

    /// What both being off read as may have become so by reading: where each of them was turned off and `kernel.watchdog` was
    /// not, the same code turns that off. So who is put back on goes on with it.
    fn write(&self, host: &Host, target: &Target, value: &Value) -> Result<Held, KnobError> {
        let held = self.0.write(host, target, value)?;
        if *value == Value::Switch(true) && both_off(host) {
            write(host, BOTH, "1")?;
        }
        Ok(held)
    }

    fn changeable(&self, host: &Host, target: &Target) -> Result<(), KnobError> {
        self.0.changeable(host, target)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::tune::knob::{by_id, fake};

    const NMI: &str = "/proc/sys/kernel/nmi_watchdog";

    fn nmi() -> &'static dyn Knob {
        by_id("sched.nmi_watchdog").expect("the knob")
    }

    #[test]
    fn while_both_are_off_the_one_is_off_whatever_it_is_set_to_and_is_not_read() {
        // A read of it would fail.
        let (_folder, host) = fake::host(&[(BOTH, "0\n"), (NMI, "not read\n")]);
        assert_eq!(fake::value(nmi(), &host, &Target::Host), Value::Switch(false));
        let on = nmi().normalize(&host, &Target::Host, &Value::Switch(true));
        assert!(matches!(on, Err(KnobError::Impossible { .. })), "{on:?}");
        let (_folder, without) = fake::host(&[(BOTH, "0\n")]);
        assert!(matches!(nmi().read(&without, &Target::Host), Ok(Reading::Absent(_))));
    }

    #[test]
    fn the_last_that_was_turned_off_goes_on_again() {
        let (_folder, host) = fake::host(&[(BOTH, "1\n"), (NMI, "1\n")]);
        fake::round_trip(nmi(), &host, &Target::Host, "off");
        nmi().write(&host, &Target::Host, &Value::Switch(false)).expect("off");
        // As the kernel would: the other one is off too.
        host.root.write(BOTH, "0\n").expect("write");
        nmi().write(&host, &Target::Host, &Value::Switch(true)).expect("on");
        assert_eq!(host.root.read(BOTH).expect("read"), "1", "the kernel turns nothing on without it");
        assert_eq!(fake::value(nmi(), &host, &Target::Host), Value::Switch(true));
    }

    #[test]
    fn a_file_that_nobody_may_write_is_no_matter_of_being_root() {
        let (folder, host) = fake::host(&[(NMI, "0\n")]);
        let file = folder.path().join(NMI.trim_start_matches('/'));
        fs::set_permissions(file, fs::Permissions::from_mode(0o444)).expect("chmod");
        let errors =
            [nmi().changeable(&host, &Target::Host), nmi().write(&host, &Target::Host, &Value::Switch(true)).map(drop)];
        for error in errors.map(Result::unwrap_err) {
            assert!(matches!(error, KnobError::Fixed { .. }), "{error}");
            assert!(!error.to_string().contains("run as root"), "{error}");
        }
    }
}
