//! A capture that runs during a test.

use std::env;
use std::path::Path;
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;

use crate::agent::{Ended, Running, Workdir};
use crate::recorded::Recorded;
use crate::verdict::EVENTS;

/// The name of the recording in its directory.
const RECORDING: &str = "x.quell";

/// A running `quell record`.
#[derive(Debug)]
pub struct Capture {
    dir: Workdir,
    quell: Running,
}

impl Capture {
    /// Starts a capture. Everything that starts later is captured from its beginning.
    pub fn begin(arguments: &[&str]) -> Result<Self> {
        let dir = Workdir::new()?;
        let quell = Running::spawn(&mut record(&dir, arguments)?)?;
        match quell.captures() {
            Ok(()) => Ok(Self { dir, quell }),
            // What it says matters more.
            Err(error) if quell.has_ended()? => Err(error.context(format!("{:?}", quell.wait()?))),
            Err(error) => Err(error),
        }
    }

    /// The PID of quell.
    pub fn pid(&self) -> Result<u32> {
        Ok(self.quell.pid()?.as_raw().cast_unsigned())
    }

    /// Waits for the end of a capture that ends by itself, because its processes have exited or its command exits.
    pub fn ended(self) -> Result<Recorded> {
        self.quell.wait()?.expect_code(0)?;
        read(self.dir)
    }

    /// Stops a capture that does not end by itself.
    pub fn stopped(self) -> Result<Recorded> {
        self.quell.signal(Signal::SIGINT)?;
        self.ended()
    }

    /// Runs a capture to its end. Also returns the output of quell.
    pub fn whole(arguments: &[&str]) -> Result<(Recorded, Ended)> {
        let dir = Workdir::new()?;
        let ended = Running::spawn(&mut record(&dir, arguments)?)?.wait()?.expect_code(0)?;
        Ok((read(dir)?, ended))
    }
}

/// The command `quell record`. The arguments come last, because they may contain a command.
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

/// The captures of the current test, in a guest.
static KEPT: Mutex<Vec<Workdir>> = Mutex::new(Vec::new());

fn keep(dir: Workdir) {
    // Outside of a guest they are not used, and would remain after the process exits.
    if env::var_os(EVENTS).is_some() {
        KEPT.lock().unwrap_or_else(PoisonError::into_inner).push(dir);
    }
}

/// Deletes the captures of a test in a guest, with their recordings.
pub fn forget() {
    KEPT.lock().unwrap_or_else(PoisonError::into_inner).clear();
}

/// Copies the recordings of a test in a guest, as `NAME.1.quell` and so on, and deletes the captures.
pub fn save(to: &Path, name: &str) -> Result<()> {
    let kept = std::mem::take(&mut *KEPT.lock().unwrap_or_else(PoisonError::into_inner));
    for (index, dir) in kept.iter().enumerate() {
        let to = to.join(format!("{name}.{}.quell", index + 1));
        let copied = Command::new("cp").arg("-r").arg(dir.path(RECORDING)).arg(&to).status();
        ensure!(copied.context("cannot run cp")?.success(), "cp cannot write {}", to.display());
    }
    Ok(())
}
