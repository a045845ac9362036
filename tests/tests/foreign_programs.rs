//! CPU time in BPF programs that are not quell's.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;
use nix::unistd::gettid;
use quell::recording::example::CPU;
use quell_tests::agent::Workdir;
use quell_tests::clock;
use quell_tests::fixture::CpuTime;
use quell_tests::foreign_program::{ForeignProgram, NAME};
use quell_tests::hostile::{Hostile, file_with_a_long_path};
use quell_tests::recorded::Recorded;
use quell_tests::{needs, turns};

const FLAGS: [&str; 10] = ["record", "-a", "--probe", "cpu", "-F", "997", "--max-overhead", "0", "-o", "x.quell"];

/// Runs the program for so long, in nanoseconds of CPU time.
const BURNED: u64 = 700_000_000;

/// Without the JIT compiler, programs have no addresses.
fn is_compiled() -> bool {
    fs::read_to_string("/proc/sys/net/core/bpf_jit_enable").is_ok_and(|value| value.trim() != "0")
}

fn burn() -> Result<u64> {
    let begin = clock::cpu();
    while clock::cpu() - begin < BURNED {
        ForeignProgram::run()?;
    }
    Ok(clock::cpu() - begin)
}

/// The CPU time of this thread in the program has the name of the program, and no other.
fn is_named(recorded: &Recorded, spent: u64) -> Result<()> {
    let tid = gettid().as_raw();
    let found = recorded.estimate(|sample| {
        let innermost = sample.stack.and_then(|stack| recorded.profile.functions(stack).next());
        recorded.is_of(sample, CPU)
            && recorded.tid(sample) == tid
            && innermost.is_some_and(|frame| frame.name.starts_with("bpf_prog_") && frame.name.ends_with(NAME))
    });
    // The rest is the system call itself and the loop of this test.
    found.is_cpu_time(CpuTime { spent, undisturbed: spent / 10 * 8 })
}

#[test]
fn a_program_that_is_unloaded_during_the_capture_keeps_its_name() -> Result<()> {
    needs!(Root, Bpf, Other("the JIT compiler for BPF", is_compiled));
    let _alone = turns::alone();
    let dir = Workdir::new()?;
    // One that is there when the capture begins, and one that is loaded during the capture.
    for loaded_before in [Some(ForeignProgram::load()?), None] {
        let quell = dir.spawn(FLAGS)?;
        quell.captures()?;
        let program = loaded_before.map_or_else(ForeignProgram::load, Ok)?;
        let spent = burn()?;
        drop(program);
        // Other code may be where the program was.
        let begin = clock::cpu();
        while clock::cpu() - begin < BURNED / 4 {
            ForeignProgram::run()?;
        }
        quell.signal(Signal::SIGINT)?;
        quell.wait()?.expect_code(0)?;
        is_named(&Recorded::read(&dir.path("x.quell"))?, spent)?;
    }
    Ok(())
}

#[test]
fn a_program_keeps_its_name_although_the_reports_of_mappings_are_lost() -> Result<()> {
    needs!(Root, Bpf, Other("the JIT compiler for BPF", is_compiled));
    let _alone = turns::alone();
    let dir = Workdir::new()?;
    let file = file_with_a_long_path(&dir)?;
    let quell = dir.spawn(FLAGS)?;
    quell.captures()?;
    let flood = Hostile::start(&["flood", file.to_str().context("a path of text")?, "60"])?;
    let program = ForeignProgram::load()?;
    let spent = burn()?;
    drop(program);
    drop(flood);
    quell.signal(Signal::SIGINT)?;
    quell.wait()?.expect_code(0)?;
    let recorded = Recorded::read(&dir.path("x.quell"))?;
    let losses = &recorded.recording.meta.losses;
    ensure!(losses.lost_mappings > 1_000, "only {} reports of mappings were lost", losses.lost_mappings);
    ensure!(losses.lost_kernel_code == 0, "{} reports of kernel code were lost", losses.lost_kernel_code);
    is_named(&recorded, spent)
}

#[test]
fn a_program_that_stays_has_its_name() -> Result<()> {
    needs!(Root, Bpf, Other("the JIT compiler for BPF", is_compiled));
    let _alone = turns::alone();
    let dir = Workdir::new()?;
    let program = ForeignProgram::load()?;
    let quell = dir.spawn(FLAGS)?;
    quell.captures()?;
    let spent = burn()?;
    quell.signal(Signal::SIGINT)?;
    quell.wait()?.expect_code(0)?;
    drop(program);
    let recorded = Recorded::read(&dir.path("x.quell"))?;
    ensure!(recorded.recording.meta.losses.lost_kernel_code == 0, "reports were lost");
    is_named(&recorded, spent)
}
