//! The command line: one file for each verb.

mod doctor;
mod duration;
mod ending;
mod list;
mod record;
mod report;
mod run;
mod target;
mod text;
mod tune;

use std::io::{self, Write};

use clap::error::{ContextKind, ContextValue, ErrorKind};
use quell::text::Shown;
use quell::tune::RunError;

/// Finds what makes a Linux host slow
#[derive(clap::Parser, Debug)]
#[command(
    name = "quell",
    version,
    max_term_width = 100,
    after_help = "Exit codes: 0 done; 1 done, and it found something; 2 could not be done."
)]
pub(crate) struct Cli {
    /// Say more on stderr; twice for details
    #[arg(short, long, global = true, display_order = 900, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
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

/// How a verb ended that could be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Done.
    Done,
    /// Done, and it found something that is not as it should be.
    Found,
}

/// The exit code where a command was not started: what env(1), nice(1) and shells have, since its own may be 1 and 2.
pub(crate) fn not_started(error: &RunError) -> u8 {
    match error {
        RunError::Execute { source, .. } if source.kind() == io::ErrorKind::NotFound => 127,
        RunError::Execute { .. } => 126,
        _ => 125,
    }
}

/// Adds to an error of usage what clap cannot know: a word after `quell record` is most likely a command to record.
pub(crate) fn with_hint(mut error: clap::Error) -> clap::Error {
    let usage = error.get(ContextKind::Usage).map(ToString::to_string).unwrap_or_default();
    let Some(ContextValue::String(word)) = error.get(ContextKind::InvalidArg) else { return error };
    if error.kind() == ErrorKind::UnknownArgument && !word.starts_with('-') && usage.contains("quell record") {
        let hint = format!("to record a command, write it after `--`: quell record -- {word}");
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![hint.into()]));
    }
    error
}

/// Does what the command line asks. Results go to `out`, diagnostics to `tracing`.
///
/// All that is printed passes through [`Shown`]. Only `record` and `report` are given `out` itself, since `-o -` may write
/// any format there; they clean what they say themselves.
///
/// # Errors
/// It could not be done.
pub(crate) fn run(cli: &Cli, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    match &cli.verb {
        Verb::Record(arguments) => record::run(arguments, out),
        Verb::Report(arguments) => report::run(arguments, out),
        Verb::Doctor(arguments) => cleaned(out, |out| doctor::run(arguments, out)),
        Verb::Run(arguments) => run::run(arguments),
        Verb::Tune(arguments) => cleaned(out, |out| tune::run(arguments, out)),
        Verb::List(arguments) => cleaned(out, |out| list::run(arguments, out)),
    }
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
}
