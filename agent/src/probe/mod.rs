//! What quell can capture: a folder for each probe, and a line for each in the list that the eBPF programs go by too
//! (`quell_ebpf_common::probes!`).
//!
//! A probe's folder holds what it is, how it is attached, and how its records become samples. What its programs do, and what
//! both sides share, is in its folder of `ebpf/programs`.

mod availability;

use std::path::PathBuf;

use quell_ebpf_common::KernelField;

pub use availability::Availability;

pub use crate::bpf::ProbeError;
use crate::bpf::{BpfObject, Declarations, Features, Hook, ProbeMap, Record};
use crate::host::{Btf, MissingField, offset_of};
use crate::inspect::ProcessMemory;
use crate::recording::{CodeLocator, MetricId, MetricSpec, RecordingBuilder};
use crate::units::{CpuSet, Hertz, Nanos, Pid};

macro_rules! declare {
    ($($probe:ident = $number:literal,)+) => {
        $(mod $probe;)+

        /// Every probe, in the order that `quell list probes` shows.
        pub static PROBES: &[&dyn Probe] = &[$(&$probe::Probe),+];

        const _: () = {
            $(assert!($probe::NUMBER == $number, "a probe has one number");)+
        };
    };
}
quell_ebpf_common::probes!(declare);

/// What a probe is.
#[derive(Clone, Copy, Debug)]
pub struct ProbeSpec {
    /// What `--probe` takes.
    pub name: &'static str,
    /// Its number in records, from 1 on.
    pub number: u16,
    /// What people see in reports, as in `Off-CPU`.
    pub label: &'static str,
    /// One line for `quell list probes`.
    pub doc: &'static str,
    /// The events that its programs run on.
    pub events: &'static [&'static str],
    /// The hooks that it needs.
    pub hooks: &'static [Hook],
    /// The first kernel that it works on.
    pub kernel: &'static str,
    /// What it costs, in words.
    pub cost: &'static str,
    /// Whether it samples: rate control makes it sample less often. What it counts cannot be slowed down.
    pub samples: bool,
    /// Kernel fields that its programs read and others do not.
    pub fields: &'static [KernelField],
    /// Maps that its programs use and others do not.
    pub maps: &'static [ProbeMap],
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
    /// Whether to sample every event, whatever that costs.
    pub every_event: bool,
    /// The cgroup whose processes are captured, if only one's are.
    pub cgroup: Option<PathBuf>,
}

/// A source of records.
pub trait Probe: Sync {
    /// What it is.
    fn spec(&self) -> &'static ProbeSpec;

    /// Whether the host has what it needs. What the kernel makes of its programs is no part of this.
    fn needs(&self, features: &Features) -> Availability;

    /// Has the kernel check and load its programs, and says how well it can work with those that were accepted.
    ///
    /// # Errors
    /// [`ProbeError::Refused`] for a program that it cannot do without.
    fn load(&self, object: &mut BpfObject) -> Result<Availability, ProbeError> {
        self.spec().hooks.iter().try_for_each(|hook| object.load_hook(*hook))?;
        Ok(Availability::Ready)
    }

    /// Begins to write records into the rings, by programs that were loaded.
    ///
    /// # Errors
    /// Any [`ProbeError`].
    fn start(&self, object: &mut BpfObject, config: &ProbeConfig) -> Result<Box<dyn RunningProbe>, ProbeError>;
}

/// A probe at work. Dropping it detaches what it alone attached.
pub trait RunningProbe {
    /// How it is attached, as users know it: `perf_event cpu-clock`.
    fn mechanism(&self) -> String;

    /// Records what only shows at the beginning; the capture's time counts from just before this.
    ///
    /// # Errors
    /// Any [`ProbeError`].
    fn begin(&mut self, object: &mut BpfObject) -> Result<(), ProbeError>;

    /// Tells which metric of the recording is the first of the probe's. The others follow it.
    fn declared(&mut self, first: MetricId);

    /// Adds to a record what has to be read while its thread still stands there, as soon as it is out of its ring. Returns `false`
    /// where the record lacks nothing; else the whole of it is in `words`.
    fn complete(&self, _record: &Record<'_>, _memory: &mut dyn ProcessMemory, _words: &mut Vec<u64>) -> bool {
        false
    }

    /// Takes the next of its records, in order of time.
    ///
    /// # Errors
    /// [`BadRecord`] for one that is not understood.
    fn decode(
        &mut self,
        record: &Record<'_>,
        out: &mut RecordingBuilder,
        code: &mut dyn CodeLocator,
    ) -> Result<(), BadRecord>;

    /// Records what only shows at the end, while the programs of all hooks still run.
    ///
    /// # Errors
    /// Any [`ProbeError`].
    fn stop(&mut self, object: &mut BpfObject) -> Result<(), ProbeError>;

    /// Adds what is left once every record has been taken: totals, and what went on at `end`. Processes in `own` are quell's,
    /// and left out.
    ///
    /// # Errors
    /// Any [`ProbeError`].
    fn finish(
        self: Box<Self>,
        object: &BpfObject,
        end: Nanos,
        own: &[Pid],
        out: &mut RecordingBuilder,
    ) -> Result<(), ProbeError>;
}

/// A record that its probe does not understand: it is counted and left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a record is damaged, or of an unknown kind")]
pub struct BadRecord;

/// What these probes declare of the object.
///
/// # Errors
/// Names a kernel field that the kernel's BTF lacks.
pub fn declarations(btf: &Btf, probes: &[&dyn Probe]) -> Result<Declarations, MissingField> {
    let specs = probes.iter().map(|probe| probe.spec());
    let offsets = specs.clone().flat_map(|spec| spec.fields).map(|field| Ok((field.global, offset_of(btf, field)?)));
    Ok(Declarations {
        offsets: offsets.collect::<Result<_, _>>()?,
        maps: specs.flat_map(|spec| spec.maps).copied().collect(),
    })
}

/// The probe of this name.
#[must_use]
pub fn by_name(name: &str) -> Option<&'static dyn Probe> {
    PROBES.iter().copied().find(|probe| probe.spec().name == name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bpf::Support;

    #[test]
    fn on_a_host_that_has_everything_each_probe_is_ready() {
        for probe in PROBES {
            assert_eq!(probe.needs(&Features::all()), Availability::Ready, "{}", probe.spec().name);
        }
    }

    #[test]
    fn without_permission_none_works() {
        for probe in PROBES {
            let availability = probe.needs(&Features::unprivileged());
            let Availability::Unavailable(why) = availability else { panic!("{availability:?}") };
            assert!(why.starts_with("not permitted without CAP_BPF and CAP_PERFMON; "), "{why}");
        }
    }

    #[test]
    fn fentry_and_kprobes_are_not_needed() {
        let mut features = Features::all();
        let refused = Support::Forbidden("attaching: EPERM".to_owned());
        features.mechanisms.fentry = refused.clone();
        features.mechanisms.kprobe = refused;
        for probe in PROBES {
            assert_eq!(probe.needs(&features), Availability::Ready, "{}", probe.spec().name);
        }
    }
}
