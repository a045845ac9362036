//! Creates executables for tests.
//!
//! The kernel does not execute a file that a process has open for writing (ETXTBSY, execve(2)). If a test wrote the file
//! itself, the descriptor would also be open in each child that another test forks meanwhile, until this child calls exec.
//! Therefore another process writes it, which does not fork.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

/// Copies a file to an executable for all users.
///
/// # Errors
/// install(1) fails.
pub fn copy(from: &Path, to: &Path) -> Result<()> {
    let status =
        Command::new("install").args(["-m", "755", "--"]).args([from, to]).status().context("cannot run install")?;
    ensure!(status.success(), "install(1) cannot copy {} to {}", from.display(), to.display());
    Ok(())
}

/// Writes a script that all users may execute.
///
/// # Errors
/// The file cannot be written.
pub fn script(path: &Path, text: &str) -> Result<()> {
    let draft = tempfile::NamedTempFile::new()?;
    fs::write(draft.path(), text)?;
    copy(draft.path(), path)
}
