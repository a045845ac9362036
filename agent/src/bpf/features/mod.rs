//! Detects by trying which profiling features the kernel and the host support.

mod helpers;
mod mechanisms;
mod perf;
mod support;

use std::io;

use aya::maps::MapType;
use aya::sys::is_map_supported;
use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit};

pub use helpers::Helpers;
pub use mechanisms::Mechanisms;
pub use perf::PerfEvents;
pub use support::Support;

use crate::host::{self, Btf, BtfError, Capabilities, HostError, KernelVersion, TaskOffsets, lockdown};
use crate::sys::bpf::{self, ProgramType};
use crate::units::Bytes;

/// The profiling features that are available to this process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Features {
    /// The kernel version.
    pub kernel: KernelVersion,
    /// Whether the kernel provides BTF.
    pub btf: Support,
    /// The offsets of the struct members that the programs read, or the reason why they are unknown.
    pub offsets: Result<TaskOffsets, String>,
    /// The mechanisms to run a program on an event.
    pub mechanisms: Mechanisms,
    /// The ring-buffer map (5.8).
    pub ring_buffer: Support,
    /// Helpers that older kernels lack.
    pub helpers: Helpers,
    /// Perf events.
    pub perf: PerfEvents,
    /// Addresses of kernel functions in `/proc/kallsyms`.
    pub kernel_symbols: Support,
    /// Whether BPF programs are compiled (`net.core.bpf_jit_enable`); `None` if this cannot be read.
    pub jit: Option<bool>,
    /// The lockdown level of the kernel, `none`, `integrity` or `confidentiality`; `None` without lockdown.
    pub lockdown: Option<String>,
    /// `kernel.unprivileged_bpf_disabled`.
    pub unprivileged_bpf_disabled: Option<i64>,
    /// `kernel.kptr_restrict`.
    pub kptr_restrict: Option<i64>,
    /// The limit of locked memory of this process; `None` for no limit. Before 5.11, BPF maps count towards it.
    pub locked_memory: Option<Bytes>,
    /// The capabilities of this process.
    pub capabilities: Capabilities,
    /// Whether the process is in the initial PID namespace.
    pub initial_pid_namespace: bool,
}

impl Features {
    /// Detects the features. Loads and attaches programs that do nothing; all of them are removed again. `btf` is the BTF of
    /// the kernel. `capabilities` are the capabilities with which quell was started, some of which it may have dropped.
    ///
    /// # Errors
    /// `/proc` or `/sys` cannot be read. A missing permission is a finding and not an error.
    pub fn detect(btf: &Result<Btf, BtfError>, capabilities: Capabilities) -> Result<Self, HostError> {
        let cpus = host::cpus_online()?;
        let perf_program = bpf::load(ProgramType::BPF_PROG_TYPE_PERF_EVENT, None);
        Ok(Self {
            kernel: host::kernel_version()?,
            offsets: match btf {
                Ok(btf) => host::offsets(btf).map_err(|missing| missing.to_string()),
                Err(error) => Err(error.to_string()),
            },
            mechanisms: Mechanisms::detect(btf.as_ref().ok(), &cpus),
            btf: match btf {
                Ok(_) => Support::Yes,
                Err(BtfError::Read { source, .. }) => Support::refused("reading", source),
                Err(error) => Support::Failed(error.to_string()),
            },
            ring_buffer: map(MapType::RingBuf),
            helpers: Helpers::detect(),
            perf: PerfEvents::detect(&cpus, &perf_program),
            kernel_symbols: kernel_symbols(),
            jit: host::number("/proc/sys/net/core/bpf_jit_enable").map(|value| value != 0),
            lockdown: lockdown::level(),
            unprivileged_bpf_disabled: host::number("/proc/sys/kernel/unprivileged_bpf_disabled"),
            kptr_restrict: host::number("/proc/sys/kernel/kptr_restrict"),
            locked_memory: locked_memory(),
            capabilities,
            initial_pid_namespace: host::in_initial_pid_namespace(),
        })
    }
}

fn map(kind: MapType) -> Support {
    match is_map_supported(kind) {
        Ok(true) => Support::Yes,
        Ok(false) => Support::Unsupported("the kernel does not support this map type".to_owned()),
        Err(error) => Support::refused("creating", &error.io_error),
    }
}

/// Without permission, the kernel shows all addresses as zero (kernel/kallsyms.c).
fn kernel_symbols() -> Support {
    match std::fs::File::open("/proc/kallsyms").map(io::BufReader::new) {
        Err(error) => Support::refused("reading /proc/kallsyms", &error),
        Ok(lines) => {
            let shown = io::BufRead::lines(lines)
                .map_while(Result::ok)
                // The first symbols on x86-64 are per-CPU offsets, some of which are zero even with permission.
                .take(1_000)
                .any(|line| line.split(' ').next().is_some_and(|address| !address.trim_matches('0').is_empty()));
            if shown {
                Support::Yes
            } else {
                Support::Forbidden("/proc/kallsyms does not contain addresses".to_owned())
            }
        }
    }
}

fn locked_memory() -> Option<Bytes> {
    match getrlimit(Resource::RLIMIT_MEMLOCK) {
        Ok((limit, _)) if limit != RLIM_INFINITY => Some(Bytes(limit)),
        _ => None,
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    impl Features {
        /// The features of a host on which everything works.
        pub(crate) fn all() -> Self {
            Self {
                kernel: KernelVersion::new(6, 18),
                btf: Support::Yes,
                offsets: Ok(TaskOffsets {
                    pid: 8,
                    tgid: 12,
                    state: 16,
                    state_bytes: 4,
                    on_cpu: 20,
                    cpu: 4,
                    in_iowait: 24,
                    in_iowait_mask: 1,
                    comm: 28,
                    pt_regs: [0, 8, 16],
                    switch_has_prev_state: true,
                    cgroup_ids: None,
                    stack_regs: None,
                    switches: [32, 40],
                    throttled: None,
                    sp: None,
                }),
                mechanisms: Mechanisms {
                    tp_btf: Support::Yes,
                    kprobe: Support::Yes,
                    fentry: Support::Yes,
                    iter_task: Support::Yes,
                },
                ring_buffer: Support::Yes,
                helpers: Helpers { task_pt_regs: Support::Yes, current_ancestor_cgroup_id: Support::Yes },
                perf: PerfEvents {
                    cpu_clock: Support::Yes,
                    cycles: Support::Yes,
                    program: Support::Yes,
                    paranoid: Some(2),
                    max_sample_rate: Some(100_000),
                },
                kernel_symbols: Support::Yes,
                jit: Some(true),
                lockdown: Some("none".to_owned()),
                unprivileged_bpf_disabled: Some(2),
                kptr_restrict: Some(0),
                locked_memory: Some(Bytes(8 << 20)),
                capabilities: Capabilities(u64::MAX),
                initial_pid_namespace: true,
            }
        }

        /// The features of the same host for an unprivileged process.
        pub(crate) fn unprivileged() -> Self {
            let refused = || Support::Forbidden("loading: EPERM, operation not permitted".to_owned());
            Self {
                mechanisms: Mechanisms {
                    tp_btf: refused(),
                    kprobe: refused(),
                    fentry: refused(),
                    iter_task: refused(),
                },
                ring_buffer: refused(),
                helpers: Helpers { task_pt_regs: refused(), current_ancestor_cgroup_id: refused() },
                perf: PerfEvents { cpu_clock: refused(), cycles: refused(), program: refused(), ..Self::all().perf },
                kernel_symbols: Support::Forbidden("/proc/kallsyms does not contain addresses".to_owned()),
                capabilities: Capabilities(0),
                ..Self::all()
            }
        }
    }
}
