//! Errors of probes.

use std::io;

use aya::maps::MapError;

use crate::host;

/// The reason why a probe does not work.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// A capability is missing.
    #[error(
        "not permitted: {0} is required\nhint: run as root, or with this capability; `quell doctor` lists what is missing"
    )]
    Permission(&'static str),
    /// The kernel has no BTF.
    #[error(
        "could not read the BTF of the kernel, /sys/kernel/btf/vmlinux: {0}\nhint: boot a kernel built with CONFIG_DEBUG_INFO_BTF=y"
    )]
    Btf(String),
    /// The kernel's BTF lacks a field.
    #[error(transparent)]
    Field(#[from] host::MissingField),
    /// The object could not be loaded.
    #[error("the kernel rejected the BPF maps of quell")]
    Object(#[source] Box<aya::EbpfError>),
    /// The kernel rejected a program.
    #[error("the kernel rejected the program {program}: {why}{}{log}", if log.is_empty() { "" } else { "\n" })]
    Refused {
        /// The name of the program.
        program: &'static str,
        /// The error of the kernel.
        why: String,
        /// The verifier's last lines.
        log: String,
    },
    /// The kernel rejected a program because it is locked down.
    #[error(
        "the kernel is locked down (confidentiality) and rejected the program {program}, because it reads kernel memory\nhint: {}",
        host::lockdown::REMEDY
    )]
    LockedDown {
        /// The name of the program.
        program: &'static str,
    },
    /// A perf event could not be opened.
    #[error("perf_event_open failed on CPU {cpu}: {source}")]
    PerfEvent {
        /// The CPU of the event.
        cpu: crate::units::CpuId,
        /// The error of `perf_event_open`.
        r#source: io::Error,
    },
    /// The task iterator failed.
    #[error("could not run the task iterator")]
    Iterator(#[source] io::Error),
    /// A map could not be read or written.
    #[error("could not access a BPF map")]
    Map(#[from] MapError),
    /// The object lacks a program or map that the agent knows: the two were not built together.
    #[error("the eBPF object does not contain {0}\nhint: rebuild it with `cargo xtask ebpf`")]
    Missing(&'static str),
}

impl ProbeError {
    /// The error in one line, without its hint, and with only the last line of the log of the verifier.
    #[must_use]
    pub fn brief(&self) -> String {
        match self {
            Self::Refused { program, why, log } => {
                let said = log.lines().last().map(|line| format!(": {}", line.trim())).unwrap_or_default();
                format!("the kernel rejected the program {program}: {why}{said}")
            }
            Self::LockedDown { program } => {
                format!("the kernel is locked down and rejected the program {program}: {}", host::lockdown::REMEDY)
            }
            other => other.to_string().lines().next().unwrap_or_default().to_owned(),
        }
    }
}
