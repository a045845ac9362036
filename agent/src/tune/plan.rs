//! What a profile would change on a host: the difference between what is and what is wanted.

use serde::{Deserialize, Serialize};

use super::knob::{KnobError, Lifetime, Reading, Stage};
use super::profile::{Place, ProfileError};
use super::want::{Inapplicable, Want};
use super::{Target, Value};
use crate::host::Host;

/// What a profile would change on a host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// The profile.
    pub profile: String,
    /// Its variables' values on this host, by name.
    pub variables: Vec<(String, String)>,
    /// What its user should know of these values.
    pub remarks: Vec<String>,
    /// What would change, in the order of changing.
    pub steps: Vec<Step>,
    /// What is as wanted already: nothing is done, and it is verified with the rest.
    pub unchanged: Vec<Step>,
    /// What is wanted and cannot be had here, and why.
    pub skipped: Vec<Skipped>,
}

/// One value that is wanted of one target: a change, where it is not that already.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// The knob's id.
    pub knob: String,
    /// Where.
    pub target: Target,
    /// What it is.
    pub now: Value,
    /// What it would be, as the host would give it back.
    pub wanted: Value,
    /// How long it would last.
    pub lifetime: Lifetime,
    /// When in the transaction.
    pub stage: Stage,
    /// Why it is wanted.
    pub reason: String,
    /// Whether the rest is worth having without.
    pub optional: bool,
}

/// Something wanted that is left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Skipped {
    /// The knob's id.
    pub knob: &'static str,
    /// Where; `None` where all of it is left out.
    pub target: Option<Target>,
    /// Why.
    pub why: String,
}

/// A want, with what was found on the host.
pub struct Surveyed {
    want: Want,
    found: Result<(Reading, Value), KnobError>,
}

/// Reads what each wanted knob is set to, and what the host would make of the wanted value.
#[must_use]
pub fn survey(host: &Host, wants: Vec<Want>) -> Vec<Surveyed> {
    let found = |want: &Want| {
        let reading = match &want.target {
            // By the host as it is foreseen: the CPU may be there still.
            Target::Cpu(cpu) if !host.topology.is_online(*cpu) => {
                Reading::Absent(format!("CPU {cpu} is or goes offline"))
            }
            target => want.knob.read(host, target)?,
        };
        let wanted = match reading {
            Reading::Value(ref now) => {
                let wanted = want.knob.normalize(host, &want.target, &want.value)?;
                if !want.knob.satisfies(now, &wanted) {
                    want.knob.changeable(host, &want.target)?;
                }
                wanted
            }
            Reading::Absent(_) => want.value.clone(),
        };
        Ok((reading, wanted))
    };
    wants.into_iter().map(|want| Surveyed { found: found(&want), want }).collect()
}

/// What would change. Pure: everything was read before.
///
/// # Errors
/// A setting that is not optional wants what this host cannot be set to, whatever is done.
pub fn plan(
    profile: &str,
    variables: Vec<(String, String)>,
    surveyed: Vec<Surveyed>,
    inapplicable: Vec<Inapplicable>,
) -> Result<Plan, ProfileError> {
    let skipped =
        inapplicable.into_iter().map(|setting| Skipped { knob: setting.knob, target: None, why: setting.why });
    let mut plan = Plan {
        profile: profile.to_owned(),
        variables,
        remarks: Vec::new(),
        steps: Vec::new(),
        unchanged: Vec::new(),
        skipped: skipped.collect(),
    };
    for Surveyed { want, found } in surveyed {
        let spec = want.knob.spec();
        let skip = |why: String| Skipped { knob: spec.id, target: Some(want.target.clone()), why };
        match found {
            Ok((Reading::Absent(why), _)) => plan.skipped.push(skip(why)),
            Ok((Reading::Value(now), wanted)) => {
                let steps = if want.knob.satisfies(&now, &wanted) { &mut plan.unchanged } else { &mut plan.steps };
                steps.push(Step {
                    knob: spec.id.to_owned(),
                    target: want.target,
                    now,
                    lifetime: want.knob.lifetime(&wanted),
                    wanted,
                    stage: spec.stage,
                    reason: want.reason,
                    optional: want.optional,
                });
            }
            Err(error @ KnobError::Impossible { .. }) if !want.optional => {
                let on = if want.target == Target::Host { String::new() } else { format!(" on {}", want.target) };
                let at = Place { key: format!("{} (value){on}", spec.id), ..want.at };
                return Err(ProfileError::Key { at, why: error.to_string() });
            }
            Err(error) => plan.skipped.push(skip(error.to_string())),
        }
    }
    // Stable: within a stage as the profile has it.
    plan.steps.sort_by_key(|step| step.stage);
    Ok(plan)
}
