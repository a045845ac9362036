//! Commands in the output of `quell tune --root DIR`: they name the same directory, or they would act on this host.

use std::io::{self, Write};

use quell::host::Root;
use quell::tune::transaction::shell_quoted;

/// How a suggested command begins.
const COMMAND: &str = "quell tune ";

/// Adds `--root DIR` to the suggested commands in each line.
pub(super) struct WithRoot<'a> {
    out: &'a mut dyn Write,
    line: Vec<u8>,
    command: String,
}

impl<'a> WithRoot<'a> {
    /// A writer in front of `out`, for what is printed about `root`.
    pub(super) fn new(root: &Root, out: &'a mut dyn Write) -> Self {
        Self { out, line: Vec::new(), command: command(root) }
    }

    fn write_line(&mut self) -> io::Result<()> {
        let line = std::mem::take(&mut self.line);
        match std::str::from_utf8(&line) {
            Ok(text) => self.out.write_all(text.replace(COMMAND, &self.command).as_bytes()),
            Err(_) => self.out.write_all(&line),
        }
    }
}

impl Write for WithRoot<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.line.extend_from_slice(part);
            if part.ends_with(b"\n") {
                self.write_line()?;
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.write_line()?;
        self.out.flush()
    }
}

/// The text, with `--root DIR` in its suggested commands.
pub(super) fn with_root(root: &Root, text: &str) -> String {
    text.replace(COMMAND, &command(root))
}

/// The error, with `--root DIR` in the commands that it suggests.
pub(super) fn error_with_root(root: &Root, error: anyhow::Error) -> anyhow::Error {
    let message = format!("{error:#}");
    if root.is_host() || !message.contains(COMMAND) { error } else { anyhow::Error::msg(with_root(root, &message)) }
}

fn command(root: &Root) -> String {
    if root.is_host() {
        return COMMAND.to_owned();
    }
    let directory = root.display_path("/").display().to_string();
    format!("{COMMAND}--root {} ", shell_quoted(directory.trim_end_matches('/')))
}
