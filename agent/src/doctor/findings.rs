//! Derives the checks and their remedies from [`Features`].

use super::check::{Check, Group, Status};
use crate::bpf::{Features, Support};
use crate::host::{Capability, KernelVersion, lockdown};
use crate::privileges::table::{self, RECORD_IF_GIVEN};

/// The oldest kernel version that quell supports.
const OLDEST: KernelVersion = KernelVersion::new(5, 10);

/// The remedy for missing BTF.
const WITH_BTF: &str = "boot a kernel built with CONFIG_DEBUG_INFO_BTF=y";

/// All checks.
pub(super) fn all(features: &Features) -> Vec<Check> {
    [kernel(features), bpf(features), perf(features), privileges(features)].concat()
}

fn kernel(features: &Features) -> Vec<Check> {
    let group = Group::Kernel;
    let layout = match &features.offsets {
        Ok(_) => Ok("all struct members that the programs read were found in BTF".to_owned()),
        Err(why) if features.btf.is_yes() => {
            Err((why.clone(), "report the kernel version and its BTF to the developers of quell".to_owned()))
        }
        Err(why) => Err((why.clone(), WITH_BTF.to_owned())),
    };
    let jit = match features.jit {
        Some(true) => Ok("net.core.bpf_jit_enable is on".to_owned()),
        Some(false) => Err(("BPF programs are interpreted".to_owned(), "sysctl net.core.bpf_jit_enable=1".to_owned())),
        // The file exists only with CONFIG_BPF_JIT, and on hardened kernels only root can read it.
        None => Err(("/proc/sys/net/core/bpf_jit_enable cannot be read".to_owned(), "run as root".to_owned())),
    };
    let version = if features.kernel >= OLDEST {
        Ok(features.kernel.to_string())
    } else {
        Err((features.kernel.to_string(), format!("boot Linux {OLDEST} or later; older kernels are not tested")))
    };
    let namespace = if features.initial_pid_namespace {
        Ok("the namespace of the host".to_owned())
    } else {
        Err((
            "the namespace of a container: the kernel reports the PIDs of the host".to_owned(),
            "run quell in the PID namespace of the host (docker run --pid=host, hostPID: true)".to_owned(),
        ))
    };
    let lockdown = match features.lockdown.as_deref() {
        Some(lockdown::CONFIDENTIALITY) => {
            Err(("confidentiality: BPF programs cannot read kernel memory".to_owned(), lockdown::REMEDY.to_owned()))
        }
        Some(level) => Ok(level.to_owned()),
        None => Ok("none, or not readable".to_owned()),
    };
    let mut checks = vec![
        check("version", group, version),
        tried(features, ("btf", group), &features.btf, &[], WITH_BTF),
        check("struct-layout", group, layout),
        tried(
            features,
            ("symbols", group),
            &features.kernel_symbols,
            &[Capability::Syslog],
            "boot a kernel built with CONFIG_KALLSYMS=y",
        ),
        check("jit", group, jit),
        check("lockdown", group, lockdown),
        check("pid-namespace", group, namespace),
    ];
    if let Some(restrict) = features.kptr_restrict {
        checks.push(note("kptr_restrict", group, format!("kernel.kptr_restrict is {restrict}")));
    }
    checks
}

fn bpf(features: &Features) -> Vec<Check> {
    let group = Group::Bpf;
    let from = |version: &str| format!("boot Linux {version} or later");
    let program = |id, support, unsupported: &str| tried(features, (id, group), support, TRACING, unsupported);
    let mechanisms = &features.mechanisms;
    vec![
        program("tp_btf", &mechanisms.tp_btf, "boot Linux 5.5 or later, built with BTF"),
        program("iter/task", &mechanisms.iter_task, "boot Linux 5.8 or later, built with BTF"),
        optional(("fentry", group), &mechanisms.fentry),
        optional(("kprobe", group), &mechanisms.kprobe),
        tried(features, ("ring-buffer", group), &features.ring_buffer, &[Capability::Bpf], &from("5.8")),
        program("task_pt_regs", &features.helpers.task_pt_regs, &from("5.15")),
    ]
}

fn perf(features: &Features) -> Vec<Check> {
    let group = Group::Perf;
    let perf = &features.perf;
    let event = |id, support, unsupported| tried(features, (id, group), support, &[Capability::Perfmon], unsupported);
    let mut checks = vec![
        event("cpu-clock", &perf.cpu_clock, "boot a kernel built with CONFIG_PERF_EVENTS=y"),
        tried(features, ("bpf-on-perf-event", group), &perf.program, TRACING, "boot Linux 4.9 or later"),
        event("cycles", &perf.cycles, "enable the PMU of the virtual machine; without it, quell uses cpu-clock"),
    ];
    if let Some(level) = perf.paranoid {
        checks.push(note("perf_event_paranoid", group, format!("kernel.perf_event_paranoid is {level}")));
    }
    if let Some(rate) = perf.max_sample_rate {
        checks.push(note("max-sample-rate", group, format!("kernel.perf_event_max_sample_rate is {rate} Hz")));
    }
    checks
}

fn privileges(features: &Features) -> Vec<Check> {
    let group = Group::Privileges;
    let capabilities = features.capabilities;
    let mut checks: Vec<Check> = table::required()
        .chain(RECORD_IF_GIVEN)
        .map(|need| {
            let (id, purpose) = (need.capability.name(), need.reason);
            if capabilities.has(need.capability) {
                check(id, group, Ok(format!("to {purpose}")))
            } else if capabilities.grants(need.capability) {
                check(id, group, Ok("implied by CAP_SYS_ADMIN".to_owned()))
            } else if table::is_suggested(need.capability) {
                check(id, group, Err((format!("missing: to {purpose}"), format!("run as root, or with {id}"))))
            } else {
                note(id, group, format!("missing (optional): to {purpose}"))
            }
        })
        .collect();
    if !table::suggested().all(|needed| capabilities.grants(needed)) {
        let found = "some capabilities are missing".to_owned();
        let program = std::env::current_exe().map_or_else(|_| "quell".to_owned(), |path| path.display().to_string());
        checks.push(check("capabilities", group, Err((found, table::advice(&program)))));
    }
    let memory = match features.locked_memory {
        _ if features.kernel >= KernelVersion::new(5, 11) => {
            Ok("not relevant: since 5.11 BPF maps do not count against it".to_owned())
        }
        None => Ok("unlimited".to_owned()),
        Some(limit) if capabilities.has(Capability::SysResource) => Ok(format!("{limit}, and quell can raise it")),
        Some(limit) => {
            Err((format!("{limit}: before 5.11 BPF maps count against it"), "ulimit -l unlimited".to_owned()))
        }
    };
    checks.push(check("locked-memory", group, memory));
    if let Some(level) = features.unprivileged_bpf_disabled {
        checks.push(note("unprivileged-bpf", group, format!("kernel.unprivileged_bpf_disabled is {level}")));
    }
    checks
}

/// The capabilities that loading and attaching a tracing program requires.
const TRACING: &[Capability] = &[Capability::Bpf, Capability::Perfmon];

fn check(id: &'static str, group: Group, found: Result<String, (String, String)>) -> Check {
    match found {
        Ok(found) => Check { id, group, status: Status::Yes, found, remedy: None },
        Err((found, remedy)) => Check { id, group, status: Status::No, found, remedy: Some(remedy) },
    }
}

fn note(id: &'static str, group: Group, found: String) -> Check {
    Check { id, group, status: Status::Note, found, remedy: None }
}

/// A check of a feature that was tested, and that requires the capabilities `needs`. `unsupported` is the remedy if this
/// kernel or machine lacks the feature.
fn tried(
    features: &Features,
    (id, group): (&'static str, Group),
    support: &Support,
    needs: &[Capability],
    unsupported: &str,
) -> Check {
    let remedy = match support {
        Support::Yes => return check(id, group, Ok("works".to_owned())),
        Support::Unsupported(_) => unsupported.to_owned(),
        Support::Forbidden(_) => permission(features, needs),
        Support::Failed(_) => "unexpected error: see the kernel log (dmesg)".to_owned(),
    };
    check(id, group, Err((support.why_not().unwrap_or_default().to_owned(), remedy)))
}

/// A check of a feature that no probe requires. If the feature is missing, the remedy says that nothing has to be done.
fn optional((id, group): (&'static str, Group), support: &Support) -> Check {
    match support.why_not() {
        None => check(id, group, Ok("works".to_owned())),
        Some(why) => check(id, group, Err((why.to_owned(), "nothing to do: no probe uses it".to_owned()))),
    }
}

/// The remedy for a denied permission.
fn permission(features: &Features, needs: &[Capability]) -> String {
    let missing: Vec<&str> =
        needs.iter().filter(|needed| !features.capabilities.grants(**needed)).map(|needed| needed.name()).collect();
    if !missing.is_empty() {
        format!("run as root, or with {}", missing.join(" and "))
    } else if features.lockdown.as_deref() == Some(lockdown::CONFIDENTIALITY) {
        lockdown::REMEDY.to_owned()
    } else if needs == [Capability::Syslog] && features.kptr_restrict == Some(2) {
        "sysctl kernel.kptr_restrict=1".to_owned()
    } else {
        "no capability is missing: check for a seccomp filter, a security module or a container that denies this"
            .to_owned()
    }
}
