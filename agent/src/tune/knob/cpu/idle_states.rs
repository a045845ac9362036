//! Idle states that a CPU must not enter.

use std::io;

use crate::host::Host;
use crate::tune::knob::checks::check_text;
use crate::tune::knob::error::KnobError;
use crate::tune::knob::knob::Knob;
use crate::tune::knob::reading::{Held, Reading};
use crate::tune::knob::spec::{KnobSpec, Risk};
use crate::tune::knob::value_file::{check_writable, offline_reason, path_for, read, write};
use crate::tune::value::{KnobTarget, Scope, Value, ValueError, ValueKind};

/// The disabled idle states of a CPU, by name.
pub(super) struct DisabledStates;

static SPEC: KnobSpec = KnobSpec {
    id: "cpu.idle_disabled",
    doc: "The idle states that a CPU must not enter, by name such as `C1E C6`; `none`; or `above 2` for all states with an exit \
          latency above 2 us. For single states that cause problems; `cpu.resume_latency` limits all states.",
    source: "Documentation/ABI/testing/sysfs-devices-system-cpu, cpuidle/stateN/disable",
    kind: ValueKind::Text,
    scope: Scope::Cpu,
    risk: Risk::Medium("a CPU that does not sleep uses power that other CPUs could use for boost"),
    ..KnobSpec::RUNTIME
};

const STATES: &str = "/sys/devices/system/cpu/cpu{}/cpuidle";
const NONE: &str = "none";

/// An idle state.
struct IdleState {
    /// The sysfs directory of the state.
    directory: String,
    /// The name of the state, or the name of its directory if another state has the same name.
    name: String,
    disabled: bool,
}

impl Knob for DisabledStates {
    fn spec(&self) -> &KnobSpec {
        &SPEC
    }

    fn check_value(&self, value: &Value) -> Result<(), ValueError> {
        check_text(value, "`none`, `above 10` in us, or names of idle states", |text| {
            match text.split_whitespace().collect::<Vec<_>>().as_slice() {
                ["above", limit] => limit.parse::<u64>().is_ok(),
                words => !words.is_empty() && !words.contains(&"above"),
            }
        })
    }

    fn read(&self, host: &Host, target: &KnobTarget) -> Result<Reading, KnobError> {
        let switches = match switches(host, target) {
            Ok(switches) => switches,
            Err(error) => return offline_reason(host, target).map(Reading::Absent).ok_or(error),
        };
        if switches.is_empty() {
            return Ok(Reading::Absent("the kernel has no idle driver for this CPU".to_owned()));
        }
        if switches.iter().all(|switch| !switch.disabled) {
            // The common case. On a large host, reading the names would mean reading thousands of files.
            return Ok(Reading::Value(named([].into_iter())));
        }
        Ok(Reading::Value(named(states(host, target)?.iter().filter(|state| state.disabled))))
    }

    fn normalize(&self, host: &Host, target: &KnobTarget, value: &Value) -> Result<Value, KnobError> {
        let impossible = |reason: String| KnobError::Impossible { value: value.clone(), reason };
        let Value::Text(text) = value else { return Err(impossible("it is not a list of idle states".to_owned())) };
        let words: Vec<&str> = text.split_whitespace().collect();
        if words == [NONE] {
            return Ok(named([].into_iter()));
        }
        let states = states(host, target)?;
        match words.as_slice() {
            ["above", limit] => {
                let limit: u64 = limit.parse().map_err(|_| impossible(format!("`{limit}` is not a number of us")))?;
                let mut above = Vec::new();
                for state in &states {
                    if exit_latency(host, state)? > limit {
                        above.push(state);
                    }
                }
                Ok(named(above.into_iter()))
            }
            names => match names.iter().find(|name| states.iter().all(|state| state.name != **name)) {
                Some(unknown) => {
                    let known: Vec<_> = states.iter().map(|state| state.name.as_str()).collect();
                    Err(impossible(format!("there is no idle state {unknown}; there are {}", known.join(" "))))
                }
                None => Ok(named(states.iter().filter(|state| names.contains(&state.name.as_str())))),
            },
        }
    }

    fn write(&self, host: &Host, target: &KnobTarget, value: &Value) -> Result<Held, KnobError> {
        let Value::Text(text) = value else { return Err(KnobError::WrongTarget { target: target.clone() }) };
        let mut changed: Vec<&IdleState> = Vec::new();
        let states = states(host, target)?;
        for state in &states {
            let disable = text.split_whitespace().any(|name| name == state.name);
            if disable == state.disabled {
                continue;
            }
            if let Err(error) = set(host, state, disable) {
                let restored = changed.into_iter().map(|state| set(host, state, state.disabled));
                return Err(error.after_restore(restored.fold(Ok(()), Result::and)));
            }
            changed.push(state);
        }
        Ok(Held::Nothing)
    }

    fn check_writable(&self, host: &Host, target: &KnobTarget) -> Result<(), KnobError> {
        check_writable(host, &path_for(STATES, target))
    }
}

fn set(host: &Host, state: &IdleState, disable: bool) -> Result<(), KnobError> {
    write(host, &format!("{}/disable", state.directory), if disable { "1" } else { "0" })
}

fn named<'a>(states: impl Iterator<Item = &'a IdleState>) -> Value {
    let names: Vec<&str> = states.map(|state| state.name.as_str()).collect();
    Value::Text(if names.is_empty() { NONE.to_owned() } else { names.join(" ") })
}

/// The `disable` file of an idle state.
struct Switch {
    number: u32,
    directory: String,
    disabled: bool,
}

/// The `disable` files of the idle states of a CPU, the shallowest state first.
fn switches(host: &Host, target: &KnobTarget) -> Result<Vec<Switch>, KnobError> {
    let directory = path_for(STATES, target);
    let list = host.root.list(&directory);
    let names = list.map_err(|source| KnobError::Read { path: host.root.display_path(&directory), source })?;
    let mut numbers: Vec<u32> = names.iter().filter_map(|name| name.strip_prefix("state")?.parse().ok()).collect();
    numbers.sort_unstable();
    numbers.into_iter().map(|number| switch(host, &directory, number)).collect()
}

fn switch(host: &Host, states: &str, number: u32) -> Result<Switch, KnobError> {
    let directory = format!("{states}/state{number}");
    let disabled = text(host, &format!("{directory}/disable"))? != "0";
    Ok(Switch { number, directory, disabled })
}

/// The idle states of a CPU, the shallowest first.
fn states(host: &Host, target: &KnobTarget) -> Result<Vec<IdleState>, KnobError> {
    let switches = switches(host, target)?;
    let mut states = Vec::new();
    for Switch { directory, disabled, .. } in &switches {
        // The names of ACPI states may contain spaces.
        let name = text(host, &format!("{directory}/name"))?.replace(char::is_whitespace, "_");
        states.push(IdleState { directory: directory.clone(), name, disabled: *disabled });
    }
    let names: Vec<String> = states.iter().map(|state| state.name.clone()).collect();
    for (state, switch) in states.iter_mut().zip(&switches) {
        if names.iter().filter(|name| **name == state.name).count() > 1 {
            state.name = format!("state{}", switch.number);
        }
    }
    Ok(states)
}

/// The exit latency of a state, in microseconds.
fn exit_latency(host: &Host, state: &IdleState) -> Result<u64, KnobError> {
    let file = format!("{}/latency", state.directory);
    let text = text(host, &file)?;
    text.parse().map_err(|_| KnobError::Malformed {
        path: host.root.display_path(&file),
        reason: format!("{} is not a number of us", crate::excerpt::quoted(&text)),
    })
}

fn text(host: &Host, file: &str) -> Result<String, KnobError> {
    read(host, file, file)?.map_err(|_| KnobError::Read {
        path: host.root.display_path(file),
        source: io::Error::from(io::ErrorKind::NotFound),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tune::knob::fake;
    use crate::units::CpuId;

    fn machine() -> (tempfile::TempDir, Host) {
        let mut files = Vec::new();
        for (number, (name, latency)) in [("POLL", 0), ("C1", 2), ("C1E", 10), ("C6", 190)].into_iter().enumerate() {
            let directory = format!("/sys/devices/system/cpu/cpu2/cpuidle/state{number}");
            files.push((format!("{directory}/name"), format!("{name}\n")));
            files.push((format!("{directory}/latency"), format!("{latency}\n")));
            files.push((format!("{directory}/disable"), "0\n".to_owned()));
        }
        let files: Vec<_> = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
        fake::host(&files)
    }

    #[test]
    fn states_are_disabled_by_name_or_by_exit_latency_and_enabled_again() {
        let (_folder, host) = machine();
        let cpu = KnobTarget::Cpu(CpuId(2));
        fake::round_trip(&DisabledStates, &host, &cpu, "C6 C1E");
        fake::round_trip(&DisabledStates, &host, &cpu, "above 2");
        let above = DisabledStates.normalize(&host, &cpu, &Value::Text("above 2".to_owned())).expect("possible");
        assert_eq!(above, Value::Text("C1E C6".to_owned()));
    }

    #[test]
    fn an_unknown_state_is_refused_with_the_known_ones() {
        let (_folder, host) = machine();
        let wrong = DisabledStates.normalize(&host, &KnobTarget::Cpu(CpuId(2)), &Value::Text("C7".to_owned()));
        assert!(wrong.expect_err("no C7").to_string().ends_with("no idle state C7; there are POLL C1 C1E C6"));
        let absent = DisabledStates.read(&host, &KnobTarget::Cpu(CpuId(0)));
        assert!(matches!(absent, Ok(Reading::Absent(_))), "{absent:?}");
    }
}
