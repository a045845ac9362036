//! Errors of `quell run`.

use std::ffi::OsString;
use std::io;

use crate::units::CpuSet;

/// A command that was not started.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// A setting cannot be applied.
    #[error("could not {operation}: {source}{}", hint.as_ref().map_or_else(String::new, |hint| format!("\nhint: {hint}")))]
    Setting {
        /// The operation: `run on CPUs 2-3`.
        operation: String,
        /// The error of the kernel.
        r#source: io::Error,
        /// What the user can do.
        hint: Option<String>,
    },
    /// The kernel granted other CPUs.
    #[error(
        "requested CPUs {requested}, but the kernel granted {granted}\nhint: check the CPUs of the cgroup that quell runs in"
    )]
    CpusNotGranted {
        /// The requested CPUs.
        requested: CpuSet,
        /// The granted CPUs.
        granted: CpuSet,
    },
    /// Only some of the CPUs are in the isolated partition.
    #[error(
        "only some of the CPUs {requested} are in the isolated partition {partition}\n\
         hint: choose CPUs that are all inside or all outside of it"
    )]
    PartlyIsolated {
        /// The requested CPUs.
        requested: CpuSet,
        /// The CPUs of the partition.
        partition: CpuSet,
    },
    /// There are no huge pages.
    #[error(
        "there are no huge pages: none are free in /proc/meminfo, and transparent ones are disabled\n\
         hint: set `memory.thp` to `madvise`"
    )]
    HugePages,
    /// The program cannot be executed.
    #[error("could not start `{}`: {source}", program.display())]
    Execute {
        /// The program.
        program: OsString,
        /// The error of the kernel.
        r#source: io::Error,
    },
}

impl LaunchError {
    pub(super) fn setting(operation: String, source: io::Error, hint: Option<String>) -> Self {
        Self::Setting { operation, source, hint }
    }
}
