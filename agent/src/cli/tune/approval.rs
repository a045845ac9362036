//! Showing a plan and asking for approval.

use std::io::{self, BufRead as _, IsTerminal as _, Write};

use anyhow::bail;
use quell::tune::knob::{self, MatchedProcess};
use quell::tune::plan::{Plan, Step};
use quell::tune::value::{KnobTarget, Value};

use super::text;

/// Shows a plan and asks on a terminal whether to apply it; `None` if the answer is no. The host is not locked while the user decides.
pub(super) fn ask(plan: Plan, out: &mut dyn Write) -> anyhow::Result<Option<Plan>> {
    text::plan(&plan, out)?;
    if plan.steps.is_empty() {
        return Ok(Some(plan));
    }
    if !io::stdin().is_terminal() {
        bail!("cannot ask for approval without a terminal\nhint: check `quell tune plan`, then apply with --yes");
    }
    write!(out, "apply this? [y/N] ")?;
    out.flush()?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "yes").then_some(plan))
}

/// The approved plan for the current state of the host, limited to the processes that were shown. It is an error if the changes differ
/// from the approved ones.
pub(super) fn check_approved(approved: &Plan, mut plan: Plan) -> anyhow::Result<Plan> {
    if changes(approved) != changes(&plan) {
        bail!(
            "nothing was changed: the state of the host changed after the plan was shown\n\
             hint: check `quell tune plan`, then apply again"
        );
    }
    for (shown, step) in approved.steps.iter().zip(&mut plan.steps) {
        let new = MatchedProcess::of_other_users(&step.processes, &shown.processes);
        if !new.is_empty() {
            let new: Vec<String> = new.into_iter().map(ToString::to_string).collect();
            bail!(
                "nothing was changed: after the plan was shown, processes of other users matched {} on {}: {}\n\
                 hint: name the user or the cgroup in `on`, for example `name=redis*,user=redis`",
                step.knob,
                step.target,
                new.join("; ")
            );
        }
        step.processes.retain(|process| shown.processes.iter().any(|shown| shown.is(process)));
    }
    Ok(plan)
}

/// The changes of a plan: knob, target, desired value, and the current one unless its parts come and go, as threads do.
fn changes(plan: &Plan) -> Vec<(&str, &KnobTarget, &Value, Option<&Value>)> {
    let is_stable = |step: &Step| !knob::by_id(&step.knob).is_some_and(|knob| knob.spec().target_may_end);
    let current = |step| is_stable(step).then_some(&step.current);
    plan.steps.iter().map(|step| (step.knob.as_str(), &step.target, &step.desired, current(step))).collect()
}
