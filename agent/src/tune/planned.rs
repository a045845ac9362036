//! From a profile and a host to a plan.

use std::collections::BTreeMap;

use super::knob::{self, Reading};
use super::profile::{ProfileError, Setting, TuningProfile};
use super::{Plan, Target, Value, Variables, plan, survey, wants};
use crate::host::Host;
use crate::units::{CpuId, CpuSet};

/// What a profile would change on a host, with these values for its variables.
///
/// # Errors
/// It wants what this host cannot have.
pub fn planned(host: &Host, profile: &TuningProfile, given: &BTreeMap<String, String>) -> Result<Plan, ProfileError> {
    let host = &foreseen(host, profile);
    let variables = Variables::resolve(host, &profile.variables, given)?;
    let (wants, inapplicable) = wants(profile, host, &variables)?;
    let used = profile.used();
    let shown = variables.iter().filter(|(name, _)| used.contains(name) || given.contains_key(*name));
    let shown = shown.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let mut plan = plan(&profile.name, shown, survey(host, wants), inapplicable)?;
    if used.contains(ISOLATED) {
        plan.remarks.splice(..0, remarks(host, &variables));
    }
    Ok(plan)
}

/// Whether a profile could be planned on a host, without a look at what is set there: for whoever is about to lock it.
///
/// # Errors
/// It wants what no plan for this host has.
pub fn check(host: &Host, profile: &TuningProfile, given: &BTreeMap<String, String>) -> Result<(), ProfileError> {
    let host = &foreseen(host, profile);
    let variables = Variables::resolve(host, &profile.variables, given)?;
    wants(profile, host, &variables).map(drop)
}

const ISOLATED: &str = "isolated";

/// What makes isolated CPUs less than that.
fn remarks(host: &Host, variables: &Variables) -> Vec<String> {
    let isolated = variables.iter().find(|(name, _)| *name == ISOLATED).and_then(|(_, text)| text.parse().ok());
    let isolated: CpuSet = isolated.unwrap_or_default();
    let shared = host.topology.cores().into_iter().filter(|core| !core.intersection(&isolated).is_empty());
    let beside = shared.fold(CpuSet::default(), |beside, core| beside.union(&core.difference(&isolated)));
    let mut remarks = Vec::new();
    if !beside.is_empty() {
        remarks.push(format!(
            "CPUs {beside} share cores with isolated ones and are not isolated: what runs there takes from them; isolate them too, or \
             turn SMT off (cpu.smt)"
        ));
    }
    if isolated.contains(CpuId(0)) {
        remarks.push("CPU 0 is isolated: the kernel does there what it does on no other CPU".to_owned());
    }
    remarks
}

/// The knob that takes CPUs away.
pub(super) const SMT: &str = "cpu.smt";

/// The host with the CPUs that a profile leaves it: where that turns SMT off, one for each core. Planned for those that go too,
/// masks would read back as something else, and the next plan would not be empty.
fn foreseen(host: &Host, profile: &TuningProfile) -> Host {
    let last = |on: &Host| {
        let applies = |setting: &&Setting| setting.knob == SMT && setting.condition.unmet(on).is_none();
        profile.settings.iter().rev().find(applies).is_some_and(|setting| setting.value == "off")
    };
    let without = Host { topology: host.topology.without_smt(), ..host.clone() };
    // One that is for hosts with SMT, or with as many CPUs, would find the host without to be none of them.
    if last(host) && last(&without) && is_on_and_changeable(host) { without } else { host.clone() }
}

fn is_on_and_changeable(host: &Host) -> bool {
    let Some(smt) = knob::by_id(SMT) else { return false };
    let is_on = matches!(smt.read(host, &Target::Host), Ok(Reading::Value(Value::Word(word))) if word == "on");
    is_on && smt.changeable(host, &Target::Host).is_ok()
}
