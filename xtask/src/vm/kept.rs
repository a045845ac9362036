//! The verdicts that the docs show: keeping new ones, and holding a run against them.

use std::fs;
use std::mem::discriminant;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};

use super::accelerator::Accelerator;
use super::kernel::Kernel;
use super::matrix;
use super::results::Results;
use crate::support::{FILE, Support, TestedKernel};
use crate::verdict::Verdict;
use crate::{docs, output_of};

/// Keeps the verdicts of all tests, of each kernel on which none failed.
pub(super) fn write(root: &Path, kernels: &[Kernel], accelerator: Accelerator, results: &Results) -> Result<()> {
    let date = output_of(Command::new("date").args(["--utc", "+%F"])).context("`date` fails")?;
    // The first time there is none.
    let mut support = docs::read(root).unwrap_or_default();
    for kernel in kernels {
        let of_kernel =
            || results.verdicts().iter().filter_map(|(test, by_kernel)| Some((test, by_kernel.get(&kernel.name)?)));
        if of_kernel().any(|(_, verdict)| matches!(verdict, Verdict::Failed { .. })) {
            println!("not kept: {}, where tests failed, and what the docs promise would not hold", kernel.name);
            continue;
        }
        for verdicts in support.tests.values_mut() {
            verdicts.remove(&kernel.name);
        }
        for (test, verdict) in of_kernel() {
            support.tests.entry(test.clone()).or_default().insert(kernel.name.clone(), verdict.clone());
        }
        let tested = TestedKernel {
            name: kernel.name.clone(),
            release: kernel.release.clone(),
            date: date.clone(),
            quell: env!("CARGO_PKG_VERSION").to_owned(),
            accelerator: accelerator.to_string(),
        };
        match support.kernels.iter_mut().find(|known| known.name == kernel.name) {
            Some(known) => *known = tested,
            None => support.kernels.push(tested),
        }
    }
    // Tests that are no more.
    support.tests.retain(|_, verdicts| !verdicts.is_empty());
    let order = |kernel: &TestedKernel| matrix::MATRIX.iter().position(|name| *name == kernel.name);
    support.kernels.sort_by_key(|kernel| (order(kernel).is_none(), order(kernel)));
    let path = root.join(FILE);
    fs::write(&path, serde_json::to_string_pretty(&support)? + "\n")
        .with_context(|| format!("cannot write {}", path.display()))?;
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
