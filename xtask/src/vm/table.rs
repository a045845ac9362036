//! The verdicts as a table for a terminal: a row for each test, a column for each kernel, and reasons below.

use std::fmt::Write as _;

use super::kernel::Kernel;
use super::results::Results;
use crate::verdict::Verdict;

/// Draws it.
pub(super) fn render(kernels: &[Kernel], results: &Results) -> String {
    let width = results.verdicts().keys().map(String::len).max().unwrap_or(0).max("test".len());
    let columns: Vec<usize> = kernels.iter().map(|kernel| kernel.name.len().max("skipped".len())).collect();
    let mut text = format!("{:width$}", "test");
    for (kernel, column) in kernels.iter().zip(&columns) {
        let _ = write!(text, "  {:column$}", kernel.name);
    }
    let mut reasons = String::new();
    for (test, by_kernel) in results.verdicts() {
        let _ = write!(text, "\n{test:width$}");
        for (kernel, column) in kernels.iter().zip(&columns) {
            let word = match by_kernel.get(&kernel.name) {
                None => "",
                Some(Verdict::Passed) => "passed",
                Some(Verdict::Skipped { why }) => {
                    let _ = writeln!(reasons, "skipped: {test} on {}: {why}", kernel.name);
                    "skipped"
                }
                Some(Verdict::Failed { why }) => {
                    let _ = writeln!(reasons, "FAILED: {test} on {}: {}", kernel.name, why.replace('\n', "\n    "));
                    "FAILED"
                }
            };
            let _ = write!(text, "  {word:column$}");
        }
        text.truncate(text.trim_end().len());
    }
    text.push('\n');
    if !reasons.is_empty() {
        let _ = write!(text, "\n{reasons}");
    }
    for why in results.retried() {
        let _ = writeln!(text, "booted twice: {why}");
    }
    text
}
