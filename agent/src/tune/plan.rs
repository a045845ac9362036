//! What a profile would change on a host: the difference between what is and what is wanted.

use serde::{Deserialize, Serialize};

use super::knob::{KnobError, Lifetime, Reading, Stage, Survey};
use super::profile::{Place, ProfileError};
use super::want::{Inapplicable, Want};
use super::{MatchedProcess, Target, Value};
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
    /// The processes that a rule matches. No others are set, whatever starts until the plan is carried out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub processes: Vec<MatchedProcess>,
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
    found: Result<(Survey, Value), KnobError>,
}

/// Reads what each wanted knob is set to, and what the host would make of the wanted value.
#[must_use]
pub fn survey(host: &Host, wants: Vec<Want>) -> Vec<Surveyed> {
    let found = |want: &Want| {
        let survey = match &want.target {
            // By the host as it is foreseen: the CPU may be there still.
            Target::Cpu(cpu) if !host.topology.is_online(*cpu) => {
                Survey::from(Reading::Absent(format!("CPU {cpu} is or goes offline")))
            }
            target => want.knob.survey(host, target)?,
        };
        let wanted = match survey.reading {
            Reading::Value(ref now) => {
                let wanted = want.knob.normalize(host, &want.target, &want.value)?;
                if !want.knob.satisfies(now, &wanted) {
                    want.knob.changeable(host, &want.target)?;
                }
                wanted
            }
            Reading::Absent(_) => want.value.clone(),
        };
        Ok((survey, wanted))
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
        if let Ok((survey, _)) = &found {
            let about = |remark: &String| format!("{} on {}: {remark}", spec.id, want.target);
            plan.remarks.extend(survey.remarks.iter().map(about));
        }
        match found {
            Ok((Survey { reading: Reading::Absent(why), .. }, _)) => plan.skipped.push(skip(why)),
            Ok((Survey { reading: Reading::Value(now), processes, .. }, wanted)) => {
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
                    processes,
                });
            }
            Err(error @ KnobError::Impossible { .. }) if !want.optional => {
                let on = if want.target == Target::Host { String::new() } else { format!(" on {}", want.target) };
                let at = Place { key: format!("{} (value){on}", spec.id), ..want.at };
                return Err(ProfileError::Key { at, why: error.to_string() });
            }
            Err(error @ KnobError::Users { .. }) if !want.optional => {
                let at = Place { key: format!("{} (on)", spec.id), ..want.at };
                return Err(ProfileError::Key { at, why: error.to_string() });
            }
            Err(error) => plan.skipped.push(skip(error.to_string())),
        }
    }
    // Stable: within a stage as the profile has it.
    plan.steps.sort_by_key(|step| step.stage);
    Ok(plan)
}
