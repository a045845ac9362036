//! The test results by kernel version: `docs/kernel-support.json`, from which the table in the documentation is generated.
//!
//! `xtask` includes this file by its path, so that it does not depend on the crates that the tests use.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::verdict::Verdict;

/// The path of the file, relative to the root of the workspace.
pub const FILE: &str = "docs/kernel-support.json";

/// The results of all tests, from the last run on each kernel.
#[derive(Clone, Default, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Support {
    /// The kernels, in the order of the columns of the table.
    pub kernels: Vec<TestedKernel>,
    /// The results, by the name of the test and the name of the kernel.
    pub tests: BTreeMap<String, BTreeMap<String, Verdict>>,
}

/// A kernel in the test matrix.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TestedKernel {
    /// The name in the matrix: `6.1`, `newest`.
    pub name: String,
    /// The release: `6.1.0-56-amd64`.
    pub release: String,
    /// The date of the test run: `2026-11-21`.
    pub date: String,
    /// The version of quell.
    pub quell: String,
    /// The commit that quell was built from, as printed by `git describe`, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// The QEMU accelerator of the guests: `TCG`.
    pub accelerator: String,
}
