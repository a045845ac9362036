//! What quell can capture: one file for each probe, one line for each in [`PROBES`].

mod availability;
mod cpu;
mod object;
mod offcpu;
mod trial;

use std::io;
use std::path::PathBuf;

use aya::maps::MapError;

pub use availability::Availability;
pub use object::{BpfObject, Link, RunStats, memory_of};
pub use trial::{Tried, try_programs};

use crate::collect::SamplingRates;
use crate::host::{self, Features};
use crate::recording::MetricSpec;
use crate::units::{CpuSet, Hertz};

/// What a probe is.
#[derive(Clone, Copy, Debug)]
pub struct ProbeSpec {
    /// What `--probe` takes.
    pub name: &'static str,
    /// What people see in reports, as in `Off-CPU`.
    pub label: &'static str,
    /// One line for `quell list probes`.
    pub doc: &'static str,
    /// The events that its programs run on.
    pub events: &'static [&'static str],
    /// The first kernel that it works on.
    pub kernel: &'static str,
    /// What it costs, in words.
    pub cost: &'static str,
    /// What it measures.
    pub metrics: &'static [MetricSpec],
}

/// What a probe is told of the capture.
#[derive(Clone, Debug)]
pub struct ProbeConfig {
    /// The CPUs to capture.
    pub cpus: CpuSet,
    /// CPU sampling frequency.
    pub frequency: Hertz,
    /// The cgroup whose processes are captured, if only one's are.
    pub cgroup: Option<PathBuf>,
}

/// A source of records.
pub trait Probe: Sync {
    /// What it is.
    fn spec(&self) -> &'static ProbeSpec;

    /// Whether the host has what it needs. What the kernel makes of its programs is no part of this.
    fn needs(&self, features: &Features) -> Availability;

    /// Whether it works here, and how well: what it needs is there, and its programs were accepted.
    fn check(&self, features: &Features) -> Availability {
        let tried = features.programs.iter().find(|tried| tried.probe == self.spec().name);
        host::with_programs(self.needs(features), tried)
    }

    /// Has the kernel check and load its programs, and says how well it can work with those that were accepted.
    ///
    /// # Errors
    /// [`ProbeError::Refused`] for a program that it cannot do without.
    fn load(&self, object: &mut BpfObject) -> Result<Availability, ProbeError>;

    /// Begins to write records into the rings, by programs that were loaded.
    ///
    /// # Errors
    /// Any [`ProbeError`]; whatever was attached by then is detached.
    fn attach(&self, object: &mut BpfObject, config: &ProbeConfig) -> Result<Box<dyn Attached>, ProbeError>;
}

/// A probe at work. Dropping it detaches it.
pub trait Attached {
    /// How it is attached, as users know it: `perf_event cpu-clock`.
    fn mechanism(&self) -> String;

    /// Its programs, with what each counts as an event.
    fn programs(&self) -> &'static [ProgramEvents];

    /// Writes what only shows at the beginning; the capture's time counts from just before this.
    ///
    /// # Errors
    /// Any [`ProbeError`].
    fn begin(&mut self, object: &mut BpfObject) -> Result<(), ProbeError>;

    /// Takes other sampling rates.
    ///
    /// # Errors
    /// The kernel's.
    fn set_rates(&mut self, rates: SamplingRates) -> io::Result<()>;

    /// Writes what only shows at the end, and detaches.
    ///
    /// # Errors
    /// Any [`ProbeError`]; it is detached all the same.
    fn finish(self: Box<Self>, object: &mut BpfObject) -> Result<(), ProbeError>;
}

/// One program of a probe, and its events.
#[derive(Clone, Copy)]
pub struct ProgramEvents {
    /// The program in the object.
    pub program: &'static str,
    /// What the event is called in reports.
    pub event: &'static str,
    /// How many there were.
    pub count: fn(&quell_ebpf_common::Counts) -> u64,
}

/// Every probe, in the order that `quell list probes` shows.
pub static PROBES: &[&dyn Probe] = &[&cpu::Cpu, &offcpu::OffCpu];

/// The probe of this name.
#[must_use]
pub fn by_name(name: &str) -> Option<&'static dyn Probe> {
    PROBES.iter().copied().find(|probe| probe.spec().name == name)
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
    /// A sampling rate could not be changed.
    #[error("could not change a sampling rate")]
    Rates(#[source] io::Error),
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
