//! A capture while a test goes on.

use std::process::Command;

use anyhow::Result;
use nix::sys::signal::Signal;

use crate::agent::{Ended, Running, Workdir};
use crate::recorded::Recorded;

/// A `quell record` that is at work.
#[derive(Debug)]
pub struct Capture {
    dir: Workdir,
    quell: Running,
}

impl Capture {
    /// Begins one: what starts from now on is captured from its beginning.
    pub fn begin(arguments: &[&str]) -> Result<Self> {
        let dir = Workdir::new()?;
        let quell = Running::spawn(&mut record(&dir, arguments)?)?;
        quell.captures()?;
        Ok(Self { dir, quell })
    }

    /// The capture of something that ends it: of processes that have ended by now, or of a command.
    pub fn ended(self) -> Result<Recorded> {
        self.quell.wait()?.expect_code(0)?;
        Recorded::read(&self.dir.path("x.quell"))
    }

    /// The capture up to now, of something without an end.
    pub fn stopped(self) -> Result<Recorded> {
        self.quell.signal(Signal::SIGINT)?;
        self.ended()
    }

    /// A capture from its beginning to its own end, with what was printed.
    pub fn whole(arguments: &[&str]) -> Result<(Recorded, Ended)> {
        let dir = Workdir::new()?;
        let ended = Running::spawn(&mut record(&dir, arguments)?)?.wait()?.expect_code(0)?;
        Ok((Recorded::read(&dir.path("x.quell"))?, ended))
    }
}

/// `quell record` of a recording, with the arguments after the others: they may hold a command.
fn record(dir: &Workdir, arguments: &[&str]) -> Result<Command> {
    let mut command = dir.command()?;
    command.args(["record", "-o", "x.quell"]).args(arguments);
    Ok(command)
}
