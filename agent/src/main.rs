//! The `quell` binary: parses, runs, and turns the outcome into an exit code.

mod cli;

use std::backtrace::{Backtrace, BacktraceStatus};
use std::fmt;
use std::io::{self, BufWriter, Write};
use std::panic::{self, PanicHookInfo};
use std::process::ExitCode;

use clap::Parser as _;
use cli::{Cli, Outcome};
use quell::text;
use tracing::field::Field;
use tracing_subscriber::field::MakeExt as _;
use tracing_subscriber::fmt::format::{Writer, debug_fn};

fn main() -> ExitCode {
    // Children too: they write to memory, which the limit counts as files. Without it a limit ends quell, which is no reason not to run.
    let _ = quell::file::catch_file_size_signal();
    // A child of quell: nothing else is to run in it.
    if let Some(role) = quell::child::requested(std::env::args_os()) {
        return quell::roles::run(role);
    }
    if let Err(error) = quell::privileges::begin() {
        let _ = writeln!(io::stderr(), "quell: {}", text::shown(&error.to_string()));
        return ExitCode::from(2);
    }
    panic::set_hook(Box::new(report_panic));
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return refuse_usage(&cli::with_hint(error)),
    };
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
            print_error(&format!("quell: {}", described(&error)));
            ExitCode::from(error.downcast_ref().map_or(2, cli::not_started))
        }
    }
}

/// Prints a message on stderr. It may quote names and paths of others, so that it is cleaned.
fn print_error(message: &str) {
    // A closed stderr is no reason to hide the exit code.
    let _ = writeln!(io::stderr(), "{}", text::shown_lines(message));
}

/// Wrong usage exits with 2, `--help` and `--version` with 0; both print.
fn refuse_usage(error: &clap::Error) -> ExitCode {
    // Without colours: in these escapes cannot be told from those that an argument brought.
    let plain = error.render().to_string();
    if text::shown_lines(&plain) == plain {
        // The same, in colours where there is a terminal.
        let _ = error.print();
    } else {
        print_error(plain.trim_end());
    }
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
}

/// What the standard library's hook says, cleaned: a panic's message may quote anything.
fn report_panic(panic: &PanicHookInfo<'_>) {
    let trace = Backtrace::capture();
    let trace = match trace.status() {
        BacktraceStatus::Captured => format!("\n{trace}"),
        _ => String::new(),
    };
    print_error(&format!("quell: internal error: {panic}{trace}"));
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
        .fmt_fields(debug_fn(clean_field).delimited(" "))
        .with_target(verbose > 0)
        .without_time()
        .init();
}

/// A message, or a field of one. Both quote what others wrote.
fn clean_field(out: &mut Writer<'_>, field: &Field, value: &dyn fmt::Debug) -> fmt::Result {
    let value = format!("{value:?}");
    match field.name() {
        "message" => write!(out, "{}", text::shown_lines(&value)),
        name => write!(out, "{name}={}", text::shown_lines(&value)),
    }
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
