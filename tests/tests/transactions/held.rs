//! What is in force only as long as a process holds it.

use std::fs;
use std::process::Command;

use anyhow::{Context as _, Result};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use quell::tune::transaction::journal::Phase;
use quell_tests::needs;
use quell_tests::needs::STRACE;
use quell_tests::{agent, turns};

use crate::case::{Case, let_go, runs};

const HELD: &str = "[[set]]\nknob = \"cpu.dma_latency\"\nvalue = 10\nreason = \"a test\"\n";

fn holder(case: &Case) -> Result<i32> {
    let text = fs::read_to_string(case.post("hold-0001")).context("a holder")?;
    Ok(text.trim().parse()?)
}

#[test]
fn it_is_held_when_apply_has_ended_and_until_it_is_undone() -> Result<()> {
    let case = Case::with(HELD)?;
    case.quell(&case.apply())?.expect_code(0)?;
    let holder = holder(&case)?;
    assert!(runs(holder, "hold"));
    case.quell(&["rollback"])?.expect_code(0)?;
    assert!(!runs(holder, "hold"));
    assert!(case.is_as_before());
    Ok(())
}

#[test]
fn nothing_is_in_force_where_nobody_holds_it() -> Result<()> {
    let case = Case::with(HELD)?;
    // Where the holder would say that it is there.
    fs::create_dir_all(case.post("hold-0001"))?;
    let ended = case.quell(&case.apply())?.expect_code(2)?;
    assert!(ended.stderr.contains(&format!("could not start `{}`", case.suggested("hold 0001"))), "{}", ended.stderr);
    assert!(case.is_as_before());
    assert_eq!(case.phases()?, [Phase::RolledBack]);
    Ok(())
}

#[test]
fn a_holder_that_is_stopped_is_ended_all_the_same() -> Result<()> {
    let case = Case::with(HELD)?;
    case.quell(&case.apply())?.expect_code(0)?;
    let holder = holder(&case)?;
    kill(Pid::from_raw(holder), Signal::SIGSTOP)?;
    case.quell(&["rollback"])?.expect_code(0)?;
    assert!(!runs(holder, "hold"));
    assert!(case.is_as_before());
    Ok(())
}

#[test]
fn a_holder_that_cannot_be_told_is_no_value_put_back() -> Result<()> {
    let case = Case::with(HELD)?;
    case.quell(&case.apply())?.expect_code(0)?;
    let number = holder(&case)?;
    fs::write(case.post("hold-0001"), "")?;
    let ended = case.quell(&["rollback"])?.expect_code(1)?;
    assert!(ended.stdout.contains("contains no process ID"), "{}", ended.stdout);
    assert!(runs(number, "hold"));
    // Of another process.
    fs::write(case.post("hold-0001"), format!("{}\n", std::process::id()))?;
    let ended = case.quell(&["rollback"])?.expect_code(1)?;
    assert!(ended.stdout.contains("runs another command"), "{}", ended.stdout);
    fs::write(case.post("hold-0001"), format!("{number}\n"))?;
    case.quell(&["rollback"])?.expect_code(0)?;
    assert!(case.is_as_before());
    Ok(())
}

#[test]
fn who_comes_too_late_to_hold_it_holds_nothing() -> Result<()> {
    needs!(STRACE);
    let case = Case::with(HELD)?;
    case.quell(&case.apply())?.expect_code(0)?;
    let first = holder(&case)?;
    kill(Pid::from_raw(first), Signal::SIGKILL)?;
    turns::until("the first is gone", || Ok((!runs(first, "hold")).then_some(())))?;
    fs::remove_file(case.post("hold-0001"))?;
    // Stopped when it has opened the file of its post, before it has it locked: it tries that again.
    let post = case.post("hold-0001");
    let mut command = Command::new("strace");
    command.args(["-qq", "-o", "/dev/null", "-e", "inject=flock:error=EAGAIN:signal=STOP:when=1"]);
    let mut late = command.arg(agent::binary()?).args(case.words(&["hold", "1"])).spawn()?;
    turns::until("it opens its post", || Ok(post.exists().then_some(())))?;
    case.quell(&["rollback"])?.expect_code(0)?;
    assert!(let_go(&mut late)?.success());
    assert!(!post.exists());
    Ok(())
}
