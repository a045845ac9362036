//! `quell report`: draws a recording.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::bail;
use quell::output::{Form, Output};
use quell::probe::PROBES;
use quell::profile::{Selection, Window, build};
use quell::recording::{self, Recording};
use quell::report;
use quell::text::{self, Shown};
use quell::units::{Nanos, Pid};

use super::Outcome;
use super::duration::{duration, time};
use super::target::pid;

/// Draws a recording, or a part of it
///
/// Without -o it prints a summary. A selection applies to what is drawn; the recording stays as it is.
#[derive(clap::Args, Debug)]
pub(crate) struct Arguments {
    /// The recording, a directory NAME.quell
    recording: PathBuf,
    /// Only what these probes captured: cpu, offcpu
    #[arg(long, value_delimiter = ',', value_name = "PROBE", value_parser = probe_names())]
    probe: Vec<String>,
    /// Only this process; may be given several times
    #[arg(long, value_name = "PID", value_parser = pid)]
    pid: Vec<u32>,
    /// Only threads of this name; may be given several times
    #[arg(long, value_name = "NAME")]
    comm: Vec<String>,
    /// Keep the threads of one name apart
    #[arg(long)]
    thread: bool,
    /// Only from this time after the start of the capture on: 500ms, 2s, 1m30s; a bare number is seconds
    #[arg(long, value_name = "TIME", value_parser = time, allow_negative_numbers = true)]
    since: Option<Nanos>,
    /// Only before this time after the start of the capture
    #[arg(long, value_name = "TIME", value_parser = duration, allow_negative_numbers = true)]
    until: Option<Nanos>,
    /// The format of every -o, whatever its file extension; `quell list formats` shows them
    #[arg(long, value_name = "FORMAT", requires = "output")]
    format: Option<String>,
    /// Write to this file, in the format of its extension; - is stdout and needs --format; may be given several times
    #[arg(short, long, value_name = "FILE")]
    output: Vec<PathBuf>,
}

/// What `--probe` takes.
pub(crate) fn probe_names() -> clap::builder::PossibleValuesParser {
    clap::builder::PossibleValuesParser::new(PROBES.iter().map(|probe| probe.spec().name))
}

impl Arguments {
    fn selection(&self) -> anyhow::Result<Selection> {
        if let (Some(since), Some(until)) = (self.since, self.until)
            && since >= until
        {
            bail!("--since {since} is not before --until {until}, which leaves nothing");
        }
        Ok(Selection {
            probes: self.probe.clone(),
            pids: self.pid.iter().copied().map(Pid).collect(),
            comms: self.comm.clone(),
            window: Window { since: self.since, until: self.until },
            by_thread: self.thread,
        })
    }

    /// Where to; a recording is none of the forms that a report has, since a selection could not be applied to it.
    fn outputs(&self) -> anyhow::Result<Vec<Output>> {
        let outputs: Vec<Output> =
            self.output.iter().map(|path| Output::new(path, self.format.as_deref())).collect::<Result<_, _>>()?;
        if outputs.iter().any(|output| output.form() == Form::Recording) {
            bail!("report draws recordings and does not write them; to copy one whole, use cp -r");
        }
        Ok(outputs)
    }
}

/// Names the files that were written, unless stdout carries a report itself.
pub(crate) fn say_written<'a>(outputs: impl IntoIterator<Item = &'a Output>, out: &mut dyn Write) -> io::Result<()> {
    let paths: Option<Vec<_>> = outputs.into_iter().map(|output| Some(output.path()?.display().to_string())).collect();
    match paths {
        Some(paths) if !paths.is_empty() => writeln!(out, "written: {}", paths.join(", ")),
        _ => Ok(()),
    }
}

/// What there is to choose from, the most frequent names first.
fn contents(recording: &Recording) -> String {
    const SHOWN: usize = 10;
    let mut samples: BTreeMap<&str, usize> = BTreeMap::new();
    for sample in &recording.samples {
        *samples.entry(&recording.threads.get(sample.thread).comm).or_default() += 1;
    }
    let mut names: Vec<(&str, usize)> = samples.into_iter().collect();
    names.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let more = if names.len() > SHOWN { format!(" and {} more", names.len() - SHOWN) } else { String::new() };
    let names: Vec<_> = names.into_iter().take(SHOWN).map(|(name, _)| text::shown(name)).collect();
    format!("the capture lasted {}, and has threads named {}{more}", recording.meta.duration, names.join(", "))
}

pub(crate) fn run(arguments: &Arguments, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    let selection = arguments.selection()?;
    let outputs = arguments.outputs()?;
    let recording = recording::read(&arguments.recording)?;
    let profile = build(&recording, &selection);
    if profile.samples.is_empty() && !recording.samples.is_empty() {
        tracing::warn!("no sample matches the selection: {}", contents(&recording));
    }
    if outputs.is_empty() {
        report::summary(&profile, out)?;
    }
    for output in &outputs {
        output.write(&recording, &profile, out)?;
    }
    say_written(&outputs, &mut Shown::new(out))?;
    Ok(Outcome::Done)
}
