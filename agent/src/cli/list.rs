//! `quell list`: lists probes, knobs and formats.

use std::io::Write;

use anyhow::bail;
use quell::probe::PROBES;
use quell::report::FORMATS;
use quell::tune::knob::{Knob, KnobSpec, Lifetime, knobs};

use super::Outcome;
use super::text::wrapped;

/// Lists probes, knobs or formats
#[derive(clap::Args, Debug)]
#[command(arg_required_else_help = true, after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// What to list
    what: What,
    /// Print JSON (knobs only)
    #[arg(long)]
    json: bool,
}

#[derive(clap::ValueEnum, Clone, Copy, Debug)]
enum What {
    /// Probes for `quell record --probe`
    Probes,
    /// Knobs for tuning profiles
    Knobs,
    /// Formats for `-o` and `--format`
    Formats,
}

const EXAMPLES: &str = "\
Examples:
  quell list probes
  quell list formats
  quell list knobs --json";

/// A knob as `--json` prints it.
#[derive(serde::Serialize)]
struct KnobFacts {
    id: &'static str,
    doc: &'static str,
    takes: String,
    scope: &'static str,
    lifetime: Lifetime,
    risk: &'static str,
    risk_description: Option<&'static str>,
    source: &'static str,
}

impl KnobFacts {
    fn of(knob: &'static dyn Knob) -> Self {
        let KnobSpec { id, doc, source, kind, scope, lifetime, risk, .. } = *knob.spec();
        let (risk, risk_description) = (risk.name(), risk.description());
        Self { id, doc, takes: kind.to_string(), scope: scope.name(), lifetime, risk, risk_description, source }
    }
}

pub(crate) fn run(arguments: &Arguments, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    match arguments.what {
        What::Probes | What::Formats if arguments.json => {
            bail!("--json is only available for knobs\nhint: quell list knobs --json")
        }
        What::Probes => {
            for probe in PROBES.iter().map(|probe| probe.spec()) {
                writeln!(out, "{:<10}{}", probe.name, wrapped(probe.doc, 10))?;
                for (key, value) in [
                    ("events", probe.events.join(", ")),
                    ("kernel", format!("{} or later", probe.kernel)),
                    ("cost", probe.cost.to_owned()),
                    ("metrics", probe.metrics.iter().map(|metric| metric.name).collect::<Vec<_>>().join(", ")),
                ] {
                    writeln!(out, "{:10}{key:<8}{}", "", wrapped(&value, 18))?;
                }
            }
        }
        What::Knobs if arguments.json => {
            serde_json::to_writer_pretty(&mut *out, &knobs().into_iter().map(KnobFacts::of).collect::<Vec<_>>())?;
            writeln!(out)?;
        }
        What::Knobs => {
            for spec in knobs().into_iter().map(|knob| knob.spec()) {
                writeln!(out, "{:<32}{}", spec.id, wrapped(spec.doc, 32))?;
            }
        }
        What::Formats => {
            for format in FORMATS {
                let endings: Vec<String> = format.endings.iter().map(|ending| format!(".{ending}")).collect();
                writeln!(out, "{:<12}{:<24}{}", format.name, endings.join(" "), wrapped(format.doc, 36))?;
            }
            let doc =
                "the recording: a directory of Parquet tables, which `quell record` writes and `quell report` reads";
            writeln!(out, "{:<12}{:<24}{}", "recording", ".quell", wrapped(doc, 36))?;
        }
    }
    Ok(Outcome::Done)
}
