//! Having the kernel check quell's own programs, without a capture.

use super::{Availability, PROBES, Probe, ProbeError, declarations};
use crate::bpf::{BpfObject, Maps, Scope, Threads, settings};
use crate::host::{Btf, Helpers, TaskOffsets};

/// What the kernel made of the programs of a probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tried {
    /// The probe.
    pub probe: &'static str,
    /// What it can do with the programs that were accepted.
    pub programs: Availability,
}

/// Loads the programs of each probe as a capture of every thread does, and attaches none. Nothing stays behind.
#[must_use]
pub fn try_programs(kernel: &Btf, offsets: &TaskOffsets, helpers: &Helpers) -> Vec<Tried> {
    let tried = |probe: &&'static dyn Probe| {
        // An object for each: what the kernel refuses of one says nothing about another.
        let scope = Scope { threads: Threads::All, cpus: None, probes: 1 << probe.spec().number, paced: true };
        let settings = settings(&scope, offsets, helpers, 1);
        let loaded = declarations(kernel, &[*probe]).map_err(ProbeError::Field).and_then(|declarations| {
            let mut object = BpfObject::load(kernel, settings, Maps { threads: 1, ids: 1, cpus: 1 }, &declarations)?;
            probe.load(&mut object)
        });
        let programs = loaded.unwrap_or_else(|error| Availability::Unavailable(error.brief()));
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
                Availability::Unavailable(why) if tried.probe != "cpu" => {
                    assert!(why.contains("quell_switch") && why.contains("task_struct"), "{why}");
                    assert!(!why.contains('\n') && !why.contains("processed"), "{why}");
                }
                other => assert_eq!((tried.probe, other), ("cpu", Availability::Ready)),
            }
        }
    }
}
