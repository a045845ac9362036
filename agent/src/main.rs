//! The `quell` binary: parses, runs, and turns the outcome into an exit code.

mod cli;

use std::io::{self, BufWriter, Write};
use std::process::ExitCode;

use clap::Parser as _;
use cli::{Cli, Outcome};

fn main() -> ExitCode {
    // A child of quell: nothing else is to run in it.
    if let Some(role) = quell::child::requested(std::env::args_os()) {
        return quell::child::run(role);
    }
    if let Err(error) = quell::privileges::begin() {
        let _ = writeln!(io::stderr(), "quell: {error}");
        return ExitCode::from(2);
    }
    // Wrong usage exits with 2, `--help` and `--version` with 0; both print.
    let cli = Cli::try_parse().unwrap_or_else(|error| cli::with_hint(error).exit());
    log_to_stderr(cli.verbose);
    let mut out = BufWriter::new(Stdout { lock: io::stdout().lock(), closed: false });
    let result = cli::run(&cli, &mut out).and_then(|outcome| Ok(out.flush().map(|()| outcome)?));
    // What is still buffered after an error would only fail again.
    let (out, _) = out.into_parts();
    match result {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::Found) => ExitCode::from(1),
        // Who closed the pipe has seen enough.
        Err(_) if out.closed => ExitCode::SUCCESS,
        Err(error) => {
            // A closed stderr is no reason to hide the exit code.
            let _ = writeln!(io::stderr(), "quell: {}", described(&error));
            ExitCode::from(error.downcast_ref().map_or(2, cli::not_started))
        }
    }
}

/// The error with its causes. Many libraries' errors say in their own text what their cause says again: that is left out.
fn described(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

fn log_to_stderr(verbose: u8) {
    let level = match verbose {
        0 => "warn",
        1 => "info",
        2 => "debug",
        _ => "trace",
    };
    // QUELL_LOG takes tracing's filter directives; -v is for everybody else.
    let filter = tracing_subscriber::EnvFilter::try_from_env("QUELL_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(format!("quell={level}")));
    let terminal = io::IsTerminal::is_terminal(&io::stderr());
    tracing_subscriber::fmt()
        .with_writer(io::stderr)
        .with_ansi(terminal)
        .with_env_filter(filter)
        .with_target(verbose > 0)
        .without_time()
        .init();
}

/// Standard output that remembers whether its reader went away: `quell report ... | head`.
struct Stdout {
    lock: io::StdoutLock<'static>,
    closed: bool,
}

impl Stdout {
    fn note<T>(&mut self, result: io::Result<T>) -> io::Result<T> {
        self.closed |= result.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::BrokenPipe);
        result
    }
}

impl Write for Stdout {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let result = self.lock.write(bytes);
        self.note(result)
    }

    fn flush(&mut self) -> io::Result<()> {
        let result = self.lock.flush();
        self.note(result)
    }
}
