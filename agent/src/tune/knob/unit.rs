//! Services: which run, and which start.
//!
//! systemd is asked and told by systemctl. A tree that stands for a host has, for each of its units, the directory
//! `run/quell-fake/units/NAME` with the files `state` (`running`, `stopped`) and `enabled` (as `systemctl is-enabled` says it).

mod links;

use std::io;

use super::command::{output, run};
use super::file::write;
use super::{Held, Knob, KnobError, KnobSpec, Lifetime, Reading, Risk, Stage};
use crate::excerpt;
use crate::host::Host;
use crate::program::Program;
use crate::tune::{Kind, Scope, Target, Value};

/// The family.
pub(super) static KNOBS: &[&'static dyn Knob] = &[&State, &Enabled];

/// Whether a unit runs.
struct State;

static STATE: KnobSpec = KnobSpec {
    id: "unit.state",
    doc: "Whether a service runs, by the name of its unit, as in `irqbalance.service`. What moves interrupts, scans memory or wakes \
          the firmware disturbs for as long as it runs.",
    source: "man 1 systemctl, start and stop",
    kind: Kind::Word(&["running", "stopped"]),
    scope: Scope::Named,
    risk: Risk::Medium("what the service does is not done; a timer or socket may start it again"),
    stage: Stage::Presence,
    ..KnobSpec::RUNTIME
};

/// Whether a unit starts.
struct Enabled;

static ENABLED: KnobSpec = KnobSpec {
    id: "unit.enabled",
    doc: "Whether a service starts at boot (`enabled`, `disabled`), or can be started no more, from now on (`masked`).",
    source: "man 1 systemctl, enable, disable and mask",
    kind: Kind::Word(&["enabled", "disabled", "masked"]),
    scope: Scope::Named,
    // It is a link in /etc, which boots do not undo.
    lifetime: Lifetime::NextBoot,
    risk: Risk::Medium("what the service does is not done: from the next boot on or, masked, once it stops"),
    stage: Stage::NextBoot,
    ..KnobSpec::RUNTIME
};

const FAKE: &str = "/run/quell-fake/units";

/// The name of a unit.
fn unit(target: &Target) -> Result<&str, KnobError> {
    match target {
        // Not an option of systemctl, nor a path.
        Target::Name(name) if !name.starts_with('-') && !name.contains('/') => Ok(name),
        _ => Err(KnobError::Target { target: target.clone() }),
    }
}

/// What is known of a unit: a property of systemd's, or the file of a tree; or why nothing is.
fn property(host: &Host, target: &Target, name: &str, file: &str) -> Result<Result<String, String>, KnobError> {
    let unit = unit(target)?;
    let absent = || format!("there is no unit {unit}");
    if !host.root.is_host() {
        let file = format!("{FAKE}/{unit}/{file}");
        return match host.root.read(&file) {
            Ok(text) if excerpt::is_word(&text) => Ok(Ok(text)),
            Ok(text) => {
                let why = format!("{} is no state of a unit", excerpt::quoted(text));
                Err(KnobError::Understand { path: host.root.display_path(&file), why })
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Err(absent())),
            Err(source) => Err(KnobError::Read { path: host.root.display_path(&file), source }),
        };
    }
    if !host.root.runs_systemd() {
        return Ok(Err("systemd does not run here".to_owned()));
    }
    let shown = output(Program::Systemctl, &["show", "--property", &format!("LoadState,{name}"), "--", unit])?;
    let value = |key: &str| shown.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('=')).unwrap_or("");
    Ok(if value("LoadState") == "not-found" { Err(absent()) } else { Ok(value(name).to_owned()) })
}

/// Writes the file of a tree, or has systemctl do it.
fn tell(host: &Host, target: &Target, file: &str, value: &str, verbs: &[&str]) -> Result<(), KnobError> {
    let unit = unit(target)?;
    if !host.root.is_host() {
        return write(host, &format!("{FAKE}/{unit}/{file}"), value);
    }
    run(Program::Systemctl, &[verbs, &["--", unit]].concat())
}

impl Knob for State {
    fn spec(&self) -> &KnobSpec {
        &STATE
    }

    fn targets(&self, _: &Host) -> Vec<Target> {
        Vec::new()
    }

    fn read(&self, host: &Host, target: &Target) -> Result<Reading, KnobError> {
        Ok(match property(host, target, "ActiveState", "state")?.as_deref() {
            Ok("running" | "active" | "activating" | "reloading" | "refreshing") => word("running"),
            Ok(_) => word("stopped"),
            Err(why) => Reading::Absent(why.clone()),
        })
    }

    fn normalize(&self, _: &Host, _: &Target, value: &Value) -> Result<Value, KnobError> {
        Ok(value.clone())
    }

    fn write(&self, host: &Host, target: &Target, value: &Value) -> Result<Held, KnobError> {
        let value = value.to_string();
        let verb = if value == "running" { "start" } else { "stop" };
        tell(host, target, "state", &value, &[verb]).map(|()| Held::Nothing)
    }
}

impl Enabled {
    /// The state in systemd's word, which may be another than can be asked for: `static`, `indirect`, `enabled-runtime`.
    fn now(&self, host: &Host, target: &Target) -> Result<Result<String, String>, KnobError> {
        property(host, target, "UnitFileState", "enabled")
    }
}

impl Knob for Enabled {
    fn spec(&self) -> &KnobSpec {
        &ENABLED
    }

    fn lifetime(&self, wanted: &Value) -> Lifetime {
        // What is masked can be started no more, by nobody and from now on (systemctl(1), mask).
        if *wanted == Value::Word("masked".to_owned()) { Lifetime::Lasting } else { ENABLED.lifetime }
    }

    fn targets(&self, _: &Host) -> Vec<Target> {
        Vec::new()
    }

    fn read(&self, host: &Host, target: &Target) -> Result<Reading, KnobError> {
        Ok(match self.now(host, target)? {
            Ok(now) if now.is_empty() => Reading::Absent("it has no unit file".to_owned()),
            Ok(now) => word(&now),
            Err(why) => Reading::Absent(why),
        })
    }

    fn normalize(&self, host: &Host, target: &Target, value: &Value) -> Result<Value, KnobError> {
        let wanted = value.to_string();
        let now = self.now(host, target)?.unwrap_or_default();
        let impossible = |why: String| Err(KnobError::Impossible { value: value.clone(), why });
        // Such a unit has no [Install] section, or is made by a generator: there is nothing to enable.
        if wanted != "masked" && !["enabled", "disabled", "masked"].contains(&now.as_str()) {
            return impossible(format!("the unit is {}: it can only be masked", excerpt::quoted(now)));
        }
        if wanted != "masked" && wanted != now {
            let state = |unit: &str| self.now(host, &Target::Name(unit.to_owned())).ok()?.ok();
            if let Some(why) = links::not_brought_back(host, unit(target)?, state) {
                return impossible(format!("{why}; masking it takes no link away"));
            }
        }
        Ok(value.clone())
    }

    fn write(&self, host: &Host, target: &Target, value: &Value) -> Result<Held, KnobError> {
        let wanted = value.to_string();
        let tell = |verbs: &[&str]| tell(host, target, "enabled", &wanted, verbs);
        let now = || self.now(host, target).map(Result::unwrap_or_default);
        if let Some(runtime) = now()?.strip_prefix("masked")
            && !wanted.starts_with("masked")
        {
            // What it was before it was masked comes back with that.
            tell(if runtime.is_empty() { &["unmask"] } else { &["unmask", "--runtime"] })?;
        }
        if now()? != wanted {
            match wanted.as_str() {
                "masked" => tell(&["mask"])?,
                "masked-runtime" => tell(&["mask", "--runtime"])?,
                "enabled" => tell(&["enable"])?,
                "enabled-runtime" => tell(&["enable", "--runtime"])?,
                "disabled" => tell(&["disable"])?,
                // No verb makes a unit static: reading back tells that it is not.
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
    fn units_are_stopped_and_masked_and_put_back() {
        let file = |unit: &str, name: &str| format!("{FAKE}/{unit}/{name}");
        let (_folder, host) = fake::host(&[
            (&file("irqbalance.service", "state"), "running\n"),
            (&file("irqbalance.service", "enabled"), "enabled\n"),
            (&file("fwupd-refresh.service", "enabled"), "static\n"),
        ]);
        let unit = |name: &str| Target::Name(name.to_owned());
        fake::round_trip(&State, &host, &unit("irqbalance.service"), "stopped");
        fake::round_trip(&Enabled, &host, &unit("irqbalance.service"), "masked");
        fake::round_trip(&Enabled, &host, &unit("irqbalance.service"), "disabled");
        fake::round_trip(&Enabled, &host, &unit("fwupd-refresh.service"), "masked");
        let disabled = Enabled.normalize(&host, &unit("fwupd-refresh.service"), &Value::Word("disabled".to_owned()));
        assert!(matches!(disabled, Err(KnobError::Impossible { .. })), "{disabled:?}");
        assert!(matches!(State.read(&host, &unit("none.service")), Ok(Reading::Absent(_))));
    }

    #[test]
    fn a_unit_is_not_disabled_where_that_loses_a_link() {
        let (folder, host) = fake::host(&[
            (&format!("{FAKE}/noisy.service/enabled"), "enabled\n"),
            ("/lib/systemd/system/noisy.service", "[Install]\nWantedBy=multi-user.target\n"),
            ("/etc/systemd/system/graphical.target.wants/.keep", ""),
        ]);
        let noisy = Target::Name("noisy.service".to_owned());
        fake::round_trip(&Enabled, &host, &noisy, "disabled");
        let by_hand = folder.path().join("etc/systemd/system/graphical.target.wants/noisy.service");
        std::os::unix::fs::symlink("/lib/systemd/system/noisy.service", by_hand).expect("a link");
        let refused = Enabled.normalize(&host, &noisy, &Value::Word("disabled".to_owned()));
        assert!(matches!(&refused, Err(KnobError::Impossible { why, .. }) if why.contains("graphical")), "{refused:?}");
        fake::round_trip(&Enabled, &host, &noisy, "masked");
    }

    #[test]
    fn a_name_that_systemctl_would_take_for_an_option_is_refused() {
        let mut host = fake::host(&[]).1;
        host.root = Root::host();
        for name in ["--host=elsewhere", "../x"] {
            let read = State.read(&host, &Target::Name(name.to_owned()));
            assert!(matches!(read, Err(KnobError::Target { .. })), "{read:?}");
        }
    }
}
