//! Resolving the settings of a profile into a desired value for each target.

use std::collections::HashMap;

use super::variables::Variables;
use crate::excerpt;
use crate::host::Host;
use crate::tune::knob::{self, Knob};
use crate::tune::profile::{
    Budget, MAX_ASSIGNMENTS, MAX_EXPANDED_TOTAL, MAX_RULES, MAX_WORDS, Place, ProfileError, Setting, TuningProfile,
};
use crate::tune::value::{KnobTarget, Scope, Value, ValueError};
use crate::units::{CpuId, CpuListError, CpuSet, Irq, NodeId};

/// The desired value of a knob on one target.
#[derive(Clone)]
pub struct Assignment {
    /// The knob.
    pub knob: &'static dyn Knob,
    /// The target.
    pub target: KnobTarget,
    /// The value in the profile, not yet normalized.
    pub value: Value,
    /// The reason from the profile.
    pub reason: String,
    /// Whether the other settings are applied if this one is refused.
    pub optional: bool,
    /// The position of the setting.
    pub at: Place,
}

/// A setting that does not apply to this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inapplicable {
    /// The id of the knob.
    pub knob: &'static str,
    /// Why it does not apply.
    pub reason: String,
}

/// The desired value for each target of each setting, and the settings that do not apply. If several settings apply to a
/// target, the last one is used.
///
/// # Errors
/// A setting names a target that the host does not have, or a variable that is not defined.
pub fn resolve(
    profile: &TuningProfile,
    host: &Host,
    variables: &Variables,
) -> Result<(Vec<Assignment>, Vec<Inapplicable>), ProfileError> {
    let (mut assignments, mut inapplicable): (Vec<Option<Assignment>>, Vec<Inapplicable>) = (Vec::new(), Vec::new());
    // The index of the assignment of each target: a large host has thousands of targets.
    let mut indices: HashMap<(&'static str, KnobTarget), usize> = HashMap::new();
    let expanded = Budget::new("bytes of settings after their variables are expanded", MAX_EXPANDED_TOTAL);
    let total = Budget::new("bytes of desired values and reasons for all targets", MAX_ASSIGNMENTS);
    let rules = Budget::new("process rules", MAX_RULES);
    for setting in &profile.settings {
        if let Some(reason) = setting.condition.unmet(host) {
            inapplicable.push(Inapplicable { knob: setting.knob, reason });
            continue;
        }
        let mut texts = setting.on.iter().chain([&setting.value]);
        if let Some(name) = texts.find_map(|text| variables.empty_in(text)) {
            let reason = format!("the variable `{name}` is empty on this host");
            inapplicable.push(Inapplicable { knob: setting.knob, reason });
            continue;
        }
        let knob =
            knob::by_id(setting.knob).ok_or_else(|| key_error(setting, "on", "there is no such knob".to_owned()))?;
        let expand = |part: &str, text: &str| {
            let text = variables.expand(text).map_err(|reason| key_error(setting, part, reason))?;
            expanded.take(text.len()).map_err(|reason| key_error(setting, part, reason))?;
            Ok::<_, ProfileError>(text)
        };
        let text = expand("value", &setting.value)?;
        let mut length = text.len();
        let value = knob.parse(&text).map_err(|error| value_error(setting, error))?;
        if let Value::Cpus(cpus) = &value
            && let Err(reason) = host.topology.has(cpus)
        {
            if !setting.optional {
                return Err(key_error(setting, "value", reason));
            }
            inapplicable.push(Inapplicable { knob: setting.knob, reason });
            continue;
        }
        let targets = match &setting.on {
            None => knob.targets(host),
            Some(on) => {
                let on = expand("on", on)?;
                length += on.len();
                named_targets(knob, host, &on).map_err(|reason| key_error(setting, "on", reason))?
            }
        };
        length += setting.reason.len() + setting.at.file.as_os_str().len();
        total.take(length.saturating_mul(targets.len())).map_err(|reason| key_error(setting, "on", reason))?;
        if knob.process_rule().is_some() {
            rules.take(targets.len()).map_err(|reason| key_error(setting, "on", reason))?;
        }
        if targets.is_empty() {
            let reason = match &setting.on {
                Some(on) => format!("{} names no target on this host", excerpt::quoted(on)),
                None => format!("this host has no {}", knob.spec().scope.name()),
            };
            inapplicable.push(Inapplicable { knob: setting.knob, reason });
        }
        for target in targets {
            if let Some(earlier) = indices.insert((setting.knob, target.clone()), assignments.len()) {
                assignments[earlier] = None;
            }
            assignments.push(Some(Assignment {
                knob,
                target,
                value: value.clone(),
                reason: setting.reason.clone(),
                optional: setting.optional,
                at: setting.at.clone(),
            }));
        }
    }
    Ok((assignments.into_iter().flatten().collect(), inapplicable))
}

fn key_error(setting: &Setting, part: &str, reason: String) -> ProfileError {
    let at = Place { key: format!("{} ({part})", setting.knob), ..setting.at.clone() };
    ProfileError::Key { at, reason }
}

fn value_error(setting: &Setting, source: ValueError) -> ProfileError {
    ProfileError::Value { at: Place { key: format!("{} (value)", setting.knob), ..setting.at.clone() }, source }
}

/// The targets that `on` names.
fn named_targets(knob: &dyn Knob, host: &Host, on: &str) -> Result<Vec<KnobTarget>, String> {
    if on.split_whitespace().nth(MAX_WORDS).is_some() {
        return Err(format!("more than {MAX_WORDS} words"));
    }
    let words = on.split_whitespace();
    match knob.spec().scope {
        Scope::Host => Err("the knob is set on the host as a whole: remove `on`".to_owned()),
        Scope::Each(what) => {
            let known = knob.targets(host);
            let names: Vec<&str> = known.iter().filter_map(KnobTarget::name).collect();
            words.map(|name| known_name(name, &names, what).map(KnobTarget::Name)).collect()
        }
        Scope::Named => {
            words.map(|name| knob.check_target_name(name).map(|()| KnobTarget::Name(name.to_owned()))).collect()
        }
        Scope::Cpu => {
            let cpus: CpuSet = on.parse().map_err(|error: CpuListError| error.to_string())?;
            host.topology.has(&cpus)?;
            Ok(cpus.iter().map(KnobTarget::Cpu).collect())
        }
        Scope::Node => {
            let nodes = host.topology.nodes();
            let numbers = numbers(on, "NUMA nodes such as 0-1")?;
            match numbers.iter().find(|number| !nodes.contains_key(&NodeId(**number))) {
                Some(absent) => Err(format!("there is no NUMA node {absent}")),
                None => Ok(numbers.into_iter().map(|number| KnobTarget::Node(NodeId(number))).collect()),
            }
        }
        Scope::Irq => {
            let numbers = numbers(on, "interrupts such as 24-31")?;
            Ok(numbers.into_iter().map(|number| KnobTarget::Irq(Irq(number))).collect())
        }
        Scope::Nic => {
            let names: Vec<&str> = host.nics.iter().map(|nic| nic.name.as_str()).collect();
            words.map(|name| known_name(name, &names, "network interface").map(KnobTarget::Nic)).collect()
        }
    }
}

fn known_name(name: &str, known: &[&str], what: &str) -> Result<String, String> {
    match known.contains(&name) {
        true => Ok(name.to_owned()),
        false if known.is_empty() => Err(format!("this host has no {what}")),
        false => Err(format!("there is no {what} {}; there are {}", excerpt::name(name), known.join(" "))),
    }
}

/// The numbers of a list, which has the syntax of CPU lists.
fn numbers(text: &str, what: &str) -> Result<Vec<u32>, String> {
    let set = text.parse::<CpuSet>().map_err(|_| format!("{} is not a list of {what}", excerpt::quoted(text)))?;
    Ok(set.iter().map(|CpuId(number)| number).collect())
}
