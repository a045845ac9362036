//! `quell report`: reports on a recording.

use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::bail;
use quell::output::{Form, Output};
use quell::pattern::Pattern;
use quell::probe::PROBES;
use quell::profile::{FunctionPattern, IdleThreads, Roots, Selection, StackFilter, Window, build};
use quell::recording::{self, ProcessFilter};
use quell::report;
use quell::text::Shown;
use quell::units::{Nanos, Pid, Tid};

use super::duration::{duration, time};
use super::target::{cgroup_pattern, pid};
use super::terminal::Terminal;
use super::{Outcome, nothing_selected};

/// Reports on a recording, or on a part of it
///
/// Without -o, a summary is printed. The recording is not modified. If nothing matches the selection, nothing is written.
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// The recording: a directory NAME.quell
    recording: PathBuf,
    /// Only these probes
    #[arg(long, value_delimiter = ',', value_name = "PROBE", value_parser = probe_names())]
    probe: Vec<String>,
    /// Only this process (may be repeated)
    #[arg(long, value_name = "PID", value_parser = pid)]
    pid: Vec<u32>,
    /// Only this thread, by its thread ID (may be repeated)
    #[arg(long, value_name = "TID", value_parser = tid)]
    tid: Vec<u32>,
    /// Only threads with this name, such as worker or 'worker-*' (may be repeated, like the following)
    #[arg(long, value_name = "GLOB", value_parser = Pattern::new)]
    comm: Vec<Pattern>,
    /// Only processes with this executable: a path, or a file name
    #[arg(long, value_name = "GLOB", value_parser = Pattern::new)]
    exe: Vec<Pattern>,
    /// Only processes in this cgroup or below it, such as system.slice/'redis*'
    #[arg(long, value_name = "GLOB", value_parser = cgroup_pattern)]
    cgroup: Vec<Pattern>,
    /// Only processes of this user: a name, or a UID
    #[arg(long, value_name = "GLOB", value_parser = Pattern::new)]
    user: Vec<Pattern>,
    /// Only samples with this function in their stack; `*` and `?` are wildcards
    #[arg(long, value_name = "GLOB")]
    function: Vec<String>,
    /// No samples with this function in their stack
    #[arg(long, value_name = "GLOB")]
    exclude: Vec<String>,
    /// The roots of stacks, and the rows of the summary: pools are threads whose names differ only in a number
    #[arg(long, value_enum, value_name = "ROOT", default_value_t)]
    by: By,
    /// Short for --by thread: separate threads with the same name
    #[arg(long, conflicts_with = "by")]
    thread: bool,
    /// Show threads that only waited for work like all others. Without it, the summary has one line for them, the page hides them
    /// at first, and SVG and speedscope leave them out
    #[arg(long)]
    idle: bool,
    /// Only after this time from the start of the capture, such as 500ms, 2s or 1m30s; a number without a unit is in seconds
    #[arg(long, value_name = "TIME", value_parser = time, allow_negative_numbers = true)]
    since: Option<Nanos>,
    /// Only before this time from the start of the capture
    #[arg(long, value_name = "TIME", value_parser = duration, allow_negative_numbers = true)]
    until: Option<Nanos>,
    /// Print the data of the summary as JSON; docs/json.md describes it
    #[arg(long, conflicts_with = "output")]
    json: bool,
    /// Use this format for every -o, regardless of the file extension; `quell list formats` lists the formats
    #[arg(long, value_name = "FORMAT", requires = "output")]
    format: Option<String>,
    /// Write to this file, in the format of its extension; - is stdout and requires --format (may be repeated)
    #[arg(short, long, value_name = "FILE")]
    output: Vec<PathBuf>,
}

const EXAMPLES: &str = "\
Examples:
  quell report quell.quell
  quell report quell.quell --probe offcpu --comm 'worker-*'
  quell report quell.quell --user postgres --by process
  quell report quell.quell --since 2s --until 4s -o part.html
  quell report quell.quell --function '*::handle_request' --exclude 'futex_*'
  quell report quell.quell --format folded -o - | flamegraph.pl > out.svg";

/// The values of `--by`.
#[derive(clap::ValueEnum, Clone, Copy, Debug, Default)]
enum By {
    /// Threads whose names differ only in a number, such as worker-1 and worker-2: worker-*
    #[default]
    Pool,
    /// Threads with the same name
    Name,
    /// Each thread
    Thread,
    /// Processes, with their pools below
    Process,
}

fn tid(text: &str) -> Result<u32, String> {
    text.parse().map_err(|_| format!("`{text}` is not a thread ID; `ps -eT` lists them"))
}

fn patterns(texts: &[String]) -> Vec<FunctionPattern> {
    texts.iter().map(|text| FunctionPattern::new(text)).collect()
}

/// The values of `--probe`.
pub(crate) fn probe_names() -> clap::builder::PossibleValuesParser {
    clap::builder::PossibleValuesParser::new(PROBES.iter().map(|probe| probe.spec().name))
}

impl Arguments {
    fn selection(&self) -> anyhow::Result<Selection> {
        if let (Some(since), Some(until)) = (self.since, self.until)
            && since >= until
        {
            bail!("--since {since} is not before --until {until}");
        }
        Ok(Selection {
            probes: self.probe.clone(),
            pids: self.pid.iter().copied().map(Pid).collect(),
            tids: self.tid.iter().copied().map(Tid).collect(),
            comms: self.comm.clone(),
            processes: ProcessFilter {
                executables: self.exe.clone(),
                cgroups: self.cgroup.clone(),
                users: self.user.clone(),
            },
            stacks: StackFilter { with: patterns(&self.function), without: patterns(&self.exclude) },
            window: Window { since: self.since, until: self.until },
            roots: match self.by {
                _ if self.thread => Roots::Threads,
                By::Pool => Roots::Pools,
                By::Name => Roots::Names,
                By::Thread => Roots::Threads,
                By::Process => Roots::Processes,
            },
            idle: if self.idle { IdleThreads::Listed } else { IdleThreads::Folded },
        })
    }

    /// The outputs. A recording cannot be one of them, since a selection cannot be applied to it.
    fn outputs(&self) -> anyhow::Result<Vec<Output>> {
        let outputs: Vec<Output> =
            self.output.iter().map(|path| Output::new(path, self.format.as_deref())).collect::<Result<_, _>>()?;
        if outputs.iter().any(|output| output.form() == Form::Recording) {
            bail!("report does not write recordings\nhint: to copy a recording, use cp -r");
        }
        Ok(outputs)
    }
}

/// Names the files that were written, followed by `note`, unless stdout carries a report itself.
pub(crate) fn say_written<'a>(
    outputs: impl IntoIterator<Item = &'a Output>,
    note: &str,
    out: &mut dyn Write,
) -> io::Result<()> {
    let paths: Option<Vec<_>> =
        outputs.into_iter().map(|output| Some(output.written_path()?.display().to_string())).collect();
    match paths {
        Some(paths) if !paths.is_empty() => writeln!(out, "written: {}{note}", paths.join(", ")),
        _ => Ok(()),
    }
}

pub(crate) fn run(arguments: &Arguments, terminal: Terminal, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    let selection = arguments.selection()?;
    let outputs = arguments.outputs()?;
    let recording = recording::read(&arguments.recording)?;
    let profile = build(&recording, &selection);
    nothing_selected::check(&recording, &selection, &profile)?;
    if arguments.json {
        report::summary_json(&profile, out)?;
    } else if outputs.is_empty() {
        report::summary(&profile, terminal.width, terminal.style, out)?;
    }
    for output in &outputs {
        output.write(&recording, &profile, out)?;
    }
    say_written(&outputs, "", &mut Shown::new(out))?;
    Ok(Outcome::Done)
}
