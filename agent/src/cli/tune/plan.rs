//! `quell tune plan`.

use std::io::Write;

use quell::host::{Host, Root};
use quell::tune::knob::{self, Risk};
use quell::tune::{Plan, Skipped, Step};

use super::{Chosen, planned, text};
use crate::cli::Outcome;

#[derive(clap::Args, Debug)]
pub(super) struct Arguments {
    #[command(flatten)]
    chosen: Chosen,
    /// For programs
    #[arg(long)]
    json: bool,
}

/// A plan for programs: with what can go wrong, by the names that `quell list knobs --json` has for it.
#[derive(serde::Serialize)]
struct PlanFacts<'a> {
    profile: &'a str,
    variables: &'a [(String, String)],
    remarks: &'a [String],
    steps: Vec<StepFacts<'a>>,
    unchanged: &'a [Step],
    skipped: &'a [Skipped],
}

#[derive(serde::Serialize)]
struct StepFacts<'a> {
    #[serde(flatten)]
    step: &'a Step,
    risk: &'static str,
    risk_why: Option<&'static str>,
}

impl<'a> PlanFacts<'a> {
    fn of(plan: &'a Plan) -> Self {
        let Plan { profile, variables, remarks, steps, unchanged, skipped } = plan;
        let steps = steps.iter().map(StepFacts::of).collect();
        Self { profile, variables, remarks, steps, unchanged, skipped }
    }
}

impl<'a> StepFacts<'a> {
    fn of(step: &'a Step) -> Self {
        let risk = knob::by_id(&step.knob).map_or(Risk::Low, |knob| knob.spec().risk);
        Self { step, risk: risk.name(), risk_why: risk.why() }
    }
}

pub(super) fn run(root: &Root, arguments: &Arguments, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    let host = Host::read(root.clone())?;
    let plan = planned(&host, &arguments.chosen)?;
    if arguments.json {
        serde_json::to_writer_pretty(&mut *out, &PlanFacts::of(&plan))?;
        writeln!(out)?;
    } else {
        text::plan(&plan, out)?;
    }
    Ok(Outcome::Done)
}
