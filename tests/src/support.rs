//! Which kernels quell was tested on and what came out: `docs/kernel-support.json`, from which the docs' table is drawn.
//!
//! `xtask` includes this file by its path, so that it need not build what the tests need.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::verdict::Verdict;

/// Where it is, from the workspace's root.
pub const FILE: &str = "docs/kernel-support.json";

/// What came out of all tests, on each kernel at its last run.
#[derive(Clone, Default, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Support {
    /// The kernels, in the order of the table's columns.
    pub kernels: Vec<TestedKernel>,
    /// Verdicts, by the test's name and the kernel's.
    pub tests: BTreeMap<String, BTreeMap<String, Verdict>>,
}

/// A kernel of the matrix.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TestedKernel {
    /// What the matrix calls it: `6.1`, `newest`.
    pub name: String,
    /// What it calls itself: `6.1.0-56-amd64`.
    pub release: String,
    /// The day that its tests ran, `2026-11-21`.
    pub date: String,
    /// The version of quell.
    pub quell: String,
    /// The commit that it was built from, as `git describe` has it, if that could be told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// How the guests' CPUs ran: `TCG`.
    pub accelerator: String,
}
