//! `quell list`: lists probes, knobs and formats.

use std::io::Write;

use quell::probe::{PROBES, ProbeSpec};
use quell::recording::{MetricKind, MetricSpec, Unit};
use quell::report::{FORMATS, Format};
use quell::tune::knob::{Knob, KnobSpec, Lifetime, knobs};

use super::Outcome;
use super::text::wrapped;

/// Lists probes, knobs or formats
#[derive(clap::Args, Debug)]
#[command(arg_required_else_help = true, after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// What to list
    what: What,
    /// Print JSON; docs/json.md describes it
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

/// A probe as `--json` prints it.
#[derive(serde::Serialize)]
struct ProbeEntry {
    name: &'static str,
    doc: &'static str,
    events: &'static [&'static str],
    kernel: String,
    cost: &'static str,
    metrics: Vec<MetricEntry>,
}

#[derive(serde::Serialize)]
struct MetricEntry {
    name: &'static str,
    label: &'static str,
    unit: Unit,
    kind: MetricKind,
}

impl ProbeEntry {
    fn of(probe: &ProbeSpec) -> Self {
        let metric = |metric: &MetricSpec| {
            let MetricSpec { name, label, unit, kind } = *metric;
            MetricEntry { name, label, unit, kind }
        };
        Self {
            name: probe.name,
            doc: probe.doc,
            events: probe.events,
            kernel: probe.kernel.to_string(),
            cost: probe.cost,
            metrics: probe.metrics.iter().map(metric).collect(),
        }
    }
}

/// A format as `--json` prints it.
#[derive(serde::Serialize)]
struct FormatEntry {
    name: &'static str,
    extensions: Vec<String>,
    doc: &'static str,
}

/// All formats, and the recording.
fn format_entries() -> Vec<FormatEntry> {
    let entry = |format: &Format| FormatEntry {
        name: format.name,
        extensions: format.endings.iter().map(|ending| format!(".{ending}")).collect(),
        doc: format.doc,
    };
    let doc = "the recording: a directory of Parquet tables, which `quell record` writes and `quell report` reads";
    let recording = FormatEntry { name: "recording", extensions: vec![".quell".to_owned()], doc };
    FORMATS.iter().map(entry).chain([recording]).collect()
}

fn print_json(entries: &impl serde::Serialize, out: &mut dyn Write) -> anyhow::Result<()> {
    serde_json::to_writer_pretty(&mut *out, entries)?;
    Ok(writeln!(out)?)
}

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
        What::Probes if arguments.json => {
            print_json(&PROBES.iter().map(|probe| ProbeEntry::of(probe.spec())).collect::<Vec<_>>(), out)?;
        }
        What::Formats if arguments.json => print_json(&format_entries(), out)?,
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
            print_json(&knobs().into_iter().map(KnobFacts::of).collect::<Vec<_>>(), out)?;
        }
        What::Knobs => {
            for spec in knobs().into_iter().map(|knob| knob.spec()) {
                writeln!(out, "{:<32}{}", spec.id, wrapped(spec.doc, 32))?;
            }
        }
        What::Formats => {
            for format in format_entries() {
                writeln!(out, "{:<12}{:<24}{}", format.name, format.extensions.join(" "), wrapped(format.doc, 36))?;
            }
        }
    }
    Ok(Outcome::Done)
}
