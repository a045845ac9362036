//! The verdicts as a table for a terminal: a row for each test, a column for each kernel, and reasons below.

use std::fmt::Write as _;

use super::results::Results;
use crate::verdict::Verdict;

/// What stands behind a verdict of a second boot.
const SECOND: &str = "*";

/// Draws it.
pub(super) fn render(kernels: &[&str], results: &Results) -> String {
    let width = results.verdicts().keys().map(String::len).max().unwrap_or(0).max("test".len());
    let columns: Vec<usize> = kernels.iter().map(|kernel| kernel.len().max("skipped*".len())).collect();
    let mut text = format!("{:width$}", "test");
    for (kernel, column) in kernels.iter().zip(&columns) {
        let _ = write!(text, "  {kernel:column$}");
    }
    text.truncate(text.trim_end().len());
    let mut reasons = String::new();
    for (test, by_kernel) in results.verdicts() {
        let _ = write!(text, "\n{test:width$}");
        for (kernel, column) in kernels.iter().zip(&columns) {
            let word = match by_kernel.get(*kernel) {
                None => "",
                Some(Verdict::Passed) => "passed",
                Some(Verdict::Skipped { why }) => {
                    let _ = writeln!(reasons, "skipped: {test} on {kernel}: {why}");
                    "skipped"
                }
                Some(Verdict::Failed { why }) => {
                    let _ = writeln!(reasons, "FAILED: {test} on {kernel}: {}", why.replace('\n', "\n    "));
                    "FAILED"
                }
            };
            let second = if results.is_of_second_boot(test, kernel) { SECOND } else { "" };
            let _ = write!(text, "  {:column$}", format!("{word}{second}"));
        }
        text.truncate(text.trim_end().len());
    }
    text.push('\n');
    if !reasons.is_empty() {
        let _ = write!(text, "\n{reasons}");
    }
    for retried in results.retried() {
        let word = if retried.is_excused { "booted twice" } else { "FAILED, and booted twice" };
        let _ = writeln!(text, "{SECOND}{word}: {}: {}", retried.guest, retried.how);
    }
    for fault in results.faults() {
        let _ = writeln!(text, "FAILED: the kernel of {}: {}", fault.guest, fault.how);
    }
    text
}
