//! `quell list`: the tables.

use std::io::Write;

use quell::probe::PROBES;
use quell::report::FORMATS;
use quell::tune::knob::knobs;

use super::Outcome;
use super::text::wrapped;

/// Lists what there is to choose from
#[derive(clap::Args, Debug)]
pub(crate) struct Arguments {
    /// What to list
    what: What,
}

#[derive(clap::ValueEnum, Clone, Copy, Debug)]
enum What {
    /// Probes that `record --probe` takes
    Probes,
    /// Knobs that tuning profiles set
    Knobs,
    /// Formats that `-o` and `--format` take
    Formats,
}

pub(crate) fn run(arguments: &Arguments, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    match arguments.what {
        What::Probes => {
            for probe in PROBES.iter().map(|probe| probe.spec()) {
                writeln!(out, "{:<10}{}", probe.name, wrapped(probe.doc, 10))?;
                for (key, value) in [
                    ("events", probe.events.join(", ")),
                    ("kernel", format!("{} or later", probe.kernel)),
                    ("cost", probe.cost.to_owned()),
                ] {
                    writeln!(out, "{:10}{key:<8}{}", "", wrapped(&value, 18))?;
                }
            }
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
            let doc = "the recording itself, a directory of Parquet files: what `quell record` writes and `quell report` reads";
            writeln!(out, "{:<12}{:<24}{}", "recording", ".quell", wrapped(doc, 36))?;
        }
    }
    Ok(Outcome::Done)
}
