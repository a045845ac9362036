//! Which idle states a CPU may not enter.

use std::io;

use crate::host::Host;
use crate::tune::knob::file::{changeable, offline, path_of, read, write};
use crate::tune::knob::{Held, Knob, KnobError, KnobSpec, Reading, Risk, check_text};
use crate::tune::{Kind, Scope, Target, Value, ValueError};

/// The idle states of a CPU that are switched off, by name.
pub(super) struct Disabled;

static SPEC: KnobSpec = KnobSpec {
    id: "cpu.idle_disabled",
    doc: "The idle states that a CPU may not enter, by name, as in `C1E C6`; `none`; or `above 2`: all that take more than \
          2 us to leave. For a state that misbehaves; `cpu.resume_latency` bounds them all.",
    source: "Documentation/ABI/testing/sysfs-devices-system-cpu, cpuidle/stateN/disable",
    kind: Kind::Text,
    scope: Scope::Cpu,
    risk: Risk::Medium("a CPU that does not sleep takes power, and the boost of its neighbours"),
    ..KnobSpec::RUNTIME
};

const STATES: &str = "/sys/devices/system/cpu/cpu{}/cpuidle";
const NONE: &str = "none";

/// An idle state.
struct State {
    /// The directory.
    directory: String,
    /// Its name, or that of its directory where another state has the same.
    name: String,
    disabled: bool,
}

impl Knob for Disabled {
    fn spec(&self) -> &KnobSpec {
        &SPEC
    }

    fn check(&self, value: &Value) -> Result<(), ValueError> {
        check_text(value, "`none`, `above 10` in us, or names of idle states", |text| {
            match text.split_whitespace().collect::<Vec<_>>().as_slice() {
                ["above", limit] => limit.parse::<u64>().is_ok(),
                words => !words.is_empty() && !words.contains(&"above"),
            }
        })
    }

    fn targets(&self, host: &Host) -> Vec<Target> {
        host.topology.online().iter().map(Target::Cpu).collect()
    }

    fn read(&self, host: &Host, target: &Target) -> Result<Reading, KnobError> {
        let switches = match switches(host, target) {
            Ok(switches) => switches,
            Err(error) => return offline(host, target).map(Reading::Absent).ok_or(error),
        };
        if switches.is_empty() {
            return Ok(Reading::Absent("the kernel has no idle driver".to_owned()));
        }
        if switches.iter().all(|switch| !switch.disabled) {
            // Most often so, and on a large host the names are a thousand files.
            return Ok(Reading::Value(named([].into_iter())));
        }
        Ok(Reading::Value(named(states(host, target)?.iter().filter(|state| state.disabled))))
    }

    fn normalize(&self, host: &Host, target: &Target, value: &Value) -> Result<Value, KnobError> {
        let impossible = |why: String| KnobError::Impossible { value: value.clone(), why };
        let Value::Text(text) = value else { return Err(impossible("it is no list of idle states".to_owned())) };
        let words: Vec<&str> = text.split_whitespace().collect();
        if words == [NONE] {
            return Ok(named([].into_iter()));
        }
        let states = states(host, target)?;
        match words.as_slice() {
            ["above", limit] => {
                let limit: u64 = limit.parse().map_err(|_| impossible(format!("`{limit}` is no number of us")))?;
                let mut above = Vec::new();
                for state in &states {
                    if latency(host, state)? > limit {
                        above.push(state);
                    }
                }
                Ok(named(above.into_iter()))
            }
            names => match names.iter().find(|name| states.iter().all(|state| state.name != **name)) {
                Some(unknown) => {
                    let known: Vec<_> = states.iter().map(|state| state.name.as_str()).collect();
                    Err(impossible(format!("there is no idle state {unknown}, but {}", known.join(" "))))
                }
                None => Ok(named(states.iter().filter(|state| names.contains(&state.name.as_str())))),
            },
        }
    }

    fn write(&self, host: &Host, target: &Target, value: &Value) -> Result<Held, KnobError> {
        let Value::Text(text) = value else { return Err(KnobError::Target { target: target.clone() }) };
        let mut changed: Vec<&State> = Vec::new();
        let states = states(host, target)?;
        for state in &states {
            let disable = text.split_whitespace().any(|name| name == state.name);
            if disable == state.disabled {
                continue;
            }
            if let Err(error) = set(host, state, disable) {
                let back = changed.into_iter().map(|state| set(host, state, state.disabled));
                return Err(error.after(back.fold(Ok(()), Result::and)));
            }
            changed.push(state);
        }
        Ok(Held::Nothing)
    }

    fn changeable(&self, host: &Host, target: &Target) -> Result<(), KnobError> {
        changeable(host, &path_of(STATES, target))
    }
}

fn set(host: &Host, state: &State, disable: bool) -> Result<(), KnobError> {
    write(host, &format!("{}/disable", state.directory), if disable { "1" } else { "0" })
}

fn named<'a>(states: impl Iterator<Item = &'a State>) -> Value {
    let names: Vec<&str> = states.map(|state| state.name.as_str()).collect();
    Value::Text(if names.is_empty() { NONE.to_owned() } else { names.join(" ") })
}

/// Whether a state is switched off.
struct Switch {
    number: u32,
    directory: String,
    disabled: bool,
}

/// The switches of a CPU's idle states, that of the shallowest first.
fn switches(host: &Host, target: &Target) -> Result<Vec<Switch>, KnobError> {
    let directory = path_of(STATES, target);
    let list = host.root.list(&directory);
    let names = list.map_err(|source| KnobError::Read { path: host.root.display_path(&directory), source })?;
    let mut numbers: Vec<u32> = names.iter().filter_map(|name| name.strip_prefix("state")?.parse().ok()).collect();
    numbers.sort_unstable();
    let one = |number| {
        let directory = format!("{directory}/state{number}");
        let disabled = text(host, &format!("{directory}/disable"))? != "0";
        Ok(Switch { number, directory, disabled })
    };
    numbers.into_iter().map(one).collect()
}

/// The idle states of a CPU, the shallowest first.
fn states(host: &Host, target: &Target) -> Result<Vec<State>, KnobError> {
    let switches = switches(host, target)?;
    let mut states = Vec::new();
    for Switch { directory, disabled, .. } in &switches {
        // Names of ACPI's states may have spaces.
        let name = text(host, &format!("{directory}/name"))?.replace(char::is_whitespace, "_");
        states.push(State { directory: directory.clone(), name, disabled: *disabled });
    }
    let names: Vec<String> = states.iter().map(|state| state.name.clone()).collect();
    for (state, switch) in states.iter_mut().zip(&switches) {
        if names.iter().filter(|name| **name == state.name).count() > 1 {
            state.name = format!("state{}", switch.number);
        }
    }
    Ok(states)
}

/// What it takes to leave a state, in us.
fn latency(host: &Host, state: &State) -> Result<u64, KnobError> {
    let file = format!("{}/latency", state.directory);
    let text = text(host, &file)?;
    text.parse().map_err(|_| KnobError::Understand {
        path: host.root.display_path(&file),
        why: format!("{} is no number of us", crate::excerpt::quoted(&text)),
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
    fn states_are_disabled_by_name_or_by_what_they_cost_and_enabled_again() {
        let (_folder, host) = machine();
        let cpu = Target::Cpu(CpuId(2));
        fake::round_trip(&Disabled, &host, &cpu, "C6 C1E");
        fake::round_trip(&Disabled, &host, &cpu, "above 2");
        let above = Disabled.normalize(&host, &cpu, &Value::Text("above 2".to_owned())).expect("possible");
        assert_eq!(above, Value::Text("C1E C6".to_owned()));
    }

    #[test]
    fn an_unknown_state_is_refused_with_those_that_there_are() {
        let (_folder, host) = machine();
        let wrong = Disabled.normalize(&host, &Target::Cpu(CpuId(2)), &Value::Text("C7".to_owned()));
        assert!(wrong.expect_err("no C7").to_string().ends_with("no idle state C7, but POLL C1 C1E C6"));
        let absent = Disabled.read(&host, &Target::Cpu(CpuId(0)));
        assert!(matches!(absent, Ok(Reading::Absent(_))), "{absent:?}");
    }
}
