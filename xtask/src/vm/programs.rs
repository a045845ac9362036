//! What guests run: built here, by the host's cargo, and reached through the shared file system.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

use crate::machine::{MACHINES, Machine};
use crate::output_of;

/// The test target that guests run.
const TARGET: &str = "kernels";
/// A test target of the package `quell`, for which cargo builds the binary with the features that `cargo test` selects.
/// `cargo build -p quell` selects others, and builds all dependencies a second time.
const BESIDE_QUELL: &str = "cli";

/// The programs, as paths that hold in the guest too.
pub(super) struct Programs {
    pub(super) tests: PathBuf,
    pub(super) quell: PathBuf,
}

/// A test, and the machine that it needs.
#[derive(Clone, Debug)]
pub(super) struct Test {
    pub(super) name: String,
    pub(super) machine: &'static Machine,
}

impl Programs {
    /// Builds them as `cargo test` does, so that after it there is nothing to build: optimized they were as slow in a
    /// guest, since most of their code is of dependencies, which are always optimized.
    pub(super) fn build(root: &Path) -> Result<Self> {
        let built = build(root, &["test", "--no-run", "--test", TARGET, "--test", BESIDE_QUELL])?;
        Ok(Self { tests: executable(&built, TARGET)?, quell: executable(&built, "quell")? })
    }

    /// The tests, in their order.
    pub(super) fn list(&self) -> Result<Vec<Test>> {
        let listed = output_of(Command::new(&self.tests).arg("--list"));
        let listed = listed.with_context(|| format!("`{} --list` fails", self.tests.display()))?;
        listed
            .lines()
            .filter_map(|line| line.strip_prefix('[')?.strip_suffix(": test")?.split_once("] "))
            .map(of)
            .collect()
    }
}

/// A test of a listed machine and name.
fn of((machine, name): (&str, &str)) -> Result<Test> {
    let known = MACHINES.iter().find(|known| known.name == machine);
    Ok(Test { name: name.to_owned(), machine: known.with_context(|| format!("{name} needs no known machine"))? })
}

/// Builds, and gives cargo's messages: lines of JSON.
fn build(root: &Path, arguments: &[&str]) -> Result<Vec<u8>> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(arguments)
        .arg("--message-format=json-render-diagnostics")
        .current_dir(root)
        .stderr(Stdio::inherit())
        .output()
        .context("cannot run cargo")?;
    if !output.status.success() {
        bail!("cargo cannot build the tests");
    }
    Ok(output.stdout)
}

/// Where the executable of a target is, by cargo's messages.
fn executable(messages: &[u8], target: &str) -> Result<PathBuf> {
    let executable = |line: &[u8]| {
        let message: serde_json::Value = serde_json::from_slice(line).ok()?;
        // Unit tests of a binary have its name.
        let is_unit_test = message["target"]["kind"][0] == "bin" && message["profile"]["test"] == true;
        let ours = message["target"]["name"] == target && !is_unit_test;
        ours.then(|| message["executable"].as_str().map(PathBuf::from)).flatten()
    };
    let found = messages.split(|&byte| byte == b'\n').find_map(executable);
    found.with_context(|| format!("cargo built {target}, but does not say where"))
}
