//! The `quell` binary: parses, runs, and turns the outcome into an exit code.

mod cli;

use std::io::{self, BufWriter, Write as _};
use std::process::ExitCode;

use clap::Parser as _;
use cli::{Cli, Outcome};

fn main() -> ExitCode {
    // Wrong usage exits with 2, `--help` and `--version` with 0; both print.
    let cli = Cli::parse();
    log_to_stderr(cli.verbose);
    let mut out = BufWriter::new(io::stdout().lock());
    let result = cli::run(&cli, &mut out).and_then(|outcome| Ok(out.flush().map(|()| outcome)?));
    // Who closed the pipe has seen enough, and what is still buffered would only fail again.
    let _ = out.into_parts();
    match result {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::Found) => ExitCode::from(1),
        Err(error) if is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            // A closed stderr is no reason to hide the exit code.
            let _ = writeln!(io::stderr(), "quell: {error:#}");
            ExitCode::from(2)
        }
    }
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
    tracing_subscriber::fmt().with_writer(io::stderr).with_ansi(terminal).with_env_filter(filter).without_time().init();
}

/// Whether the reader of stdout went away: `quell report ... | head`.
fn is_closed_pipe(error: &anyhow::Error) -> bool {
    let broken = |error: &io::Error| error.kind() == io::ErrorKind::BrokenPipe;
    error.chain().any(|cause| {
        cause.downcast_ref::<io::Error>().is_some_and(broken)
            || cause.downcast_ref::<serde_json::Error>().and_then(serde_json::Error::io_error_kind)
                == Some(io::ErrorKind::BrokenPipe)
    })
}
