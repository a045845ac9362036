//! Frequencies above the nominal frequency: turbo, boost.

use super::boost_limits::SavedLimits;
use crate::host::Host;
use crate::tune::knob::error::KnobError;
use crate::tune::knob::knob::Knob;
use crate::tune::knob::reading::{Held, Reading};
use crate::tune::knob::spec::{KnobSpec, RetainedBy, Stage};
use crate::tune::knob::value_file::{check_writable, read, write};
use crate::tune::value::{KnobTarget, Value, ValueKind};

/// `intel_pstate/no_turbo` if it exists, otherwise `cpufreq/boost`.
pub(super) struct Boost;

static SPEC: KnobSpec = KnobSpec {
    id: "cpu.boost",
    doc: "Whether CPUs may exceed their nominal frequency. Off, the speed of a CPU does not depend on the load of the others.",
    source: "Documentation/admin-guide/pm/cpufreq.rst, boost; intel_pstate.rst, no_turbo",
    kind: ValueKind::Switch,
    // The available frequencies depend on boost.
    stage: Stage::Presence,
    // When it is loaded, acpi-cpufreq adopts the state of the first CPU (boost_state, drivers/cpufreq/acpi-cpufreq.c).
    retained_by: RetainedBy::Hardware,
    ..KnobSpec::RUNTIME
};

/// The files, with the values for off and on.
const FILES: [(&str, &str, &str); 2] =
    [("/sys/devices/system/cpu/intel_pstate/no_turbo", "1", "0"), ("/sys/devices/system/cpu/cpufreq/boost", "0", "1")];

fn file(host: &Host) -> Option<(&'static str, &'static str, &'static str)> {
    FILES.into_iter().find(|(file, ..)| host.root.has(file))
}

impl Knob for Boost {
    fn spec(&self) -> &KnobSpec {
        &SPEC
    }

    fn read(&self, host: &Host, _: &KnobTarget) -> Result<Reading, KnobError> {
        let Some((file, off, on)) = file(host) else {
            return Ok(Reading::Absent("the frequency driver does not support switching boost".to_owned()));
        };
        match read(host, file, file)? {
            // Matches neither on nor off, so that the desired value is written again.
            Ok(text) if SavedLimits::pending(host, &text)?.is_some() => {
                Ok(Reading::Value(Value::Text("switched, but the frequency limits are not restored yet".to_owned())))
            }
            Ok(text) if text == on => Ok(Reading::Value(Value::Switch(true))),
            Ok(text) if text == off => Ok(Reading::Value(Value::Switch(false))),
            Ok(text) => Err(KnobError::Malformed {
                path: host.root.display_path(file),
                reason: format!("{} is not 0 or 1", crate::excerpt::quoted(&text)),
            }),
            Err(reason) => Ok(Reading::Absent(reason)),
        }
    }

    /// Also restores the limits that drivers change when boost is switched. Some drivers set every frequency limit to the new
    /// limit of the hardware (cppc_cpufreq_set_boost; amd_pstate_set_boost; cpufreq_boost_set_sw, drivers/cpufreq/cpufreq.c).
    /// intel_pstate lowers min_perf_pct to fit below turbo (store_no_turbo, drivers/cpufreq/intel_pstate.c).
    fn write(&self, host: &Host, target: &KnobTarget, value: &Value) -> Result<Held, KnobError> {
        let unknown = || KnobError::WrongTarget { target: target.clone() };
        let (file, off, on) = file(host).ok_or_else(unknown)?;
        let before = read(host, file, file)?.map_err(|_| unknown())?;
        let saved = SavedLimits::save(host, &before)?;
        write(host, file, if *value == Value::Switch(true) { on } else { off }).inspect_err(|_| saved.discard(host))?;
        saved
            .restore(host)
            .map_err(|error| error.after_restore(write(host, file, &before).and_then(|()| saved.restore(host))))?;
        Ok(Held::Nothing)
    }

    fn check_writable(&self, host: &Host, _: &KnobTarget) -> Result<(), KnobError> {
        file(host).map_or(Ok(()), |(file, ..)| check_writable(host, file))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tune::knob::fake;

    fn policy(file: &str) -> String {
        format!("/sys/devices/system/cpu/cpufreq/policy0/{file}")
    }

    #[test]
    fn either_file_is_the_same_switch() {
        let (_folder, host) = fake::host(&[("/sys/devices/system/cpu/intel_pstate/no_turbo", "0\n")]);
        fake::round_trip(&Boost, &host, &KnobTarget::Host, "off");
        Boost.write(&host, &KnobTarget::Host, &Value::Switch(false)).expect("write");
        assert_eq!(host.root.read(FILES[0].0).expect("read"), "1");
        let (_folder, host) = fake::host(&[("/sys/devices/system/cpu/cpufreq/boost", "1\n")]);
        fake::round_trip(&Boost, &host, &KnobTarget::Host, "off");
    }

    #[test]
    fn boost_is_not_switched_if_a_limit_cannot_be_saved() {
        let (folder, host) = fake::host(&[
            (FILES[1].0, "1\n"),
            (&policy("scaling_max_freq"), "2000\n"),
            (&policy("cpuinfo_max_freq"), "3000\n"),
        ]);
        // Invalid UTF-8 makes the file unreadable even for root.
        std::fs::write(folder.path().join(policy("scaling_max_freq").trim_start_matches('/')), [0xff]).expect("bytes");
        let error = Boost.write(&host, &KnobTarget::Host, &Value::Switch(false)).expect_err("a limit would be lost");
        assert!(matches!(error, KnobError::Read { .. }), "{error}");
        assert_eq!(host.root.read(FILES[1].0).expect("read"), "1");
    }

    #[test]
    fn limits_that_change_with_the_switch_are_restored() {
        for (switch, limit) in FILES
            .map(|(switch, ..)| switch)
            .into_iter()
            .zip(["/sys/devices/system/cpu/intel_pstate/min_perf_pct".to_owned(), policy("scaling_max_freq")])
        {
            let (folder, host) = fake::host(&[(&limit, "1\n"), (&policy("cpuinfo_max_freq"), "3000\n")]);
            // A link to the same file simulates a driver that changes the limit together with the switch.
            let at = |path: &str| folder.path().join(path.trim_start_matches('/'));
            std::fs::create_dir_all(at(switch).parent().expect("a folder")).expect("a folder");
            std::os::unix::fs::symlink(&limit, at(switch)).expect("a link");
            let now = fake::value(&Boost, &host, &KnobTarget::Host);
            Boost.write(&host, &KnobTarget::Host, &Value::Switch(now == Value::Switch(false))).expect("write");
            assert_eq!(host.root.read(&limit).expect("read"), "1", "{limit}");
        }
    }

    /// A driver sets the limit of a policy when boost is switched, and quell is killed right after that.
    #[test]
    fn limits_that_a_kill_lost_are_restored_with_the_switch() {
        let limit = policy("scaling_max_freq");
        let (_folder, host) =
            fake::host(&[(FILES[1].0, "1\n"), (&limit, "2000\n"), (&policy("cpuinfo_max_freq"), "3000\n")]);
        let before = fake::value(&Boost, &host, &KnobTarget::Host);
        let _killed = SavedLimits::save(&host, "1").expect("saved");
        assert_eq!(fake::value(&Boost, &host, &KnobTarget::Host), before, "boost was not switched yet");
        host.root.write(FILES[1].0, "0").expect("write");
        host.root.write(&limit, "2500").expect("write");
        for value in [&before, &Value::Switch(false)] {
            assert!(!Boost.matches(&fake::value(&Boost, &host, &KnobTarget::Host), value));
        }
        Boost.restore(&host, &KnobTarget::Host, &before).expect("restored");
        assert_eq!(host.root.read(&limit).expect("read"), "2000");
        assert_eq!(fake::value(&Boost, &host, &KnobTarget::Host), before);
    }
}
