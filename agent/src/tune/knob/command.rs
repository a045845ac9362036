//! Programs that make a setting count.

use std::os::unix::process::CommandExt as _;
use std::process::Command;

use super::KnobError;
use crate::tune::lock;

/// Runs a program to its end. Its output is part of the error where it fails.
pub(super) fn run(program: &str, arguments: &[&str]) -> Result<(), KnobError> {
    output(program, arguments).map(drop)
}

/// What a program prints.
pub(in crate::tune) fn output(program: &str, arguments: &[&str]) -> Result<String, KnobError> {
    let command = [&[program], arguments].concat().join(" ");
    let failed = |why: String| KnobError::Command { command: command.clone(), why };
    let output = Command::new(program)
        .args(arguments)
        // Killed in between, this leaves the program at work, and the host locked for as long.
        .stdin(lock::for_programs())
        // A Ctrl-C on a terminal goes to a group: half done, it would be worse than done.
        .process_group(0)
        .output()
        .map_err(|error| failed(error.to_string()))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let last = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("no word of why");
    Err(failed(format!("{}, {last}", output.status)))
}
