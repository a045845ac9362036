//! The probes. Each has a directory, and a line in a list that the eBPF programs share (`quell_ebpf_common::probes!`).
//!
//! The directory of a probe contains its description, its attachment, and the conversion of its records to samples. Its
//! programs, and the types that both sides share, are in its directory of `ebpf/programs`.

mod availability;

use std::path::PathBuf;

use quell_ebpf_common::KernelField;

pub use availability::Availability;

pub use crate::bpf::ProbeError;
use crate::bpf::{BpfObject, Declarations, Features, Hook, ProbeMap, Record};
use crate::host::{Btf, MissingField, offset_of};
use crate::inspect::ProcessMemory;
use crate::perf::{CpuEvent, Opener};
use crate::recording::{CodeLocator, MetricId, MetricSpec, RecordingBuilder};
use crate::units::{CpuId, CpuSet, Hertz, Nanos, Pid};

macro_rules! declare {
    ($($probe:ident = $number:literal,)+) => {
        $(mod $probe;)+

        /// All probes, in the order of `quell list probes`.
        pub static PROBES: &[&dyn Probe] = &[$(&$probe::Probe),+];

        const _: () = {
            $(assert!($probe::NUMBER == $number, "a probe has one number");)+
        };
    };
}
quell_ebpf_common::probes!(declare);

/// The description of a probe.
#[derive(Clone, Copy, Debug)]
pub struct ProbeSpec {
    /// The name, for `--probe`.
    pub name: &'static str,
    /// The number in records, starting at 1.
    pub number: u16,
    /// The label in reports, such as `Off-CPU`.
    pub label: &'static str,
    /// A description for `quell list probes`.
    pub doc: &'static str,
    /// The kernel events of its programs.
    pub events: &'static [&'static str],
    /// The hooks that its programs use.
    pub hooks: &'static [Hook],
    /// The minimum kernel version.
    pub kernel: &'static str,
    /// The typical cost, in words.
    pub cost: &'static str,
    /// Whether it samples, so that rate control applies to it. Counting always runs.
    pub samples: bool,
    /// Kernel fields that only its programs read.
    pub fields: &'static [KernelField],
    /// Maps that only its programs use.
    pub maps: &'static [ProbeMap],
    /// Its metrics.
    pub metrics: &'static [MetricSpec],
}

/// The part of the configuration of a capture that probes need.
#[derive(Clone, Debug)]
pub struct ProbeConfig {
    /// The CPUs to capture.
    pub cpus: CpuSet,
    /// The CPUs of `cpus` on which no timer may be started.
    pub isolated: CpuSet,
    /// CPU samples per second on each CPU.
    pub frequency: Hertz,
    /// The captured cgroup, if the target is a cgroup.
    pub cgroup: Option<PathBuf>,
}

/// A probe: loads and starts its programs.
pub trait Probe: Sync {
    /// The description of the probe.
    fn spec(&self) -> &'static ProbeSpec;

    /// Whether the host meets its requirements, without loading its programs.
    fn needs(&self, features: &Features) -> Availability;

    /// Loads its programs. Returns how well it works with those that the kernel accepted.
    ///
    /// # Errors
    /// [`ProbeError::Refused`] for a required program.
    fn load(&self, object: &mut BpfObject) -> Result<Availability, ProbeError> {
        self.spec().hooks.iter().try_for_each(|hook| object.load_hook(*hook))?;
        Ok(Availability::Ready)
    }

    /// Attaches its loaded programs, which then write records to the ring buffers.
    ///
    /// # Errors
    /// Any [`ProbeError`].
    fn start(&self, object: &mut BpfObject, config: &ProbeConfig) -> Result<Box<dyn RunningProbe>, ProbeError>;
}

/// A started probe. Dropping it detaches the events that only this probe uses.
pub trait RunningProbe {
    /// The kernel mechanism, such as `perf_event cpu-clock`.
    fn mechanism(&self) -> String;

    /// Records the state at the start, such as sleeping threads. The capture starts just before this call.
    ///
    /// # Errors
    /// Any [`ProbeError`].
    fn begin(&mut self, object: &mut BpfObject) -> Result<(), ProbeError>;

    /// Passes the ID of the first metric of the probe in the recording. The others follow it.
    fn declared(&mut self, first: MetricId);

    /// The perf event that the probe opens on each CPU.
    fn cpu_event(&self) -> Option<CpuEvent> {
        None
    }

    /// Starts what the probe does on a CPU that came online during the capture. Its [event](Self::cpu_event) is opened by `opener`.
    ///
    /// # Errors
    /// Any [`ProbeError`].
    fn cpu_online(&mut self, _object: &mut BpfObject, _cpu: CpuId, _opener: &mut Opener) -> Result<(), ProbeError> {
        Ok(())
    }

    /// Completes a record as soon as it is read, such as with the user stack of a thread that is still asleep. Returns `true` if the
    /// completed record is in `words`, and `false` if the record is complete already.
    fn complete(&self, _record: &Record<'_>, _memory: &mut dyn ProcessMemory, _words: &mut Vec<u64>) -> bool {
        false
    }

    /// Decodes the next record, in order of time.
    ///
    /// # Errors
    /// [`BadRecord`] if the record is damaged or unknown.
    fn decode(
        &mut self,
        record: &Record<'_>,
        out: &mut RecordingBuilder,
        code: &mut dyn CodeLocator,
    ) -> Result<(), BadRecord>;

    /// Reads what the programs have counted so far, so that it is known for parts of the capture, too. It is called about once a
    /// second; `now` and the start of the capture, `begin`, are in CLOCK_MONOTONIC. By default, totals are only known for the whole
    /// capture.
    ///
    /// # Errors
    /// Any [`ProbeError`].
    fn snapshot(&mut self, _object: &BpfObject, _now: Nanos, _begin: Nanos) -> Result<(), ProbeError> {
        Ok(())
    }

    /// Records the state at the end, while the programs of all hooks are attached.
    ///
    /// # Errors
    /// Any [`ProbeError`].
    fn stop(&mut self, object: &mut BpfObject) -> Result<(), ProbeError>;

    /// Adds counted totals and intervals that had not ended at `end`, after all records were decoded. The processes in `own` are
    /// those of quell, and are excluded.
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

/// A record that is damaged or unknown. It is counted and skipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a record is damaged, or of an unknown kind")]
pub struct BadRecord;

/// The declarations of these probes, for the object.
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

/// The probe with this name.
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
