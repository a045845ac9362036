//! Frequencies above the nominal one: turbo, boost.

use super::limits::Kept;
use crate::host::Host;
use crate::tune::knob::file::{changeable, read, write};
use crate::tune::knob::{Held, KeptBy, Knob, KnobError, KnobSpec, Reading, Stage};
use crate::tune::{Kind, Target, Value};

/// `intel_pstate/no_turbo` where there is that, else `cpufreq/boost`.
pub(super) struct Boost;

static SPEC: KnobSpec = KnobSpec {
    id: "cpu.boost",
    doc: "Whether CPUs go above their nominal frequency. Faster; without it every CPU has the same speed whatever the \
          others do.",
    source: "Documentation/admin-guide/pm/cpufreq.rst, boost; intel_pstate.rst, no_turbo",
    kind: Kind::Switch,
    // Frequencies come and go with it.
    stage: Stage::Presence,
    // acpi-cpufreq takes the bit of the first CPU for its own at its start (boost_state, drivers/cpufreq/acpi-cpufreq.c).
    kept_by: KeptBy::Hardware,
    ..KnobSpec::RUNTIME
};

/// A file, and its words for off and on.
const FILES: [(&str, &str, &str); 2] =
    [("/sys/devices/system/cpu/intel_pstate/no_turbo", "1", "0"), ("/sys/devices/system/cpu/cpufreq/boost", "0", "1")];

fn file(host: &Host) -> Option<(&'static str, &'static str, &'static str)> {
    FILES.into_iter().find(|(file, ..)| host.root.has(file))
}

impl Knob for Boost {
    fn spec(&self) -> &KnobSpec {
        &SPEC
    }

    fn targets(&self, _: &Host) -> Vec<Target> {
        vec![Target::Host]
    }

    fn read(&self, host: &Host, _: &Target) -> Result<Reading, KnobError> {
        let Some((file, off, on)) = file(host) else {
            return Ok(Reading::Absent("the frequency driver has no boost to switch".to_owned()));
        };
        match read(host, file, file)? {
            // Neither on nor off: what is wanted is to be written once more.
            Ok(text) if Kept::owed(host, &text)?.is_some() => {
                Ok(Reading::Value(Value::Text("switched, without the frequency limits put back yet".to_owned())))
            }
            Ok(text) if text == on => Ok(Reading::Value(Value::Switch(true))),
            Ok(text) if text == off => Ok(Reading::Value(Value::Switch(false))),
            Ok(text) => Err(KnobError::Understand {
                path: host.root.display_path(file),
                why: format!("{} is not 0 or 1", crate::excerpt::quoted(&text)),
            }),
            Err(why) => Ok(Reading::Absent(why)),
        }
    }

    fn normalize(&self, _: &Host, _: &Target, value: &Value) -> Result<Value, KnobError> {
        Ok(value.clone())
    }

    /// Some drivers set every frequency limit to the hardware's new one (cppc_cpufreq_set_boost; amd_pstate_set_boost;
    /// cpufreq_boost_set_sw, drivers/cpufreq/cpufreq.c): a limit below that is put back. So is the least share of intel_pstate,
    /// which is made to fit below turbo (store_no_turbo, drivers/cpufreq/intel_pstate.c) and not given back with it.
    fn write(&self, host: &Host, target: &Target, value: &Value) -> Result<Held, KnobError> {
        let unknown = || KnobError::Target { target: target.clone() };
        let (file, off, on) = file(host).ok_or_else(unknown)?;
        let before = read(host, file, file)?.map_err(|_| unknown())?;
        let kept = Kept::before_switching(host, &before)?;
        write(host, file, if *value == Value::Switch(true) { on } else { off }).inspect_err(|_| kept.withdraw(host))?;
        kept.put_back(host)
            .map_err(|error| error.after(write(host, file, &before).and_then(|()| kept.put_back(host))))?;
        Ok(Held::Nothing)
    }

    fn changeable(&self, host: &Host, _: &Target) -> Result<(), KnobError> {
        file(host).map_or(Ok(()), |(file, ..)| changeable(host, file))
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
        fake::round_trip(&Boost, &host, &Target::Host, "off");
        Boost.write(&host, &Target::Host, &Value::Switch(false)).expect("write");
        assert_eq!(host.root.read(FILES[0].0).expect("read"), "1");
        let (_folder, host) = fake::host(&[("/sys/devices/system/cpu/cpufreq/boost", "1\n")]);
        fake::round_trip(&Boost, &host, &Target::Host, "off");
    }

    #[test]
    fn a_limit_that_cannot_be_read_is_no_reason_to_lose_it() {
        let (folder, host) = fake::host(&[
            (FILES[1].0, "1\n"),
            (&policy("scaling_max_freq"), "2000\n"),
            (&policy("cpuinfo_max_freq"), "3000\n"),
        ]);
        // No text: as unreadable to root as a file can be made.
        std::fs::write(folder.path().join(policy("scaling_max_freq").trim_start_matches('/')), [0xff]).expect("bytes");
        let error = Boost.write(&host, &Target::Host, &Value::Switch(false)).expect_err("a limit would be lost");
        assert!(matches!(error, KnobError::Read { .. }), "{error}");
        assert_eq!(host.root.read(FILES[1].0).expect("read"), "1");
    }

    #[test]
    fn limits_that_go_with_the_switch_are_put_back_by_whoever_switches() {
        for (switch, limit) in FILES
            .map(|(switch, ..)| switch)
            .into_iter()
            .zip(["/sys/devices/system/cpu/intel_pstate/min_perf_pct".to_owned(), policy("scaling_max_freq")])
        {
            let (folder, host) = fake::host(&[(&limit, "1\n"), (&policy("cpuinfo_max_freq"), "3000\n")]);
            // As one file: what is written to the switch is the limit, as with a driver that sets both.
            let at = |path: &str| folder.path().join(path.trim_start_matches('/'));
            std::fs::create_dir_all(at(switch).parent().expect("a folder")).expect("a folder");
            std::os::unix::fs::symlink(&limit, at(switch)).expect("a link");
            let now = fake::value(&Boost, &host, &Target::Host);
            Boost.write(&host, &Target::Host, &Value::Switch(now == Value::Switch(false))).expect("write");
            assert_eq!(host.root.read(&limit).expect("read"), "1", "{limit}");
        }
    }

    /// A limit of one policy, a driver that sets it to the hardware's own when boost is switched, and who switches it is killed
    /// right after that.
    #[test]
    fn limits_that_a_kill_has_lost_come_back_when_the_switch_is_put_back() {
        let limit = policy("scaling_max_freq");
        let (_folder, host) =
            fake::host(&[(FILES[1].0, "1\n"), (&limit, "2000\n"), (&policy("cpuinfo_max_freq"), "3000\n")]);
        let before = fake::value(&Boost, &host, &Target::Host);
        let _killed = Kept::before_switching(&host, "1").expect("kept");
        assert_eq!(fake::value(&Boost, &host, &Target::Host), before, "it was not switched yet");
        host.root.write(FILES[1].0, "0").expect("write");
        host.root.write(&limit, "2500").expect("write");
        for value in [&before, &Value::Switch(false)] {
            assert!(!Boost.meets(&fake::value(&Boost, &host, &Target::Host), value));
        }
        Boost.restore(&host, &Target::Host, &before).expect("put back");
        assert_eq!(host.root.read(&limit).expect("read"), "2000");
        assert_eq!(fake::value(&Boost, &host, &Target::Host), before);
    }
}
