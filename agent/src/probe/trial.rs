//! Loads quell's own programs without a capture, to test them.

use super::{Availability, PROBES, Probe};
use crate::bpf::{BpfObject, Maps, Scope, Threads, settings};
use crate::host::{Btf, Helpers, TaskOffsets};

/// The result of loading the programs of a probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tried {
    /// The name of the probe.
    pub probe: &'static str,
    /// How well the probe works with the accepted programs.
    pub programs: Availability,
}

/// Loads the programs of each probe as for a capture of all threads, without attaching them, and unloads them again.
#[must_use]
pub fn try_programs(kernel: &Btf, offsets: &TaskOffsets, helpers: &Helpers) -> Vec<Tried> {
    let probes = PROBES.iter().fold(0, |bits, probe| bits | 1 << probe.spec().number);
    let scope = Scope { threads: Threads::All, cpus: None, probes, paced: true };
    let settings = settings(&scope, offsets, helpers, 1);
    let mut object =
        BpfObject::load(kernel, settings, Maps { threads: 1, ids: 1, cpus: 1 }).map_err(|error| error.brief());
    let tried = |probe: &&'static dyn Probe| {
        let programs = match &mut object {
            Ok(object) => probe.load(object).unwrap_or_else(|error| Availability::Unavailable(error.brief())),
            Err(why) => Availability::Unavailable(why.clone()),
        };
        Tried { probe: probe.spec().name, programs }
    };
    PROBES.iter().map(tried).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::{self, Capabilities, Capability};

    #[test]
    fn a_program_that_the_kernel_refuses_is_named_with_the_verifiers_reason() {
        let capabilities = Capabilities::effective();
        if ![Capability::Bpf, Capability::Perfmon].into_iter().all(|needed| capabilities.grants(needed)) {
            return;
        }
        let btf = Btf::kernel().expect("BTF");
        let known = host::offsets(&btf).expect("a kernel that quell knows");
        let helpers = Helpers::detect();
        for tried in try_programs(&btf, &known, &helpers) {
            assert_eq!(tried.programs, Availability::Ready, "{}", tried.probe);
        }
        // Beyond the end of any task.
        let wrong = TaskOffsets { tgid: 1 << 20, ..known };
        for tried in try_programs(&btf, &wrong, &helpers) {
            match tried.programs {
                Availability::Unavailable(why) if tried.probe == "offcpu" => {
                    assert!(why.contains("quell_switch") && why.contains("task_struct"), "{why}");
                    assert!(!why.contains('\n') && !why.contains("processed"), "{why}");
                }
                other => assert_eq!((tried.probe, other), ("cpu", Availability::Ready)),
            }
        }
    }
}
