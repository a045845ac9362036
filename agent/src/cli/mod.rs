//! The command line: one file for each verb.

mod closing;
mod doctor;
mod duration;
mod ending;
mod list;
mod nothing_selected;
mod record;
mod record_privileges;
mod report;
mod results;
mod run;
mod target;
mod terminal;
mod text;
mod tune;

use std::io::{self, Write};

use clap::error::{ContextKind, ContextValue, ErrorKind};
use quell::file::FileError;
use quell::host::{Capabilities, Capability};
use quell::launch::LaunchError;
use quell::output::OutputError;
use quell::privileges::table::of_verb;
use quell::privileges::{self, Keeps};
use quell::recording::RecordingError;
use quell::text::Shown;
use terminal::{Color, Terminal};

/// A profiler and tuning tool for Linux hosts
#[derive(clap::Parser, Debug)]
#[command(
    name = "quell",
    version,
    max_term_width = 100,
    after_help = "\
Examples:
  sudo quell record -a -d 10        record all threads for ten seconds
  quell report quell.quell          print a summary of the recording
  quell tune plan latency           show what a tuning profile would change
  sudo quell doctor                 show what this kernel and host support

Exit codes: 0 success; 1 success, with findings; 2 failure."
)]
pub(crate) struct Cli {
    /// Print more messages to stderr; -vv prints details
    #[arg(short, long, global = true, display_order = 900, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
    /// When to print in colours; auto: on a terminal, unless NO_COLOR is set
    #[arg(long, global = true, display_order = 901, value_name = "WHEN", default_value = "auto")]
    pub(crate) color: Color,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(clap::Subcommand, Debug)]
enum Verb {
    Record(record::Arguments),
    Report(report::Arguments),
    Doctor(doctor::Arguments),
    Tune(tune::Arguments),
    Run(run::Arguments),
    List(list::Arguments),
}

/// The result of a verb that did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Success: exit code 0.
    Done,
    /// Success, with findings that need attention: exit code 1.
    Found,
}

/// The exit code if a command could not be started, as of env(1), nice(1) and shells: 1 and 2 may be exit codes of the command.
pub(crate) fn not_started(error: &LaunchError) -> u8 {
    match error {
        LaunchError::Execute { source, .. } if source.kind() == io::ErrorKind::NotFound => 127,
        LaunchError::Execute { .. } => 126,
        _ => 125,
    }
}

/// Adds to an error of usage what clap cannot know: a word after `quell record` is most likely a command to record.
pub(crate) fn with_hint(mut error: clap::Error) -> clap::Error {
    let usage = error.get(ContextKind::Usage).map(ToString::to_string).unwrap_or_default();
    let Some(ContextValue::String(word)) = error.get(ContextKind::InvalidArg) else { return error };
    if error.kind() == ErrorKind::UnknownArgument && !word.starts_with('-') && usage.contains("quell record") {
        let hint = format!("to record a command, put `--` before it: quell record -- {word}");
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![hint.into()]));
    }
    error
}

impl Verb {
    /// The name of the verb in [`privileges::table`].
    fn name(&self) -> &'static str {
        match self {
            Self::Record(_) => "record",
            Self::Report(_) => "report",
            Self::Doctor(_) => "doctor",
            Self::Tune(arguments) => arguments.name(),
            Self::Run(_) => "run",
            Self::List(_) => "list",
        }
    }
}

/// Runs the verb with the privileges that it needs. Results go to `out`, diagnostics to `tracing`.
///
/// All that is printed passes through [`Shown`]. Only `record` and `report` are given `out` itself, since `-o -` may write
/// any format there; they clean what they say themselves.
///
/// # Errors
/// The verb failed.
pub(crate) fn run(cli: &Cli, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    let started_with = Capabilities::permitted();
    // The command that a capture starts does so with what its caller has, hence before anything is dropped.
    if let Verb::Record(arguments) = &cli.verb {
        return record::run(arguments, Terminal::of_stdout(cli.color), out);
    }
    let keeps = of_verb(cli.verb.name());
    privileges::enter(&keeps)?;
    let result = match &cli.verb {
        Verb::Record(arguments) => record::run(arguments, Terminal::of_stdout(cli.color), out),
        Verb::Report(arguments) => report::run(arguments, Terminal::of_stdout(cli.color), out),
        Verb::Doctor(arguments) => cleaned(out, |out| doctor::run(arguments, started_with, out)),
        Verb::Run(arguments) => run::run(arguments),
        Verb::Tune(arguments) => cleaned(out, |out| tune::run(arguments, out)),
        Verb::List(arguments) => cleaned(out, |out| list::run(arguments, out)),
    };
    result.map_err(|error| hint_at_dropped(error, &keeps, started_with))
}

/// Adds a hint if a file could not be opened because root's capabilities were dropped.
fn hint_at_dropped(error: anyhow::Error, keeps: &Keeps, started_with: Capabilities) -> anyhow::Error {
    let refused = error.chain().any(|cause| error_kind(cause) == Some(io::ErrorKind::PermissionDenied));
    if refused && matches!(keeps, Keeps::Nothing) && started_with.has(Capability::DacOverride) {
        return anyhow::anyhow!(
            "{error:#}\nhint: this command drops the capabilities of root before it opens files; run it as the owner of the files"
        );
    }
    error
}

/// The kind of the system call's error, for errors that open files of the caller.
fn error_kind(error: &(dyn std::error::Error + 'static)) -> Option<io::ErrorKind> {
    let of_io = error.downcast_ref::<io::Error>().map(io::Error::kind);
    let of_file = || error.downcast_ref::<FileError>().map(FileError::kind);
    let of_recording = || error.downcast_ref::<RecordingError>().map(RecordingError::kind);
    let of_output = || error.downcast_ref::<OutputError>().map(OutputError::kind);
    of_io.or_else(of_file).or_else(of_recording).or_else(of_output)
}

/// Has a verb print through [`Shown`].
fn cleaned(
    out: &mut dyn Write,
    print: impl FnOnce(&mut dyn Write) -> anyhow::Result<Outcome>,
) -> anyhow::Result<Outcome> {
    let mut shown = Shown::new(out);
    let outcome = print(&mut shown)?;
    shown.flush()?;
    Ok(outcome)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory as _;
        super::Cli::command().debug_assert();
    }

    #[test]
    fn every_verb_has_its_line_in_the_table_of_privileges() {
        use clap::CommandFactory as _;
        let table: Vec<&str> = quell::privileges::table::VERBS.iter().flat_map(|line| line.verbs).copied().collect();
        let cli = super::Cli::command();
        let mut verbs = Vec::new();
        for verb in cli.get_subcommands() {
            let below: Vec<String> =
                verb.get_subcommands().map(|one| format!("{} {}", verb.get_name(), one.get_name())).collect();
            verbs.extend(if below.is_empty() { vec![verb.get_name().to_owned()] } else { below });
        }
        for verb in &verbs {
            assert_eq!(table.iter().filter(|line| *line == verb).count(), 1, "{verb}");
        }
        assert_eq!(table.len(), verbs.len() + 1, "besides `tune --root`: {table:?}");
    }
}
