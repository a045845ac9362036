//! The probe `runqueue`.

use anyhow::{Context as _, Result};
use quell_tests::capture::Capture;
use quell_tests::fixture::{Fixture, Queued};
use quell_tests::queued;

use crate::harness::Outcome;

pub(crate) fn waits() -> Result<Outcome> {
    let mut fixture = Fixture::start("runqueue", &[])?;
    let cpu = quell::host::cpus_online()?.iter().last().context("a CPU")?;
    fixture.pin(cpu.0 as usize)?;
    let capture = Capture::begin(&["--probe", "runqueue", "-p", &fixture.pid().to_string()])?;
    fixture.go()?;
    let truth: Queued = fixture.finish()?;
    // An exit takes several time slices where a CPU is emulated: up to 37 waits were seen for the five threads together.
    queued::check(&capture.ended()?, &truth, cpu, 80)?;
    Ok(Outcome::Holds)
}
