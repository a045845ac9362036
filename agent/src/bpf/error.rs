//! Why a probe does not work.

use std::io;

use aya::maps::MapError;

use crate::host;

/// Why a probe does not work.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// A capability is missing.
    #[error("not permitted: {0} is needed; run as root or grant it (`quell doctor` tells what is missing)")]
    Permission(&'static str),
    /// The kernel has no BTF.
    #[error(
        "cannot read the kernel's BTF at /sys/kernel/btf/vmlinux ({0}); a kernel built with CONFIG_DEBUG_INFO_BTF is needed"
    )]
    Btf(String),
    /// The kernel's BTF lacks a field.
    #[error(transparent)]
    Field(#[from] host::MissingField),
    /// The object could not be loaded.
    #[error("the kernel refused quell's maps")]
    Object(#[source] Box<aya::EbpfError>),
    /// The kernel refused a program.
    #[error("the kernel refused program {program}: {why}{}{log}", if log.is_empty() { "" } else { "\n" })]
    Refused {
        /// The program.
        program: &'static str,
        /// What the kernel said.
        why: String,
        /// The verifier's last lines.
        log: String,
    },
    /// The kernel refused a program because it is locked down.
    #[error(
        "the kernel is locked down (confidentiality) and refused program {program}, which reads kernel memory: {}",
        host::lockdown::REMEDY
    )]
    LockedDown {
        /// The program.
        program: &'static str,
    },
    /// A perf event could not be opened.
    #[error("perf_event_open failed on CPU {cpu}: {source}")]
    PerfEvent {
        /// Where.
        cpu: crate::units::CpuId,
        /// Why.
        source: io::Error,
    },
    /// The task iterator failed.
    #[error("could not walk the tasks")]
    Iterator(#[source] io::Error),
    /// A map could not be read or written.
    #[error("could not access a BPF map")]
    Map(#[from] MapError),
    /// The object lacks a program or map that the agent knows: the two were not built together.
    #[error("the eBPF object has no {0}; rebuild it with `cargo xtask ebpf`")]
    Missing(&'static str),
}

impl ProbeError {
    /// In one line: of the verifier's log only what it says last of the program.
    #[must_use]
    pub fn brief(&self) -> String {
        match self {
            Self::Refused { program, why, log } => {
                let said = log.lines().last().map(|line| format!(": {}", line.trim())).unwrap_or_default();
                format!("the kernel refused program {program}: {why}{said}")
            }
            other => other.to_string(),
        }
    }
}
