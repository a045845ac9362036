//! Programs that activate settings.

use super::error::KnobError;
use crate::program::Program;

/// Runs a program and waits until it has exited. The last line of its stderr becomes part of the error.
pub(super) fn run(program: Program, arguments: &[&str]) -> Result<(), KnobError> {
    output(program, arguments).map(drop)
}

/// Runs a program and returns its output.
pub(super) fn output(program: Program, arguments: &[&str]) -> Result<String, KnobError> {
    // If quell is killed, the program continues, and the host stays locked until the program has exited.
    let output = program.output_under_lock(arguments).map_err(|error| failed(program, arguments, error.to_string()))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(failed(program, arguments, output.failure()))
}

fn failed(program: Program, arguments: &[&str], reason: String) -> KnobError {
    KnobError::Command { command: [&[program.name()], arguments].concat().join(" "), reason }
}
