//! From a profile to what is wanted of each target. Pure.

use std::collections::HashMap;

use super::knob::{self, Knob};
use super::profile::{ALL_EXPANDED, Budget, Place, ProfileError, RULES, Setting, TuningProfile, WANTED, WORDS};
use super::{Scope, Target, Value, ValueError, Variables};
use crate::excerpt;
use crate::host::Host;
use crate::units::{CpuId, CpuSet, Irq, NodeId};

/// One value wanted of one target.
#[derive(Clone)]
pub struct Want {
    /// What to set.
    pub knob: &'static dyn Knob,
    /// Where.
    pub target: Target,
    /// To what, as the profile says it.
    pub value: Value,
    /// Why.
    pub reason: String,
    /// Whether the rest is worth having without.
    pub optional: bool,
    /// The line that wants it.
    pub at: Place,
}

/// A setting that does not apply here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inapplicable {
    /// The knob.
    pub knob: &'static str,
    /// Why.
    pub why: String,
}

/// What a profile wants of a host: a value for each target of each setting, and the settings that do not apply. A target that
/// two settings name has the later one's value.
///
/// # Errors
/// A setting names what the host does not have, or a variable that there is not.
pub fn wants(
    profile: &TuningProfile,
    host: &Host,
    variables: &Variables,
) -> Result<(Vec<Want>, Vec<Inapplicable>), ProfileError> {
    let (mut wants, mut inapplicable): (Vec<Option<Want>>, Vec<Inapplicable>) = (Vec::new(), Vec::new());
    // Where the want of a target is: a large host has thousands.
    let mut place: HashMap<(&'static str, Target), usize> = HashMap::new();
    let expanded = Budget::new("bytes of what is set, with the values of variables", ALL_EXPANDED);
    let wanted = Budget::new("bytes of what is wanted of all targets, with the reasons", WANTED);
    let rules = Budget::new("rules for processes", RULES);
    for setting in &profile.settings {
        if let Some(why) = setting.condition.unmet(host) {
            inapplicable.push(Inapplicable { knob: setting.knob, why });
            continue;
        }
        let texts = setting.on.iter().chain([&setting.value]);
        if let Some(name) = texts.into_iter().find_map(|text| variables.empty_in(text)) {
            inapplicable.push(Inapplicable { knob: setting.knob, why: format!("`{name}` is empty here") });
            continue;
        }
        let knob = knob::by_id(setting.knob).ok_or_else(|| key(setting, "on", "there is no such knob".to_owned()))?;
        let expand = |part: &str, text: &str| variables.expand(text).map_err(|why| key(setting, part, why));
        let value = expand("value", &setting.value)?;
        let mut length = value.len();
        expanded.take(length).map_err(|why| key(setting, "value", why))?;
        let value = knob::parse(knob, &value).map_err(|error| wrong(setting, error))?;
        if let Value::Cpus(cpus) = &value
            && let Err(why) = host.topology.has(cpus)
        {
            if !setting.optional {
                return Err(key(setting, "value", why));
            }
            inapplicable.push(Inapplicable { knob: setting.knob, why });
            continue;
        }
        let targets = match &setting.on {
            None => knob.targets(host),
            Some(on) => {
                let on = expand("on", on)?;
                expanded.take(on.len()).map_err(|why| key(setting, "on", why))?;
                length += on.len();
                chosen(knob, host, &on).map_err(|why| key(setting, "on", why))?
            }
        };
        length += setting.reason.len() + setting.at.file.as_os_str().len();
        wanted.take(length.saturating_mul(targets.len())).map_err(|why| key(setting, "on", why))?;
        if knob.may_end() {
            rules.take(targets.len()).map_err(|why| key(setting, "on", why))?;
        }
        if targets.is_empty() {
            let why = match &setting.on {
                Some(on) => format!("{} is nothing here", excerpt::quoted(on)),
                None => format!("this host has no {} for it", knob.spec().scope.name()),
            };
            inapplicable.push(Inapplicable { knob: setting.knob, why });
        }
        for target in targets {
            if let Some(earlier) = place.insert((setting.knob, target.clone()), wants.len()) {
                wants[earlier] = None;
            }
            wants.push(Some(Want {
                knob,
                target,
                value: value.clone(),
                reason: setting.reason.clone(),
                optional: setting.optional,
                at: setting.at.clone(),
            }));
        }
    }
    Ok((wants.into_iter().flatten().collect(), inapplicable))
}

fn key(setting: &Setting, part: &str, why: String) -> ProfileError {
    let at = Place { key: format!("{} ({part})", setting.knob), ..setting.at.clone() };
    ProfileError::Key { at, why }
}

fn wrong(setting: &Setting, source: ValueError) -> ProfileError {
    ProfileError::Value { at: Place { key: format!("{} (value)", setting.knob), ..setting.at.clone() }, source }
}

/// The targets that `on` names, in the words of the knob's scope.
fn chosen(knob: &dyn Knob, host: &Host, on: &str) -> Result<Vec<Target>, String> {
    let words = || on.split_whitespace();
    if words().nth(WORDS).is_some() {
        return Err(format!("more than {WORDS} words"));
    }
    let numbers = || on.parse::<CpuSet>().map(|set| set.iter().map(|CpuId(number)| number).collect::<Vec<u32>>());
    match knob.spec().scope {
        Scope::Host => Err("it is set on the host as a whole: leave `on` out".to_owned()),
        Scope::Each(what) => {
            let known = knob.targets(host);
            let names: Vec<&str> = known.iter().filter_map(Target::name).collect();
            words()
                .map(|name| match names.contains(&name) {
                    true => Ok(Target::Name(name.to_owned())),
                    false if names.is_empty() => Err(format!("this host has no {what}")),
                    false => Err(format!("there is no {what} {}; there are: {}", excerpt::name(name), names.join(" "))),
                })
                .collect()
        }
        Scope::Named => words().map(|name| knob.check_name(name).map(|()| Target::Name(name.to_owned()))).collect(),
        Scope::Cpu => {
            let cpus: CpuSet = on.parse().map_err(|error: crate::units::CpuListError| error.to_string())?;
            host.topology.has(&cpus)?;
            Ok(cpus.iter().map(Target::Cpu).collect())
        }
        Scope::Node => {
            let nodes = host.topology.nodes();
            let numbers =
                numbers().map_err(|_| format!("{} is no list of NUMA nodes, as in 0-1", excerpt::quoted(on)))?;
            match numbers.iter().find(|number| !nodes.contains_key(&NodeId(**number))) {
                Some(absent) => Err(format!("there is no NUMA node {absent}")),
                None => Ok(numbers.into_iter().map(|number| Target::Node(NodeId(number))).collect()),
            }
        }
        Scope::Irq => {
            let numbers =
                numbers().map_err(|_| format!("{} is no list of interrupts, as in 24-31", excerpt::quoted(on)))?;
            Ok(numbers.into_iter().map(|number| Target::Irq(Irq(number))).collect())
        }
        Scope::Nic => words()
            .map(|name| {
                let known = host.nics.iter().any(|nic| nic.name == name);
                known.then(|| Target::Nic(name.to_owned())).ok_or_else(|| {
                    let names: Vec<_> = host.nics.iter().map(|nic| nic.name.as_str()).collect();
                    format!("there is no network interface {}; there are: {}", excerpt::name(name), names.join(" "))
                })
            })
            .collect(),
    }
}
