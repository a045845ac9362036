//! A capture while a test goes on.

use std::env;
use std::path::Path;
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;

use crate::agent::{Ended, Running, Workdir};
use crate::recorded::Recorded;
use crate::verdict::EVENTS;

/// The recording's name in its directory.
const RECORDING: &str = "x.quell";

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

    /// The process of quell.
    pub fn pid(&self) -> Result<u32> {
        Ok(self.quell.pid()?.as_raw().cast_unsigned())
    }

    /// The capture of something that ends it: of processes that have ended by now, or of a command.
    pub fn ended(self) -> Result<Recorded> {
        self.quell.wait()?.expect_code(0)?;
        read(self.dir)
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
        Ok((read(dir)?, ended))
    }
}

/// `quell record` of a recording, with the arguments after the others: they may hold a command.
fn record(dir: &Workdir, arguments: &[&str]) -> Result<Command> {
    let mut command = dir.command()?;
    command.args(["record", "-o", RECORDING]).args(arguments);
    Ok(command)
}

fn read(dir: Workdir) -> Result<Recorded> {
    let recorded = Recorded::read(&dir.path(RECORDING));
    keep(dir);
    let recorded = recorded?;
    recorded.has_no_needless_losses()?;
    Ok(recorded)
}

/// The captures of the test that runs, in a guest.
static KEPT: Mutex<Vec<Workdir>> = Mutex::new(Vec::new());

fn keep(dir: Workdir) {
    // Elsewhere nobody asks for them, and they would outlast the process.
    if env::var_os(EVENTS).is_some() {
        KEPT.lock().unwrap_or_else(PoisonError::into_inner).push(dir);
    }
}

/// Forgets the captures that a test has made in a guest, with their recordings.
pub fn forget() {
    KEPT.lock().unwrap_or_else(PoisonError::into_inner).clear();
}

/// Copies the recordings that a test has made in a guest, as `NAME.1.quell` and so on, and forgets them.
pub fn save(to: &Path, name: &str) -> Result<()> {
    let kept = std::mem::take(&mut *KEPT.lock().unwrap_or_else(PoisonError::into_inner));
    for (index, dir) in kept.iter().enumerate() {
        let to = to.join(format!("{name}.{}.quell", index + 1));
        let copied = Command::new("cp").arg("-r").arg(dir.path(RECORDING)).arg(&to).status();
        ensure!(copied.context("cannot run cp")?.success(), "cp cannot write {}", to.display());
    }
    Ok(())
}
