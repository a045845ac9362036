//! Run-queue latencies are those that the kernel itself counts for each thread.

use anyhow::{Context as _, Result};
use quell_tests::agent::Workdir;
use quell_tests::fixture::{Fixture, Queued};
use quell_tests::recorded::Recorded;
use quell_tests::{needs, queued, turns};

#[test]
fn waits_are_as_many_and_as_long_as_the_kernel_counts_them() -> Result<()> {
    needs!(Bpf);
    let _alone = turns::alone();
    let mut fixture = Fixture::start("runqueue", &[])?;
    let cpu = quell::host::cpus_online()?.iter().last().context("a CPU")?;
    fixture.pin(cpu.0 as usize)?;
    let dir = Workdir::new()?;
    let quell = dir.spawn(["record", "-p", &fixture.pid().to_string(), "--probe", "runqueue", "-o", "x.quell"])?;
    quell.captures()?;
    fixture.go()?;
    let truth: Queued = fixture.finish()?;
    quell.wait()?.expect_code(0)?;
    queued::check(&Recorded::read(&dir.path("x.quell"))?, &truth, cpu, 16)
}
