//! What guests run: built here, by the host's cargo, and reached through the shared file system.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

use crate::machine::{MACHINES, Machine};
use crate::output_of;

/// The test target that guests run.
const TARGET: &str = "kernels";

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
        let tests = ["test", "--no-run", "--test", TARGET];
        let quell = ["build", "--package=quell", "--bin=quell"];
        Ok(Self { tests: build(root, &tests, TARGET)?, quell: build(root, &quell, "quell")? })
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

/// Builds a target, and says where its executable is.
fn build(root: &Path, arguments: &[&str], target: &str) -> Result<PathBuf> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(arguments)
        .arg("--message-format=json-render-diagnostics")
        .current_dir(root)
        .stderr(Stdio::inherit())
        .output()
        .context("cannot run cargo")?;
    if !output.status.success() {
        bail!("cargo cannot build {target}");
    }
    let executable = |line: &[u8]| {
        let message: serde_json::Value = serde_json::from_slice(line).ok()?;
        let ours = message["target"]["name"] == target;
        ours.then(|| message["executable"].as_str().map(PathBuf::from)).flatten()
    };
    let found = output.stdout.split(|&byte| byte == b'\n').find_map(executable);
    found.with_context(|| format!("cargo built {target}, but does not say where"))
}
