//! Executables that a test makes.
//!
//! The kernel executes no file that a process has open for writing (ETXTBSY, execve(2)). A test that writes one has it open,
//! and so has each child that another test forks meanwhile, until that child executes its own program. Therefore another
//! process writes it, which forks none.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

/// Copies a file to one that everybody may execute.
///
/// # Errors
/// install(1) fails.
pub fn copy(from: &Path, to: &Path) -> Result<()> {
    let status =
        Command::new("install").args(["-m", "755", "--"]).args([from, to]).status().context("cannot run install")?;
    ensure!(status.success(), "install(1) cannot copy {} to {}", from.display(), to.display());
    Ok(())
}

/// Writes a script that everybody may execute.
///
/// # Errors
/// It cannot be written.
pub fn script(path: &Path, text: &str) -> Result<()> {
    let draft = tempfile::NamedTempFile::new()?;
    fs::write(draft.path(), text)?;
    copy(draft.path(), path)
}
