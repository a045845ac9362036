//! systemd units: whether they run, and whether they are enabled.
//!
//! On a host, systemctl reads and changes units. In a tree, the directory `run/quell-fake/units/NAME` represents a unit, with
//! the files `state` (`running`, `stopped`) and `enabled` (the state that `systemctl is-enabled` prints).

mod links;

use std::io;

use crate::excerpt;
use crate::host::Host;
use crate::program::Program;
use crate::tune::knob::command::{output, run};
use crate::tune::knob::error::KnobError;
use crate::tune::knob::knob::Knob;
use crate::tune::knob::reading::{Held, Reading};
use crate::tune::knob::spec::{KnobSpec, Lifetime, Risk, Stage};
use crate::tune::knob::value_file::write;
use crate::tune::value::{KnobTarget, Scope, Value, ValueKind};

/// The knobs of this family.
pub(super) static KNOBS: &[&'static dyn Knob] = &[&UnitState, &UnitEnabled];

/// A knob that starts and stops a unit.
struct UnitState;

static STATE: KnobSpec = KnobSpec {
    id: "unit.state",
    doc: "Whether a systemd unit runs, by its name such as `irqbalance.service`. Services that move interrupts, scan memory or call \
          the firmware cause latency while they run.",
    source: "man 1 systemctl, start and stop",
    kind: ValueKind::Word(&["running", "stopped"]),
    scope: Scope::Named,
    risk: Risk::Medium("the function of the service is missing; a timer or socket may start it again"),
    stage: Stage::Presence,
    ..KnobSpec::RUNTIME
};

/// A knob that enables, disables and masks a unit.
struct UnitEnabled;

static ENABLED: KnobSpec = KnobSpec {
    id: "unit.enabled",
    doc: "Whether a systemd unit is started at boot (`enabled`, `disabled`), or cannot be started at all, from now on (`masked`).",
    source: "man 1 systemctl, enable, disable and mask",
    kind: ValueKind::Word(&["enabled", "disabled", "masked"]),
    scope: Scope::Named,
    // A link in /etc, which survives reboots.
    lifetime: Lifetime::NextBoot,
    risk: Risk::Medium(
        "the function of the service is missing from the next boot on, or if masked, as soon as it stops",
    ),
    stage: Stage::NextBoot,
    ..KnobSpec::RUNTIME
};

const TREE_DIRECTORY: &str = "/run/quell-fake/units";

/// The name of a unit.
fn unit(target: &KnobTarget) -> Result<&str, KnobError> {
    match target {
        // The name must be neither an option of systemctl nor a path.
        KnobTarget::Name(name) if !name.starts_with('-') && !name.contains('/') => Ok(name),
        _ => Err(KnobError::WrongTarget { target: target.clone() }),
    }
}

/// The value of a unit property, or of its file in a tree; or the reason why there is none.
fn property(host: &Host, target: &KnobTarget, name: &str, file: &str) -> Result<Result<String, String>, KnobError> {
    let unit = unit(target)?;
    let absent = || format!("there is no unit {unit}");
    if !host.root.is_host() {
        let file = format!("{TREE_DIRECTORY}/{unit}/{file}");
        return match host.root.read(&file) {
            Ok(text) if excerpt::is_word(&text) => Ok(Ok(text)),
            Ok(text) => {
                let reason = format!("{} is not the state of a unit", excerpt::quoted(text));
                Err(KnobError::Malformed { path: host.root.display_path(&file), reason })
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Err(absent())),
            Err(source) => Err(KnobError::Read { path: host.root.display_path(&file), source }),
        };
    }
    if !host.root.runs_systemd() {
        return Ok(Err("systemd does not run on this host".to_owned()));
    }
    let shown = output(Program::Systemctl, &["show", "--property", &format!("LoadState,{name}"), "--", unit])?;
    let value = |key: &str| shown.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('=')).unwrap_or("");
    Ok(if value("LoadState") == "not-found" { Err(absent()) } else { Ok(value(name).to_owned()) })
}

/// Changes a unit with systemctl, or the file of a tree.
fn change(host: &Host, target: &KnobTarget, file: &str, value: &str, verbs: &[&str]) -> Result<(), KnobError> {
    let unit = unit(target)?;
    if !host.root.is_host() {
        return write(host, &format!("{TREE_DIRECTORY}/{unit}/{file}"), value);
    }
    run(Program::Systemctl, &[verbs, &["--", unit]].concat())
}

impl Knob for UnitState {
    fn spec(&self) -> &KnobSpec {
        &STATE
    }

    fn read(&self, host: &Host, target: &KnobTarget) -> Result<Reading, KnobError> {
        Ok(match property(host, target, "ActiveState", "state")?.as_deref() {
            Ok("running" | "active" | "activating" | "reloading" | "refreshing") => word("running"),
            Ok(_) => word("stopped"),
            Err(reason) => Reading::Absent(reason.clone()),
        })
    }

    fn write(&self, host: &Host, target: &KnobTarget, value: &Value) -> Result<Held, KnobError> {
        let value = value.to_string();
        let verb = if value == "running" { "start" } else { "stop" };
        change(host, target, "state", &value, &[verb]).map(|()| Held::Nothing)
    }
}

impl UnitEnabled {
    /// The state as systemd reports it, which may be a state that cannot be set: `static`, `indirect`, `enabled-runtime`.
    fn current_state(&self, host: &Host, target: &KnobTarget) -> Result<Result<String, String>, KnobError> {
        property(host, target, "UnitFileState", "enabled")
    }
}

impl Knob for UnitEnabled {
    fn spec(&self) -> &KnobSpec {
        &ENABLED
    }

    fn lifetime_of(&self, desired: &Value) -> Lifetime {
        // A masked unit cannot be started, and masking takes effect immediately (systemctl(1), mask).
        if *desired == Value::Word("masked".to_owned()) { Lifetime::Persistent } else { ENABLED.lifetime }
    }

    fn read(&self, host: &Host, target: &KnobTarget) -> Result<Reading, KnobError> {
        Ok(match self.current_state(host, target)? {
            Ok(state) if state.is_empty() => Reading::Absent("the unit has no unit file".to_owned()),
            Ok(state) => word(&state),
            Err(reason) => Reading::Absent(reason),
        })
    }

    fn normalize(&self, host: &Host, target: &KnobTarget, value: &Value) -> Result<Value, KnobError> {
        let desired = value.to_string();
        let current = self.current_state(host, target)?.unwrap_or_default();
        let impossible = |reason: String| Err(KnobError::Impossible { value: value.clone(), reason });
        // Units without an [Install] section and generated units cannot be enabled.
        if desired != "masked" && !["enabled", "disabled", "masked"].contains(&current.as_str()) {
            return impossible(format!("the unit is {}: it can only be masked", excerpt::quoted(current)));
        }
        if desired != "masked" && desired != current {
            let state_of = |unit: &str| self.current_state(host, &KnobTarget::Name(unit.to_owned())).ok()?.ok();
            if let Some(reason) = links::irreversible(host, unit(target)?, state_of) {
                return impossible(format!("{reason}; masking removes no links"));
            }
        }
        Ok(value.clone())
    }

    fn write(&self, host: &Host, target: &KnobTarget, value: &Value) -> Result<Held, KnobError> {
        let desired = value.to_string();
        let change = |verbs: &[&str]| change(host, target, "enabled", &desired, verbs);
        let current = || self.current_state(host, target).map(Result::unwrap_or_default);
        if let Some(runtime) = current()?.strip_prefix("masked")
            && !desired.starts_with("masked")
        {
            // Unmasking restores the state from before the unit was masked.
            change(if runtime.is_empty() { &["unmask"] } else { &["unmask", "--runtime"] })?;
        }
        if current()? != desired {
            match desired.as_str() {
                "masked" => change(&["mask"])?,
                "masked-runtime" => change(&["mask", "--runtime"])?,
                "enabled" => change(&["enable"])?,
                "enabled-runtime" => change(&["enable", "--runtime"])?,
                "disabled" => change(&["disable"])?,
                // No systemctl command makes a unit static. The mismatch is reported when the value is read back.
                _ => {}
            }
        }
        Ok(Held::Nothing)
    }
}

fn word(word: &str) -> Reading {
    Reading::Value(Value::Word(word.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::Root;
    use crate::tune::knob::fake;

    #[test]
    fn units_are_stopped_and_masked_and_restored() {
        let file = |unit: &str, name: &str| format!("{TREE_DIRECTORY}/{unit}/{name}");
        let (_folder, host) = fake::host(&[
            (&file("irqbalance.service", "state"), "running\n"),
            (&file("irqbalance.service", "enabled"), "enabled\n"),
            (&file("fwupd-refresh.service", "enabled"), "static\n"),
        ]);
        let unit = |name: &str| KnobTarget::Name(name.to_owned());
        fake::round_trip(&UnitState, &host, &unit("irqbalance.service"), "stopped");
        fake::round_trip(&UnitEnabled, &host, &unit("irqbalance.service"), "masked");
        fake::round_trip(&UnitEnabled, &host, &unit("irqbalance.service"), "disabled");
        fake::round_trip(&UnitEnabled, &host, &unit("fwupd-refresh.service"), "masked");
        let disabled =
            UnitEnabled.normalize(&host, &unit("fwupd-refresh.service"), &Value::Word("disabled".to_owned()));
        assert!(matches!(disabled, Err(KnobError::Impossible { .. })), "{disabled:?}");
        assert!(matches!(UnitState.read(&host, &unit("none.service")), Ok(Reading::Absent(_))));
    }

    #[test]
    fn a_unit_is_not_disabled_if_that_would_lose_a_link() {
        let (folder, host) = fake::host(&[
            (&format!("{TREE_DIRECTORY}/noisy.service/enabled"), "enabled\n"),
            ("/lib/systemd/system/noisy.service", "[Install]\nWantedBy=multi-user.target\n"),
            ("/etc/systemd/system/graphical.target.wants/.keep", ""),
        ]);
        let noisy = KnobTarget::Name("noisy.service".to_owned());
        fake::round_trip(&UnitEnabled, &host, &noisy, "disabled");
        let by_hand = folder.path().join("etc/systemd/system/graphical.target.wants/noisy.service");
        std::os::unix::fs::symlink("/lib/systemd/system/noisy.service", by_hand).expect("a link");
        let refused = UnitEnabled.normalize(&host, &noisy, &Value::Word("disabled".to_owned()));
        assert!(
            matches!(&refused, Err(KnobError::Impossible { reason, .. }) if reason.contains("graphical")),
            "{refused:?}"
        );
        fake::round_trip(&UnitEnabled, &host, &noisy, "masked");
    }

    #[test]
    fn a_name_that_looks_like_an_option_of_systemctl_is_refused() {
        let mut host = fake::host(&[]).1;
        host.root = Root::host();
        for name in ["--host=elsewhere", "../x"] {
            let read = UnitState.read(&host, &KnobTarget::Name(name.to_owned()));
            assert!(matches!(read, Err(KnobError::WrongTarget { .. })), "{read:?}");
        }
    }
}
