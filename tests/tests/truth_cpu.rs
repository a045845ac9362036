//! CPU profiles say what a program that knows its own shares says of itself.

use anyhow::{Context as _, Result};
use quell_tests::agent::Workdir;
use quell_tests::fixture::{Burned, Fixture};
use quell_tests::recorded::Recorded;
use quell_tests::{needs, turns};

/// Enough samples that the standard error of a share is well below a percentage point: at 997 Hz one thread gives
/// some 3000, of which 70 % have a standard error of 0.8 points on a CPU of its own.
const FLAGS: [&str; 6] = ["-F", "997", "--max-overhead", "0", "-o", "x.quell"];

fn burn(threads: &str) -> Result<Fixture> {
    Fixture::start("burn", &["--seconds", "3.5", "--threads", threads])
}

/// Each function's share, and their sum, by both clocks.
fn compare(recorded: &Recorded, burned: &Burned) {
    let burned_in = |function: &str| burned.threads.iter().map(|thread| thread.functions[function] as f64).sum::<f64>();
    let functions = ["quell_burn_seventy", "quell_burn_twenty", "quell_burn_ten"];
    let truth: f64 = functions.into_iter().map(burned_in).sum();
    let undisturbed = burned.burning().undisturbed as f64;
    let found: f64 = functions.into_iter().map(|function| recorded.on_cpu(burned.pid, function).nanos).sum();
    let squares = recorded.burning(burned.pid).squares;
    for function in functions {
        let (share, expected) = (recorded.on_cpu(burned.pid, function).nanos / found, burned_in(function) / truth);
        // Three points, or what chance does to the few and unequal samples of a busy machine.
        let chance = 5.0 * (expected * (1.0 - expected) * squares).sqrt() / found;
        assert!(
            (share - expected).abs() < chance.max(0.03),
            "{function}: {share:.4}, by its own clock {expected:.4}; 5 standard errors are {chance:.4}"
        );
    }
    // Shares would hide a factor. The fixture also runs between its functions; the samples of those are left out here.
    // A hypervisor may take the CPU away: that time is in the fixture's clock, and in no sample.
    let (least, most) = (0.95 * undisturbed, 1.05 * truth);
    assert!(
        (least..most).contains(&found),
        "{found} ns of CPU time, by its own clock {truth}, {undisturbed} undisturbed"
    );
}

#[test]
#[ignore = "long: cargo xtask test --all"]
fn a_process_is_profiled_as_it_spends_its_time() -> Result<()> {
    needs!(Bpf);
    let _alone = turns::alone();
    let dir = Workdir::new()?;
    let mut burn = burn("1")?;
    let pid = burn.pid().to_string();
    let quell = dir.spawn([&["record", "-p", &pid][..], &FLAGS].concat())?;
    quell.captures()?;
    burn.go()?;
    let burned: Burned = burn.finish()?;
    quell.wait()?.expect_code(0)?;
    compare(&Recorded::read(&dir.path("x.quell"))?, &burned);
    Ok(())
}

#[test]
#[ignore = "long: cargo xtask test --all"]
fn every_thread_of_the_host_is_profiled_as_it_spends_its_time() -> Result<()> {
    needs!(Bpf);
    let _alone = turns::alone();
    let dir = Workdir::new()?;
    for target in [&[][..], &["-a"]] {
        let mut burn = burn("2")?;
        let quell = dir.spawn([&["record"][..], target, &FLAGS].concat())?;
        quell.captures()?;
        burn.go()?;
        let burned: Burned = burn.finish()?;
        quell.signal(nix::sys::signal::Signal::SIGINT)?;
        quell.wait()?.expect_code(0)?;
        let recorded = Recorded::read(&dir.path("x.quell"))?;
        compare(&recorded, &burned);
    }
    Ok(())
}

#[test]
#[ignore = "long: cargo xtask test --all"]
fn a_command_is_profiled_as_it_spends_its_time() -> Result<()> {
    needs!(Bpf);
    let _alone = turns::alone();
    let dir = Workdir::new()?;
    let burn = quell_tests::agent::target_dir()?.join("burn");
    let burn = burn.to_str().context("a path of text")?;
    let command = ["--", burn, "--seconds", "3", "--threads", "2"];
    let ended = dir.run([&["record"][..], &FLAGS, &command].concat())?.expect_code(0)?;
    let report = ended.stdout.lines().find(|line| line.starts_with('{')).context("the fixture's report")?;
    compare(&Recorded::read(&dir.path("x.quell"))?, &serde_json::from_str(report)?);
    Ok(())
}
