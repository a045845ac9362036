//! Who is asked may not answer.

use std::io::{Read as _, Write as _};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result};
use quell::host::Root;
use quell::tune::transaction::Lock;
use quell_tests::needs;

use crate::case::{Case, THIRD};

/// An apply on a terminal of its own, which asks.
pub(crate) fn asked(case: &Case) -> Result<Child> {
    let line = case.shell_line(&case.apply()[..2])?;
    let mut command = Command::new("script");
    command.args(["-qec", &line, "/dev/null"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn()?;
    let (mut seen, mut byte) = (Vec::new(), [0]);
    while !seen.ends_with(b"[y/N] ") {
        let read = child.stdout.as_mut().context("stdout")?.read(&mut byte)?;
        anyhow::ensure!(read == 1, "it ended: {}", String::from_utf8_lossy(&seen));
        seen.extend(byte);
    }
    Ok(child)
}

/// How it ends, and what it says, once it is answered.
pub(crate) fn answer(mut child: Child, word: &str) -> Result<(Option<i32>, String)> {
    child.stdin.as_mut().context("stdin")?.write_all(word.as_bytes())?;
    let mut text = String::new();
    child.stdout.take().context("stdout")?.read_to_string(&mut text)?;
    Ok((child.wait()?.code(), text))
}

#[test]
fn nothing_is_locked_while_a_question_is_open() -> Result<()> {
    needs!(Program("script"));
    let case = Case::new()?;
    let child = asked(&case)?;
    drop(Lock::acquire(&Root::at(case.host.path())?, "a test")?);
    let (code, text) = answer(child, "y\n")?;
    assert_eq!(code, Some(0), "{text}");
    assert_eq!(case.host.read(THIRD), "9");
    Ok(())
}

#[test]
fn what_was_not_agreed_to_is_not_done() -> Result<()> {
    needs!(Program("script"));
    let case = Case::new()?;
    let child = asked(&case)?;
    case.host.put(THIRD, "50");
    let (code, text) = answer(child, "y\n")?;
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("changed after the plan was shown"), "{text}");
    assert_eq!(case.host.read(THIRD), "50");
    assert!(case.phases()?.is_empty());
    Ok(())
}
