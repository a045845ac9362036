//! A finding and what to do about it.

use serde::Serialize;

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What it is about; stays the same from version to version.
    pub id: &'static str,
    /// Which part of the host.
    pub group: Group,
    /// How it stands.
    pub status: Status,
    /// What was found, or what the kernel said.
    pub found: String,
    /// What to do; only where `status` is [`Status::No`].
    pub remedy: Option<String>,
}

/// Parts of a host, in the order they are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Group {
    /// The kernel and how it was built and booted.
    Kernel,
    /// BPF programs, maps and helpers.
    Bpf,
    /// Perf events.
    Perf,
    /// What this process may do.
    Privileges,
}

/// How a finding stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// It is as it should be.
    Yes,
    /// Something is missing.
    No,
    /// A setting, for the reader.
    Note,
}
