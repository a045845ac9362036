//! The probe `cpu` and its ways of choosing whom to capture.

use anyhow::{Context as _, Result, ensure};
use quell_tests::agent::Workdir;
use quell_tests::fixture::{Burned, Fixture};
use quell_tests::recorded::Recorded;

use crate::harness::Outcome;

/// Enough samples in a second, and no governor to lower the rate.
const FLAGS: [&str; 8] = ["--probe", "cpu", "-F", "997", "--max-overhead", "0", "-o", "x.quell"];

pub(crate) fn process() -> Result<Outcome> {
    let dir = Workdir::new()?;
    let mut burn = Fixture::start("burn", &["--seconds", "1.2"])?;
    let pid = burn.pid().to_string();
    let quell = dir.spawn([&["record", "-p", &pid][..], &FLAGS].concat())?;
    quell.captures()?;
    burn.go()?;
    let burned: Burned = burn.finish()?;
    quell.wait()?.expect_code(0)?;
    is_true(&Recorded::read(&dir.path("x.quell"))?, &burned)?;
    Ok(Outcome::Holds)
}

/// Each function's share, and their sum, are what the fixture says of itself.
fn is_true(recorded: &Recorded, burned: &Burned) -> Result<()> {
    let thread = burned.threads.first().context("a thread")?;
    let truth: u64 = thread.functions.values().sum();
    let found: f64 = thread.functions.keys().map(|function| recorded.on_cpu(burned.pid, function).nanos).sum();
    for (function, spent) in &thread.functions {
        let share = recorded.on_cpu(burned.pid, function).nanos / found;
        let expected = *spent as f64 / truth as f64;
        ensure!((share - expected).abs() < 0.05, "{function}: {share:.3}, by its own clock {expected:.3}");
    }
    ensure!((found / truth as f64 - 1.0).abs() < 0.1, "{found} ns of CPU time, by its own clock {truth}");
    Ok(())
}
