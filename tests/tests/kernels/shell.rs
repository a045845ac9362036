//! A shell that is captured for what its child does.

use std::io::Write as _;
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result};
use quell_tests::{agent, fixture};
use serde::de::DeserializeOwned;

/// A shell that starts a fixture once it is told to, and waits for it.
pub(crate) struct Shell {
    child: Child,
}

impl Shell {
    /// Starts the shell; the fixture follows in [`run`](Self::run).
    pub(crate) fn start(fixture: &str, arguments: &str) -> Result<Self> {
        let fixture = agent::target_dir()?.join(fixture);
        // In the background: a shell may become the last command that it runs.
        let script = format!("read line; {} {arguments} & wait", fixture.display());
        let mut shell = Command::new("sh");
        shell.args(["-c", &script]).stdin(Stdio::piped()).stdout(Stdio::piped());
        Ok(Self { child: shell.spawn().context("cannot start a shell")? })
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Lets the fixture run, and gives its report.
    pub(crate) fn run<T: DeserializeOwned>(mut self) -> Result<T> {
        self.child.stdin.take().context("stdin is a pipe")?.write_all(b"go\n")?;
        let output = std::io::read_to_string(self.child.stdout.take().context("stdout is a pipe")?)?;
        fixture::report_in(&output)
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        // Fails where it has ended, which is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
