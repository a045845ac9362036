//! Development tasks of quell: `cargo xtask`.

#![allow(clippy::print_stdout, reason = "a command-line tool: its results go to stdout")]

mod bench;
mod dist;
mod docs;
mod ebpf;
mod install;
#[allow(unreachable_pub, reason = "a file of the tests' library, included by its path")]
#[path = "../../tests/src/machine.rs"]
mod machine;
#[path = "../../ebpf/manifest.rs"]
mod manifest;
#[allow(unreachable_pub, reason = "a file of the tests' library, included by its path")]
#[path = "../../tests/src/support.rs"]
mod support;
mod test;
mod toolchain;
#[allow(unreachable_pub, reason = "a file of the tests' library, included by its path")]
#[path = "../../tests/src/verdict.rs"]
mod verdict;
mod vm;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result, bail};
use clap::{Parser, Subcommand};

/// Development tasks of quell
#[derive(Parser)]
#[command(name = "cargo xtask")]
struct Args {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Build the eBPF object and its manifest
    Ebpf(ebpf::Args),
    /// Measure quell and compare it with other tools
    Bench(bench::Args),
    /// Build quell for distribution: a stripped binary, and a file with its debug information
    Dist(dist::Args),
    /// Generate the table of tested kernels and the pages of knobs in the docs
    Docs(docs::Args),
    /// Run the tests; with `--all` also the long ones, which `cargo test` skips
    Test(test::Args),
    /// Run the kernel tests on real kernels in QEMU
    Vm(vm::Args),
}

fn main() -> ExitCode {
    let outcome = match Args::parse().task {
        Task::Ebpf(args) => ebpf::run_task(&args),
        Task::Bench(args) => bench::run_task(&args),
        Task::Dist(args) => dist::run_task(&args),
        Task::Docs(args) => docs::run_task(&args),
        Task::Test(args) => test::run_task(&args),
        Task::Vm(args) => vm::run_task(&args),
    };
    match outcome {
        Ok(Outcome::Clean) => ExitCode::SUCCESS,
        Ok(Outcome::Found) => ExitCode::from(1),
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// The result of a task that did not fail: exit code 0 or 1.
enum Outcome {
    Clean,
    Found,
}

/// The directory of the workspace.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in the workspace").to_owned()
}

/// Runs a command that inherits the output of this process.
fn run(command: &mut Command) -> Result<()> {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let line = words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ");
    let status = command.status().with_context(|| format!("cannot run `{line}`"))?;
    if !status.success() {
        bail!("`{line}` failed: {status}");
    }
    Ok(())
}

/// The output of a command without the last newline; `None` if it cannot run or fails.
fn output_of(command: &mut Command) -> Option<String> {
    let output = command.output().ok().filter(|output| output.status.success())?;
    String::from_utf8(output.stdout).ok().map(|text| text.trim_end().to_owned())
}
