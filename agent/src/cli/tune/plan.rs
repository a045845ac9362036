//! `quell tune plan`.

use std::io::Write;

use quell::host::{Host, Root};
use quell::tune::knob::{self, Risk};
use quell::tune::plan::{Plan, Skipped, Step};

use super::{ProfileArguments, make_plan, text};
use crate::cli::Outcome;

const EXAMPLES: &str = "\
Examples:
  quell tune plan trading
  quell tune plan trading --set isolated=2-5 --json";

#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    #[command(flatten)]
    profile: ProfileArguments,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// A plan as JSON, with the risks that `quell list knobs --json` has too.
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
    risk_description: Option<&'static str>,
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
        Self { step, risk: risk.name(), risk_description: risk.description() }
    }
}

pub(super) fn run(root: &Root, arguments: &Arguments, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    let host = Host::read(root.clone())?;
    let plan = make_plan(&host, &arguments.profile)?;
    if arguments.json {
        serde_json::to_writer_pretty(&mut *out, &PlanFacts::of(&plan))?;
        writeln!(out)?;
    } else {
        text::plan(&plan, out)?;
    }
    Ok(Outcome::Done)
}
