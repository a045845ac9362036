//! Frequencies above the nominal one: turbo, boost.

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

const LEAST_SHARE: &str = "/sys/devices/system/cpu/intel_pstate/min_perf_pct";
const POLICIES: &str = "/sys/devices/system/cpu/cpufreq";

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
            Ok(text) if text == on => Ok(Reading::Value(Value::Switch(true))),
            Ok(text) if text == off => Ok(Reading::Value(Value::Switch(false))),
            Ok(text) => {
                Err(KnobError::Understand { path: host.root.path(file), why: format!("`{text}` is not 0 or 1") })
            }
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
        let limits = limits(host)?;
        write(host, file, if *value == Value::Switch(true) { on } else { off })?;
        keep(host, &limits)
            .map_err(|error| error.after(write(host, file, &before).and_then(|()| keep(host, &limits))))?;
        Ok(Held::Nothing)
    }

    fn changeable(&self, host: &Host, _: &Target) -> Result<(), KnobError> {
        file(host).map_or(Ok(()), |(file, ..)| changeable(host, file))
    }
}

/// Puts limits back that have become others.
fn keep(host: &Host, limits: &[(String, String)]) -> Result<(), KnobError> {
    for (file, limit) in limits {
        if read(host, file, file)?.is_ok_and(|now| now != *limit) {
            write(host, file, limit)?;
        }
    }
    Ok(())
}

/// The least share under intel_pstate, and the frequency limits below the hardware's own: file and text. None of policies whose
/// CPUs are offline.
fn limits(host: &Host) -> Result<Vec<(String, String)>, KnobError> {
    let policies = host.root.list(POLICIES);
    let policies = policies.map_err(|source| KnobError::Read { path: host.root.path(POLICIES), source })?;
    let mut limits = Vec::new();
    if let Ok(share) = read(host, LEAST_SHARE, LEAST_SHARE)? {
        limits.push((LEAST_SHARE.to_owned(), share));
    }
    for policy in policies.into_iter().filter(|name| name.starts_with("policy")) {
        let file = format!("{POLICIES}/{policy}/scaling_max_freq");
        let most = format!("{POLICIES}/{policy}/cpuinfo_max_freq");
        if let (Ok(limit), Ok(most)) = (read(host, &file, &file)?, read(host, &most, &most)?)
            && limit != most
        {
            limits.push((file, limit));
        }
    }
    Ok(limits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tune::knob::fake;

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
    fn only_limits_that_somebody_made_are_kept() {
        let policy = |number: u32, file: &str| format!("{POLICIES}/policy{number}/{file}");
        let (_folder, host) = fake::host(&[
            (&policy(0, "scaling_max_freq"), "2000\n"),
            (&policy(0, "cpuinfo_max_freq"), "3000\n"),
            (&policy(1, "scaling_max_freq"), "3000\n"),
            (&policy(1, "cpuinfo_max_freq"), "3000\n"),
        ]);
        assert_eq!(limits(&host).expect("read"), [(policy(0, "scaling_max_freq"), "2000".to_owned())]);
    }

    #[test]
    fn a_limit_that_cannot_be_read_is_no_reason_to_lose_it() {
        let policy = |file: &str| format!("{POLICIES}/policy0/{file}");
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
    fn the_least_share_stays_as_it_was_though_the_kernel_lowers_it_with_turbo() {
        let (_folder, host) = fake::host(&[(FILES[0].0, "0\n"), (LEAST_SHARE, "100\n")]);
        let limits = limits(&host).expect("read");
        // As store_no_turbo does.
        host.root.write(LEAST_SHARE, "73\n").expect("write");
        keep(&host, &limits).expect("put back");
        assert_eq!(host.root.read(LEAST_SHARE).expect("read"), "100");
    }
}
