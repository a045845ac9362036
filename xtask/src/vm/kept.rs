//! The verdicts that the docs show: keeping new ones, and holding a run against them.

use std::fs;
use std::mem::discriminant;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use super::accelerator::Accelerator;
use super::kernel::Kernel;
use super::results::Results;
use crate::output_of;
use crate::support::{FILE, Support, TestedKernel};
use crate::verdict::Verdict;

/// Keeps the verdicts of a run of everything.
pub(super) fn write(root: &Path, kernels: &[Kernel], accelerator: Accelerator, results: &Results) -> Result<()> {
    if results.failed() {
        bail!("not kept: some tests failed, and what the docs promise would not hold");
    }
    let support = Support {
        date: output_of(Command::new("date").args(["--utc", "+%F"])).context("`date` fails")?,
        quell: env!("CARGO_PKG_VERSION").to_owned(),
        accelerator: accelerator.to_string(),
        kernels: kernels
            .iter()
            .map(|kernel| TestedKernel { name: kernel.name.clone(), release: kernel.release.clone() })
            .collect(),
        tests: results.verdicts().clone(),
    };
    let text = serde_json::to_string_pretty(&support)? + "\n";
    let path = root.join(FILE);
    fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    println!("kept: {FILE}; `cargo xtask docs` draws the table");
    Ok(())
}

/// Where a run gave something else than what the docs show, as far as they know its kernels.
pub(super) fn differences(kept: &Support, results: &Results) -> Vec<String> {
    let mut differences = Vec::new();
    for (test, by_kernel) in results.verdicts() {
        for (kernel, seen) in by_kernel {
            if !kept.kernels.iter().any(|known| known.name == *kernel) {
                continue;
            }
            match kept.tests.get(test).and_then(|verdicts| verdicts.get(kernel)) {
                None => differences.push(format!("{test} on {kernel}: it is not there")),
                Some(known) if discriminant(known) != discriminant(seen) => {
                    differences.push(format!("{test} on {kernel}: {}, now {}", word(known), word(seen)));
                }
                Some(_) => {}
            }
        }
    }
    differences
}

fn word(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Passed => "passed",
        Verdict::Failed { .. } => "failed",
        Verdict::Skipped { .. } => "skipped",
    }
}
