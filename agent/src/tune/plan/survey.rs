//! Reading the current values of a host, and comparing them with the desired ones.

use super::plan::{Plan, Skipped, Step};
use super::resolve::{Assignment, Inapplicable};
use crate::host::Host;
use crate::tune::knob::{KnobError, Reading, Survey};
use crate::tune::profile::{Place, ProfileError};
use crate::tune::value::{KnobTarget, Value};

/// An assignment with the current value, and with the desired value as the host would return it.
pub struct SurveyedAssignment {
    assignment: Assignment,
    result: Result<(Survey, Value), KnobError>,
}

/// Reads the current value for each assignment, and normalizes the desired value.
#[must_use]
pub fn survey(host: &Host, assignments: Vec<Assignment>) -> Vec<SurveyedAssignment> {
    let surveyed = assignments.into_iter().map(|assignment| {
        let result = survey_one(host, &assignment);
        SurveyedAssignment { assignment, result }
    });
    surveyed.collect()
}

fn survey_one(host: &Host, assignment: &Assignment) -> Result<(Survey, Value), KnobError> {
    let Assignment { knob, target, value, .. } = assignment;
    let survey = match target {
        // This uses the planned topology: the CPU may still be online.
        KnobTarget::Cpu(cpu) if !host.topology.is_online(*cpu) => {
            Survey::from(Reading::Absent(format!("CPU {cpu} is offline, or would be taken offline")))
        }
        target => knob.current_survey(host, target)?,
    };
    let Reading::Value(current) = &survey.reading else { return Ok((survey, value.clone())) };
    let desired = knob.normalize(host, target, value)?;
    if !knob.is_satisfied(current, &desired) {
        knob.check_writable(host, target)?;
    }
    Ok((survey, desired))
}

/// Builds the plan from values that were read before.
///
/// # Errors
/// A setting that is not optional cannot be applied to this host.
pub fn assemble(
    profile: &str,
    variables: Vec<(String, String)>,
    surveyed: Vec<SurveyedAssignment>,
    inapplicable: Vec<Inapplicable>,
) -> Result<Plan, ProfileError> {
    let skipped =
        inapplicable.into_iter().map(|setting| Skipped { knob: setting.knob, target: None, reason: setting.reason });
    let mut plan = Plan {
        profile: profile.to_owned(),
        variables,
        remarks: Vec::new(),
        steps: Vec::new(),
        unchanged: Vec::new(),
        skipped: skipped.collect(),
    };
    for SurveyedAssignment { assignment, result } in surveyed {
        let spec = assignment.knob.spec();
        if let Ok((survey, _)) = &result {
            let remarks = survey.remarks.iter();
            plan.remarks.extend(remarks.map(|remark| format!("{} on {}: {remark}", spec.id, assignment.target)));
        }
        match result {
            Ok((Survey { reading: Reading::Absent(reason), .. }, _)) => {
                plan.skipped.push(skipped_target(assignment, reason))
            }
            Ok((Survey { reading: Reading::Value(current), processes, .. }, desired)) => {
                let is_satisfied = assignment.knob.is_satisfied(&current, &desired);
                let steps = if is_satisfied { &mut plan.unchanged } else { &mut plan.steps };
                steps.push(Step {
                    knob: spec.id.to_owned(),
                    target: assignment.target,
                    current,
                    lifetime: assignment.knob.lifetime_of(&desired),
                    desired,
                    stage: spec.stage,
                    reason: assignment.reason,
                    optional: assignment.optional,
                    processes,
                });
            }
            Err(error @ KnobError::Impossible { .. }) if !assignment.optional => {
                let on = match assignment.target {
                    KnobTarget::Host => String::new(),
                    ref target => format!(" on {target}"),
                };
                let at = Place { key: format!("{} (value){on}", spec.id), ..assignment.at };
                return Err(ProfileError::Key { at, reason: error.to_string() });
            }
            Err(error @ KnobError::SeveralUsers { .. }) if !assignment.optional => {
                let at = Place { key: format!("{} (on)", spec.id), ..assignment.at };
                return Err(ProfileError::Key { at, reason: error.to_string() });
            }
            Err(error) => plan.skipped.push(skipped_target(assignment, error.to_string())),
        }
    }
    // The sort is stable: within a stage, the steps have the order of the profile.
    plan.steps.sort_by_key(|step| step.stage);
    Ok(plan)
}

fn skipped_target(assignment: Assignment, reason: String) -> Skipped {
    Skipped { knob: assignment.knob.spec().id, target: Some(assignment.target), reason }
}
