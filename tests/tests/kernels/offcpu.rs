//! The probe `offcpu` and its ways of choosing whom to capture.

use anyhow::{Result, ensure};
use quell_tests::agent::Workdir;
use quell_tests::fixture::{Blocked, Fixture};
use quell_tests::recorded::Recorded;

use crate::harness::Outcome;

const FLAGS: [&str; 6] = ["--probe", "offcpu", "--max-overhead", "0", "-o", "x.quell"];

pub(crate) fn every_event() -> Result<Outcome> {
    let dir = Workdir::new()?;
    let mut block = Fixture::start("block", &["--seconds", "1.2"])?;
    let pid = block.pid().to_string();
    let quell = dir.spawn([&["record", "-p", &pid, "--every-event"][..], &FLAGS].concat())?;
    quell.captures()?;
    block.go()?;
    let blocked: Blocked = block.finish()?;
    quell.wait()?.expect_code(0)?;
    let recorded = Recorded::read(&dir.path("x.quell"))?;
    for path in &blocked.paths {
        let found = recorded.off_cpu(path.tid, &path.function);
        let off = found.nanos - path.off_cpu_ns as f64;
        let allowed = 0.05 * path.off_cpu_ns as f64 + 300_000.0 * path.count as f64;
        ensure!(off.abs() < allowed, "{path:?}: {found:?}, off by {off} ns");
        ensure!(found.samples as f64 > 0.9 * path.count as f64, "{path:?}: {found:?}");
    }
    Ok(Outcome::Holds)
}
