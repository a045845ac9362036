//! A check of a host: the finding and its remedy.

use serde::Serialize;

/// The result of one check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// The name of the check, which does not change between versions.
    pub id: &'static str,
    /// The part of the host that is checked.
    pub group: Group,
    /// The verdict.
    pub status: Status,
    /// The finding, or the error of the kernel.
    pub found: String,
    /// The remedy; only for [`Status::No`].
    pub remedy: Option<String>,
}

/// The parts of a host, in the order in which they are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Group {
    /// The kernel, its configuration and its boot parameters.
    Kernel,
    /// BPF programs, maps and helpers.
    Bpf,
    /// Perf events.
    Perf,
    /// The privileges of this process.
    Privileges,
}

/// The verdict of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// The requirement is met.
    Yes,
    /// The requirement is not met.
    No,
    /// A setting, for information only.
    Note,
}
