//! What a capture does to CPUs that it should leave alone.

use anyhow::Result;
use nix::sys::signal::Signal;
use quell_tests::agent::Workdir;
use quell_tests::fixture::{Burned, Fixture};
use quell_tests::traced::{CALL, Traced};
use quell_tests::{needs, skip, turns};

#[test]
fn a_capture_calls_no_function_on_other_cpus_between_its_start_and_its_end() -> Result<()> {
    needs!(Bpf);
    let Some(traced) = Traced::new(CALL)? else { skip!("the event csd_queue_cpu of tracefs") };
    let _alone = turns::alone();
    let dir = Workdir::new()?;
    // With a budget, so that rates fall too.
    let mut burn = Fixture::start("burn", &["--seconds", "1.5", "--threads", "2"])?;
    let quell = dir.spawn(["record", "-a", "-F", "997", "-o", "x.quell"])?;
    quell.captures()?;
    traced.clear()?;
    burn.go()?;
    let _: Burned = burn.finish()?;
    let calls = traced.calls_of_quell()?;
    quell.signal(Signal::SIGINT)?;
    quell.wait()?.expect_code(0)?;
    assert_eq!(calls, Vec::<String>::new());
    // At its start and end it does: the test would see them.
    assert_ne!(traced.calls_of_quell()?, Vec::<String>::new());
    Ok(())
}
