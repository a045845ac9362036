//! The `quell` binary: parses the arguments, runs the command, and returns an exit code.

mod cli;

use std::backtrace::{Backtrace, BacktraceStatus};
use std::fmt;
use std::io::{self, BufWriter, Write};
use std::panic::{self, PanicHookInfo};
use std::process::ExitCode;

use clap::Parser as _;
use cli::{Cli, Outcome};
use quell::report::Style;
use quell::text;
use tracing::field::Field;
use tracing_subscriber::field::MakeExt as _;
use tracing_subscriber::fmt::format::{Writer, debug_fn};

fn main() -> ExitCode {
    // For child processes as well: they write to memfds, to which the limit applies. On failure, exceeding the limit kills
    // quell, which is acceptable.
    let _ = quell::file::catch_file_size_signal();
    // A child process of quell: nothing else must run in it.
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
    let style = cli.color.style(&io::stderr());
    log_to_stderr(cli.verbose, style);
    let mut out = BufWriter::new(Stdout { lock: io::stdout().lock(), closed: false });
    let result = cli::run(&cli, &mut out).and_then(|outcome| Ok(out.flush().map(|()| outcome)?));
    // Flushing the remaining buffer after an error would only fail again.
    let (out, _) = out.into_parts();
    match result {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::Found) => ExitCode::from(1),
        // The reader closed the pipe because it needs no more output.
        Err(error) if out.closed && is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            print_styled(&format!("quell: {}", described(&error)), style);
            ExitCode::from(error.downcast_ref().map_or(2, cli::not_started))
        }
    }
}

/// Prints a message on stderr. The message may contain untrusted names and paths, so it is escaped.
fn print_error(message: &str) {
    // The exit code must be returned even if stderr is closed.
    let _ = writeln!(io::stderr(), "{}", text::shown_lines(message));
}

/// Prints an error like [`print_error`]. In colours, the part before the message is red and `hint:` is bold.
fn print_styled(message: &str, style: Style) {
    if style == Style::Plain {
        return print_error(message);
    }
    let mut colored = String::new();
    for line in message.lines().map(text::shown) {
        let (code, label) = match line.split_once(": ") {
            Some(("quell", _)) => ("\x1b[1;31m", "quell:"),
            Some(("hint", _)) => ("\x1b[1m", "hint:"),
            _ => ("", ""),
        };
        let end = if code.is_empty() { "" } else { "\x1b[0m" };
        colored.push_str(&format!("{code}{label}{end}{}\n", &line[label.len()..]));
    }
    let _ = io::stderr().write_all(colored.as_bytes());
}

/// Whether an error is that of a closed pipe, and not that of another output.
fn is_closed_pipe(error: &anyhow::Error) -> bool {
    let kind = |cause: &(dyn std::error::Error + 'static)| cause.downcast_ref::<io::Error>().map(io::Error::kind);
    error.chain().any(|cause| kind(cause) == Some(io::ErrorKind::BrokenPipe))
}

/// Prints a usage error and returns exit code 2; for `--help` and `--version`, prints the text and returns 0.
fn refuse_usage(error: &clap::Error) -> ExitCode {
    // Without colours, because colour escapes cannot be distinguished from escapes in an argument.
    let plain = error.render().to_string();
    if text::shown_lines(&plain) == plain {
        // The same text, with colours on a terminal.
        let _ = error.print();
    } else {
        print_error(plain.trim_end());
    }
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
}

/// Prints the message of the panic hook of the standard library, escaped, because a panic message may contain untrusted text.
fn report_panic(panic: &PanicHookInfo<'_>) {
    let trace = Backtrace::capture();
    let trace = match trace.status() {
        BacktraceStatus::Captured => format!("\n{trace}"),
        _ => String::new(),
    };
    print_error(&format!("quell: internal error: {panic}{trace}"));
}

/// The error with its causes. Many libraries repeat the text of the cause in the error; such a cause is omitted.
fn described(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

fn log_to_stderr(verbose: u8, style: Style) {
    let level = match verbose {
        0 => "warn",
        1 => "info",
        2 => "debug",
        _ => "trace",
    };
    // QUELL_LOG accepts the filter directives of tracing; -v is the simple alternative.
    let filter = tracing_subscriber::EnvFilter::try_from_env("QUELL_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(format!("quell={level}")));
    tracing_subscriber::fmt()
        .with_writer(io::stderr)
        .with_ansi(style == Style::Colored)
        .with_env_filter(filter)
        .fmt_fields(debug_fn(clean_field).delimited(" "))
        .with_target(verbose > 0)
        .without_time()
        .init();
}

/// Formats a message or a field of a message. Both may contain untrusted text.
fn clean_field(out: &mut Writer<'_>, field: &Field, value: &dyn fmt::Debug) -> fmt::Result {
    let value = format!("{value:?}");
    match field.name() {
        "message" => write!(out, "{}", text::shown_lines(&value)),
        name => write!(out, "{name}={}", text::shown_lines(&value)),
    }
}

/// Standard output that records whether its reader closed the pipe, as in `quell report ... | head`.
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
