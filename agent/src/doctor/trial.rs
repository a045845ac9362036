//! Lets the kernel verify the programs of the probes, without a capture.

use crate::bpf::{BpfObject, Features, Helpers, Maps, ProbeError, Sampling, Scope, Threads, settings};
use crate::host::{Btf, BtfError, TaskOffsets};
use crate::probe::{Availability, PROBES, Probe, declarations};

/// The result of loading the programs of a probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Trial {
    /// The name of the probe.
    pub(super) probe: &'static str,
    /// How well the probe works with the programs that the kernel accepted.
    pub(super) programs: Availability,
}

/// Loads the programs of each probe, as for a capture of all threads with only this probe, and attaches none. All programs
/// are unloaded again.
pub(super) fn try_probes(kernel: &Result<Btf, BtfError>, features: &Features) -> Vec<Trial> {
    let layout = match (kernel, &features.offsets) {
        (Ok(kernel), Ok(offsets)) => Ok((kernel, offsets)),
        (_, Err(why)) => Err(why.clone()),
        (Err(error), _) => Err(error.to_string()),
    };
    let programs = |probe: &dyn Probe| match &layout {
        Ok((kernel, offsets)) => try_probe(probe, kernel, offsets, &features.helpers)
            .unwrap_or_else(|error| Availability::Unavailable(error.brief())),
        Err(why) => Availability::Unavailable(format!("the layout of kernel structures is unknown ({why})")),
    };
    PROBES.iter().map(|probe| Trial { probe: probe.spec().name, programs: programs(*probe) }).collect()
}

/// Loads the programs of a probe in a separate object. The programs of a hook contain the callbacks of all enabled probes, so
/// in a shared object, the rejection of one callback would affect other probes.
fn try_probe(
    probe: &dyn Probe,
    kernel: &Btf,
    offsets: &TaskOffsets,
    helpers: &Helpers,
) -> Result<Availability, ProbeError> {
    let scope =
        Scope { threads: Threads::All, cpus: None, probes: 1 << probe.spec().number, sampling: Sampling::Paced };
    let settings = settings(&scope, offsets, helpers, 1);
    let declarations = declarations(kernel, &[probe])?;
    let mut object = BpfObject::load(kernel, settings, Maps { threads: 1, ids: 1, cpus: 1 }, &declarations)?;
    probe.load(&mut object)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::Capabilities;

    #[test]
    fn a_program_that_the_kernel_refuses_is_named_with_the_verifiers_reason() {
        crate::needs!(Bpf);
        let btf = Btf::kernel();
        let mut features = Features::detect(&btf, Capabilities::effective()).expect("/proc and /sys");
        for tried in try_probes(&btf, &features) {
            assert_eq!(tried.programs, Availability::Ready, "{}", tried.probe);
        }
        // An offset beyond the end of every task_struct.
        features.offsets.as_mut().expect("a kernel that quell knows").tgid = 1 << 20;
        for tried in try_probes(&btf, &features) {
            match tried.programs {
                Availability::Unavailable(why) if tried.probe != "cpu" => {
                    assert!(why.contains("quell_switch") && why.contains("task_struct"), "{why}");
                    assert!(!why.contains('\n') && !why.contains("processed"), "{why}");
                }
                other => assert_eq!((tried.probe, other), ("cpu", Availability::Ready)),
            }
        }
    }
}
