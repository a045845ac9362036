//! Programs that make a setting count.

use super::KnobError;
use crate::program::Program;
use crate::tune::lock;

/// Runs a program to its end. Its last words are part of the error where it fails.
pub(super) fn run(program: Program, arguments: &[&str]) -> Result<(), KnobError> {
    output(program, arguments).map(drop)
}

/// What a program prints.
pub(super) fn output(program: Program, arguments: &[&str]) -> Result<String, KnobError> {
    let failed = |why: String| KnobError::Command { command: [&[program.name()], arguments].concat().join(" "), why };
    // Killed in between, quell leaves the program at work, and the host locked for as long.
    let output = program.output(arguments, lock::for_programs()).map_err(|error| failed(error.to_string()))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(failed(output.why()))
}
