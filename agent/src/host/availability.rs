//! Which probes this host can run.

use super::{Capability, Features, Support};
use crate::probe::{Availability, Tried};

/// Whether the CPU probe works: a perf event that interrupts each CPU and a program that walks the stacks.
#[must_use]
pub fn cpu(features: &Features) -> Availability {
    let mut verdict = Verdict::default();
    verdict.need("BPF on perf events", &features.perf.program);
    verdict.need("the event cpu-clock", &features.perf.cpu_clock);
    verdict.need("the ring-buffer map", &features.ring_buffer);
    if !features.perf.cycles.is_yes() {
        verdict.miss("no hardware cycle counter: a timer samples instead, and code with interrupts disabled is attributed to the code after it");
    }
    verdict.common(features);
    verdict.into()
}

/// Whether the off-CPU probe works: typed raw tracepoints of the scheduler.
#[must_use]
pub fn offcpu(features: &Features) -> Availability {
    let mut verdict = Verdict::default();
    if let Err(why) = &features.offsets {
        verdict.obstacles.push(why.clone());
    }
    verdict.need("tp_btf", &features.mechanisms.tp_btf);
    verdict.need("the ring-buffer map", &features.ring_buffer);
    if let Some(why) = features.mechanisms.iter_task.why_not() {
        verdict.miss(&format!("threads that sleep during the whole capture are missing: no task iterator ({why})"));
    } else if !features.helpers.task_pt_regs.is_yes()
        && !features.offsets.as_ref().is_ok_and(|offsets| offsets.stack_regs.is_some())
    {
        verdict.miss("threads that sleep during the whole capture have no user stack: no bpf_task_pt_regs (5.15)");
    }
    verdict.common(features);
    verdict.into()
}

#[derive(Default)]
struct Verdict {
    obstacles: Vec<String>,
    shortcomings: Vec<String>,
    forbidden: bool,
}

impl Verdict {
    fn need(&mut self, what: &str, support: &Support) {
        if let Some(why) = support.why_not() {
            self.obstacles.push(format!("{what} is required ({why})"));
            self.forbidden |= matches!(support, Support::Forbidden(_));
        }
    }

    fn miss(&mut self, what: &str) {
        self.shortcomings.push(what.to_owned());
    }

    fn common(&mut self, features: &Features) {
        let missing = |needed: &Capability| !features.capabilities.grants(*needed);
        let missing: Vec<_> = [Capability::Bpf, Capability::Perfmon].into_iter().filter(missing).collect();
        if self.forbidden && !missing.is_empty() {
            let names: Vec<_> = missing.into_iter().map(Capability::name).collect();
            self.obstacles.insert(0, format!("not permitted without {}", names.join(" and ")));
        }
        if !features.kernel_symbols.is_yes() {
            self.miss("kernel functions have no names");
        }
        if features.jit == Some(false) {
            self.miss("BPF programs are interpreted, which multiplies their overhead");
        }
        if !features.initial_pid_namespace {
            self.miss("quell runs in another PID namespace, and the kernel reports the PIDs of the host");
        }
    }
}

/// What a probe can do for which the host has what it `needs`, and whose programs were `tried`: no more than either
/// lets it. What it needs comes first: it says why its programs were refused, and what to do.
#[must_use]
pub fn with_programs(needs: Availability, tried: Option<&Tried>) -> Availability {
    let programs = tried.map_or(&Availability::Ready, |tried| &tried.programs);
    match (needs, programs) {
        (Availability::Unavailable(why), _) => Availability::Unavailable(why),
        (_, Availability::Unavailable(why)) => Availability::Unavailable(why.clone()),
        (Availability::Degraded(lack), Availability::Degraded(why)) => Availability::Degraded(format!("{lack}; {why}")),
        (Availability::Ready, other) => other.clone(),
        (degraded, Availability::Ready) => degraded,
    }
}

impl From<Verdict> for Availability {
    fn from(verdict: Verdict) -> Self {
        if !verdict.obstacles.is_empty() {
            Self::Unavailable(verdict.obstacles.join("; "))
        } else if !verdict.shortcomings.is_empty() {
            Self::Degraded(verdict.shortcomings.join("; "))
        } else {
            Self::Ready
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::PROBES;

    #[test]
    fn on_a_host_that_has_everything_both_probes_are_ready() {
        assert_eq!(cpu(&Features::all()), Availability::Ready);
        assert_eq!(offcpu(&Features::all()), Availability::Ready);
    }

    #[test]
    fn without_permission_neither_works() {
        let features = Features::unprivileged();
        for availability in [cpu(&features), offcpu(&features)] {
            let Availability::Unavailable(why) = availability else { panic!("{availability:?}") };
            assert!(why.starts_with("not permitted without CAP_BPF and CAP_PERFMON; "), "{why}");
        }
    }

    #[test]
    fn what_is_refused_to_somebody_who_may_do_anything_is_not_for_want_of_a_capability() {
        let mut features = Features::all();
        features.mechanisms.tp_btf = Support::Forbidden("loading: EPERM, operation not permitted".to_owned());
        assert!(matches!(offcpu(&features), Availability::Unavailable(why) if !why.contains("CAP_")));
    }

    #[test]
    fn a_host_without_pmu_degrades_only_the_cpu_probe() {
        let mut features = Features::all();
        features.perf.cycles = Support::Unsupported("opening: ENOENT".to_owned());
        assert!(matches!(cpu(&features), Availability::Degraded(why) if why.contains("cycle counter")));
        assert_eq!(offcpu(&features), Availability::Ready);
    }

    #[test]
    fn fentry_kprobes_and_security_hooks_are_not_needed() {
        let mut features = Features::all();
        let refused = Support::Forbidden("attaching: EPERM".to_owned());
        features.mechanisms.fentry = refused.clone();
        features.mechanisms.lsm = refused.clone();
        features.mechanisms.kprobe = refused;
        assert_eq!((cpu(&features), offcpu(&features)), (Availability::Ready, Availability::Ready));
    }

    #[test]
    fn a_probe_is_no_better_than_what_the_kernel_made_of_its_programs() {
        for probe in PROBES {
            let with = |programs| {
                let mut features = Features::all();
                let tried = features.programs.iter_mut().find(|tried| tried.probe == probe.spec().name);
                tried.expect("each was tried").programs = programs;
                probe.check(&features)
            };
            assert_eq!(with(Availability::Ready), Availability::Ready);
            let (lack, refused) = ("no iterator".to_owned(), "quell_x: R1 is no pointer".to_owned());
            assert_eq!(with(Availability::Degraded(lack.clone())), Availability::Degraded(lack));
            assert_eq!(with(Availability::Unavailable(refused.clone())), Availability::Unavailable(refused));
        }
        // What is missing on the host says more than that the programs were refused for it.
        let refused = Tried { probe: "offcpu", programs: Availability::Unavailable("loading: EPERM".to_owned()) };
        let needs = Availability::Unavailable("tp_btf is required".to_owned());
        assert_eq!(with_programs(needs.clone(), Some(&refused)), needs);
    }

    #[test]
    fn an_unknown_struct_layout_is_named() {
        let features = Features { offsets: Err("no task_struct::on_cpu".to_owned()), ..Features::all() };
        assert!(matches!(offcpu(&features), Availability::Unavailable(why) if why.contains("on_cpu")));
    }
}
