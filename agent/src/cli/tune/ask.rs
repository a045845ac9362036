//! Showing a plan and asking whether it is to be done.

use std::io::{self, BufRead as _, IsTerminal as _, Write};

use anyhow::bail;
use quell::tune::knob::{self, Knob};
use quell::tune::{MatchedProcess, Plan, Step, Target, Value};

use super::text;

/// Shows what would be changed, and asks on a terminal; `None` where the answer is no. Nothing is locked meanwhile: who is asked
/// may have gone.
pub(super) fn agreed(plan: Plan, out: &mut dyn Write) -> anyhow::Result<Option<Plan>> {
    text::plan(&plan, out)?;
    if plan.steps.is_empty() {
        return Ok(Some(plan));
    }
    if !io::stdin().is_terminal() {
        bail!("there is no terminal to ask on: look at `quell tune plan`, then apply with --yes");
    }
    write!(out, "apply this? [y/N] ")?;
    out.flush()?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "yes").then_some(plan))
}

/// The plan that was agreed to, as the host is now: on the processes that were shown and no others. Fails where it is not what was
/// agreed to any more.
pub(super) fn as_agreed(agreed: &Plan, mut plan: Plan) -> anyhow::Result<Plan> {
    if changes(agreed) != changes(&plan) {
        bail!(
            "nothing was changed: the host is not as it was when you were asked; look at `quell tune plan`, and apply again"
        );
    }
    for (shown, step) in agreed.steps.iter().zip(&mut plan.steps) {
        let strangers = MatchedProcess::of_other_users(&step.processes, &shown.processes);
        if !strangers.is_empty() {
            let strangers: Vec<String> = strangers.into_iter().map(ToString::to_string).collect();
            bail!(
                "nothing was changed: since you were asked, processes of other users match {} on {}: {}\nhint: name the user or the \
                 cgroup in `on`, as in `name=redis*,user=redis`",
                step.knob,
                step.target,
                strangers.join("; ")
            );
        }
        step.processes.retain(|process| shown.processes.iter().any(|shown| shown.is(process)));
    }
    Ok(plan)
}

/// What would be changed to what; from what only where that does not come and go by itself, as threads do.
fn changes(plan: &Plan) -> Vec<(&str, &Target, &Value, Option<&Value>)> {
    let comes_and_goes = |step: &Step| knob::by_id(&step.knob).is_some_and(Knob::may_end);
    let now = |step| if comes_and_goes(step) { None } else { Some(&step.now) };
    plan.steps.iter().map(|step| (step.knob.as_str(), &step.target, &step.wanted, now(step))).collect()
}
