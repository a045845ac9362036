//! Making a plan from a profile and a host.

use std::collections::BTreeMap;

use super::plan::Plan;
use super::resolve::resolve;
use super::survey::{assemble, survey};
use super::variables::{ISOLATED, Variables};
use crate::host::Host;
use crate::tune::knob::{self, Reading, SMT_ID};
use crate::tune::profile::{ProfileError, TuningProfile};
use crate::tune::value::{KnobTarget, Value};
use crate::units::{CpuId, CpuSet};

/// Makes the plan for a profile on a host. `given` contains the variables from the command line.
///
/// # Errors
/// The profile cannot be applied to this host.
pub fn plan(host: &Host, profile: &TuningProfile, given: &BTreeMap<String, String>) -> Result<Plan, ProfileError> {
    let host = &with_planned_smt(host, profile);
    let variables = Variables::resolve(host, &profile.variables, given)?;
    let (assignments, inapplicable) = resolve(profile, host, &variables)?;
    let used = profile.used_variables();
    let shown = variables.iter().filter(|(name, _)| used.contains(name) || given.contains_key(*name));
    let shown = shown.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let mut plan = assemble(&profile.name, shown, survey(host, assignments), inapplicable)?;
    if used.contains(ISOLATED) {
        plan.remarks.splice(..0, isolation_remarks(host, &variables));
    }
    Ok(plan)
}

/// Checks a profile against a host without reading its current values, so that this can be done before the host is locked.
///
/// # Errors
/// No plan is possible for this host.
pub fn validate(host: &Host, profile: &TuningProfile, given: &BTreeMap<String, String>) -> Result<(), ProfileError> {
    let host = &with_planned_smt(host, profile);
    let variables = Variables::resolve(host, &profile.variables, given)?;
    resolve(profile, host, &variables).map(drop)
}

/// Remarks about isolated CPUs that are not fully isolated.
fn isolation_remarks(host: &Host, variables: &Variables) -> Vec<String> {
    let isolated = variables.iter().find(|(name, _)| *name == ISOLATED).and_then(|(_, text)| text.parse().ok());
    let isolated: CpuSet = isolated.unwrap_or_default();
    let shared = host.topology.cores().into_iter().filter(|core| !core.intersection(&isolated).is_empty());
    let siblings = shared.fold(CpuSet::default(), |siblings, core| siblings.union(&core.difference(&isolated)));
    let mut remarks = Vec::new();
    if !siblings.is_empty() {
        remarks.push(format!(
            "CPUs {siblings} share cores with isolated CPUs but are not isolated, and slow those down: isolate them too, or turn SMT \
             off (cpu.smt)"
        ));
    }
    if isolated.contains(CpuId(0)) {
        remarks.push("CPU 0 is isolated, but the kernel does work there that it does on no other CPU".to_owned());
    }
    remarks
}

/// The host with the CPUs that remain after the profile is applied. If the profile turns SMT off, one CPU per core remains. A
/// plan that includes the other CPUs would fail: masks would read back without them, and the next plan would not be empty.
fn with_planned_smt(host: &Host, profile: &TuningProfile) -> Host {
    let without = Host { topology: host.topology.without_smt(), ..host.clone() };
    // A setting may be conditional on SMT or on the number of CPUs, so that it no longer applies once SMT is off.
    let turns_off = turns_smt_off(host, profile) && turns_smt_off(&without, profile);
    if turns_off && can_turn_smt_off(host) { without } else { host.clone() }
}

/// Whether the last SMT setting that applies to a host turns SMT off.
fn turns_smt_off(host: &Host, profile: &TuningProfile) -> bool {
    let mut settings = profile.settings.iter().rev();
    let last = settings.find(|setting| setting.knob == SMT_ID && setting.condition.unmet(host).is_none());
    last.is_some_and(|setting| setting.value == "off")
}

fn can_turn_smt_off(host: &Host) -> bool {
    let Some(smt) = knob::by_id(SMT_ID) else { return false };
    let target = &KnobTarget::Host;
    let is_on = matches!(smt.current(host, target), Ok(Reading::Value(Value::Word(word))) if word == "on");
    is_on && smt.check_writable(host, target).is_ok()
}
