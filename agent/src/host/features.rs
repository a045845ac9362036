//! What this kernel and host let a profiler do, found out by trying.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use aya::maps::MapType;
use aya::sys::is_map_supported;
use nix::errno::Errno;
use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit};
use nix::sys::statfs::{TRACEFS_MAGIC, statfs};

use super::{Btf, Capabilities, Helpers, HostError, KernelVersion, PerfEvents, TaskOffsets};
use crate::probe::{self, Availability, PROBES, Probe, Tried};
use crate::sys::bpf::{self, AttachType, ProgramType};
use crate::units::{Bytes, CpuSet};

/// Whether something works here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Support {
    /// It was tried and works.
    Yes,
    /// This kernel or machine does not have it; why.
    Unsupported(String),
    /// It was refused for want of permission; what was refused.
    Forbidden(String),
    /// It failed for another reason.
    Failed(String),
}

impl Support {
    /// Whether it works.
    #[must_use]
    pub fn is_yes(&self) -> bool {
        *self == Self::Yes
    }

    /// Why it does not work, where it does not.
    #[must_use]
    pub fn why_not(&self) -> Option<&str> {
        match self {
            Self::Yes => None,
            Self::Unsupported(why) | Self::Forbidden(why) | Self::Failed(why) => Some(why),
        }
    }

    pub(super) fn of(step: &str, result: io::Result<()>) -> Self {
        result.map_or_else(|error| Self::refused(step, &error), |()| Self::Yes)
    }

    /// What the kernel said when `step` was tried.
    pub(super) fn refused(step: &str, error: &io::Error) -> Self {
        /// `ENOTSUPP` of include/linux/errno.h, which is not meant for user space but gets there.
        const ENOTSUPP: i32 = 524;
        let Some(number) = error.raw_os_error() else {
            return match error.kind() {
                io::ErrorKind::NotFound => Self::Unsupported(format!("{step}: {error}")),
                _ => Self::Failed(format!("{step}: {error}")),
            };
        };
        let errno = Errno::from_raw(number);
        let why = match number {
            ENOTSUPP => format!("{step}: ENOTSUPP, not supported"),
            _ => format!("{step}: {errno:?}, {}", lower_first(errno.desc())),
        };
        match errno {
            Errno::EPERM | Errno::EACCES => Self::Forbidden(why),
            _ if number == ENOTSUPP => Self::Unsupported(why),
            Errno::EINVAL | Errno::ENOENT | Errno::EOPNOTSUPP | Errno::E2BIG | Errno::ENODEV | Errno::ENOSYS => {
                Self::Unsupported(why)
            }
            _ => Self::Failed(why),
        }
    }
}

/// Ways to run a program on an event, each tried by loading and attaching a program that does nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mechanisms {
    /// Raw tracepoint with typed arguments (5.5).
    pub tp_btf: Support,
    /// Raw tracepoint (4.17).
    pub raw_tracepoint: Support,
    /// Tracepoint (4.7); attaching needs tracefs, which tells its number.
    pub tracepoint: Support,
    /// Kernel function by breakpoint; the program is loaded and the event opened.
    pub kprobe: Support,
    /// Kernel function by trampoline (5.5).
    pub fentry: Support,
    /// Security hook (5.7).
    pub lsm: Support,
    /// Iterator over tasks (5.8).
    pub iter_task: Support,
}

/// What this kernel and host let this process do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Features {
    /// The kernel's version.
    pub kernel: KernelVersion,
    /// Whether the kernel shows its type information.
    pub btf: Support,
    /// Where the struct members are that the programs read; else why they are not known.
    pub offsets: Result<TaskOffsets, String>,
    /// Ways to run a program on an event.
    pub mechanisms: Mechanisms,
    /// The ring-buffer map (5.8).
    pub ring_buffer: Support,
    /// The map that keeps a value with each thread (5.11).
    pub task_storage: Support,
    /// Helpers that older kernels lack.
    pub helpers: Helpers,
    /// What the kernel made of quell's own programs, by probe.
    pub programs: Vec<Tried>,
    /// Perf events.
    pub perf: PerfEvents,
    /// Addresses of kernel functions in `/proc/kallsyms`.
    pub kernel_symbols: Support,
    /// Whether tracefs is mounted and readable.
    pub tracefs: Support,
    /// Whether BPF programs are compiled (`net.core.bpf_jit_enable`); `None` where the host does not tell.
    pub jit: Option<bool>,
    /// The kernel's lockdown level, `none`, `integrity` or `confidentiality`; `None` without lockdown.
    pub lockdown: Option<String>,
    /// `kernel.unprivileged_bpf_disabled`.
    pub unprivileged_bpf_disabled: Option<i64>,
    /// `kernel.kptr_restrict`.
    pub kptr_restrict: Option<i64>,
    /// This process's limit of locked memory; `None` for no limit. Before 5.11 BPF maps count against it.
    pub locked_memory: Option<Bytes>,
    /// What this process may do.
    pub capabilities: Capabilities,
    /// Whether it is in the initial PID namespace.
    pub initial_pid_namespace: bool,
}

impl Features {
    /// Finds out. Loads programs that do nothing and attaches them for a moment, and loads quell's own; nothing stays
    /// behind. `capabilities` are those that quell was started with, of which it may have kept fewer.
    ///
    /// # Errors
    /// `/proc` or `/sys` cannot be read. What only is not permitted is a finding, no error.
    pub fn detect(capabilities: Capabilities) -> Result<Self, HostError> {
        let cpus = super::cpus_online()?;
        let btf = Btf::kernel();
        let layout = match &btf {
            Ok(btf) => super::offsets(btf).map(|offsets| (btf, offsets)).map_err(|missing| missing.to_string()),
            Err(error) => Err(error.to_string()),
        };
        let helpers = Helpers::detect();
        let programs = match &layout {
            Ok((btf, offsets)) => probe::try_programs(btf, offsets, &helpers),
            Err(why) => {
                let untried = |probe: &&'static dyn Probe| {
                    let why = format!("the layout of kernel structures is unknown ({why})");
                    Tried { probe: probe.spec().name, programs: Availability::Unavailable(why) }
                };
                PROBES.iter().map(untried).collect()
            }
        };
        let perf_program = bpf::load(ProgramType::BPF_PROG_TYPE_PERF_EVENT, None);
        Ok(Self {
            kernel: super::kernel_version()?,
            offsets: layout.map(|(_, offsets)| offsets),
            mechanisms: Mechanisms::detect(btf.as_ref().ok(), &cpus),
            btf: match btf {
                Ok(_) => Support::Yes,
                Err(super::BtfError::Read { source, .. }) => Support::refused("reading", &source),
                Err(error) => Support::Failed(error.to_string()),
            },
            ring_buffer: map(MapType::RingBuf),
            task_storage: map(MapType::TaskStorage),
            helpers,
            programs,
            perf: PerfEvents::detect(&cpus, &perf_program),
            kernel_symbols: kernel_symbols(),
            tracefs: tracefs(),
            jit: super::number("/proc/sys/net/core/bpf_jit_enable").map(|value| value != 0),
            lockdown: super::lockdown::level(),
            unprivileged_bpf_disabled: super::number("/proc/sys/kernel/unprivileged_bpf_disabled"),
            kptr_restrict: super::number("/proc/sys/kernel/kptr_restrict"),
            locked_memory: locked_memory(),
            capabilities,
            initial_pid_namespace: super::in_initial_pid_namespace(),
        })
    }
}

impl Mechanisms {
    fn detect(btf: Option<&Btf>, cpus: &CpuSet) -> Self {
        // A function that only the kernel's own tests call (net/bpf/test_run.c): attaching to it disturbs nobody.
        const QUIET: &CStr = c"bpf_fentry_test1";
        let quiet = btf.and_then(|btf| btf.function_id("bpf_fentry_test1"));
        let hook = btf.and_then(|btf| btf.function_id("bpf_lsm_bpf"));
        let tasks = btf.and_then(|btf| btf.function_id("bpf_iter_task"));
        let switch = btf.and_then(|btf| btf.tracepoint_id("sched_switch"));
        let tracing = ProgramType::BPF_PROG_TYPE_TRACING;
        let as_loaded = |program: BorrowedFd<'_>| bpf::open_raw_tracepoint(None, program);
        Self {
            tp_btf: typed(tracing, AttachType::BPF_TRACE_RAW_TP, switch, as_loaded),
            raw_tracepoint: untyped(ProgramType::BPF_PROG_TYPE_RAW_TRACEPOINT, |program| {
                bpf::open_raw_tracepoint(Some(c"sched_switch"), program).map(drop)
            }),
            tracepoint: untyped(ProgramType::BPF_PROG_TYPE_TRACEPOINT, |program| {
                super::perf::tracepoint(program, cpus)
            }),
            kprobe: untyped(ProgramType::BPF_PROG_TYPE_KPROBE, |_| super::perf::kprobe(QUIET, cpus)),
            fentry: typed(tracing, AttachType::BPF_TRACE_FENTRY, quiet, as_loaded),
            lsm: typed(ProgramType::BPF_PROG_TYPE_LSM, AttachType::BPF_LSM_MAC, hook, as_loaded),
            iter_task: typed(tracing, AttachType::BPF_TRACE_ITER, tasks, bpf::link_iterator),
        }
    }
}

/// Tries a program that names a type of the kernel as what it attaches to.
fn typed(
    kind: ProgramType,
    attach: AttachType,
    target: Option<u32>,
    link: impl FnOnce(BorrowedFd<'_>) -> io::Result<OwnedFd>,
) -> Support {
    let Some(target) = target else {
        return Support::Unsupported("the kernel's BTF does not contain the attach target".to_owned());
    };
    attached(bpf::load(kind, Some((attach, target))), |program| link(program).map(drop))
}

fn untyped(kind: ProgramType, link: impl FnOnce(BorrowedFd<'_>) -> io::Result<()>) -> Support {
    attached(bpf::load(kind, None), link)
}

fn attached(program: io::Result<OwnedFd>, link: impl FnOnce(BorrowedFd<'_>) -> io::Result<()>) -> Support {
    match program {
        Err(error) => Support::refused("loading", &error),
        Ok(program) => Support::of("attaching", link(program.as_fd())),
    }
}

fn map(kind: MapType) -> Support {
    match is_map_supported(kind) {
        Ok(true) => Support::Yes,
        Ok(false) => Support::Unsupported("the kernel does not support this map type".to_owned()),
        Err(error) => Support::refused("creating", &error.io_error),
    }
}

/// Without permission the kernel shows every address as zero (kernel/kallsyms.c).
fn kernel_symbols() -> Support {
    match std::fs::File::open("/proc/kallsyms").map(io::BufReader::new) {
        Err(error) => Support::refused("reading /proc/kallsyms", &error),
        Ok(lines) => {
            let shown = io::BufRead::lines(lines)
                .map_while(Result::ok)
                // The first symbols of x86-64 are per-CPU offsets, of which some are truly zero.
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

fn tracefs() -> Support {
    match in_tracefs("events/sched/sched_switch/format") {
        Ok(_) => Support::Yes,
        // Who may not enter the folder cannot tell whether anything is mounted there.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            Support::Forbidden("/sys/kernel/tracing is not readable".to_owned())
        }
        Err(_) => Support::Unsupported("not mounted at /sys/kernel/tracing".to_owned()),
    }
}

/// The path of a readable file of tracefs, which has had a mount point of its own since 4.1; older habits mount it
/// below debugfs.
pub(super) fn in_tracefs(name: &str) -> io::Result<PathBuf> {
    let mut refusal = io::Error::from_raw_os_error(libc::ENOENT);
    for root in ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"] {
        let path = Path::new(root).join(name);
        match std::fs::File::open(&path) {
            Ok(_) => return Ok(path),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => refusal = error,
            // A kernel that is locked down makes no files there (`tracefs_create_file`, fs/tracefs/inode.c, 5.4).
            Err(_) if statfs(root).is_ok_and(|mounted| mounted.filesystem_type() == TRACEFS_MAGIC) => {
                refusal = io::Error::from_raw_os_error(libc::EPERM);
            }
            Err(_) => {}
        }
    }
    Err(refusal)
}

fn locked_memory() -> Option<Bytes> {
    match getrlimit(Resource::RLIMIT_MEMLOCK) {
        Ok((limit, _)) if limit != RLIM_INFINITY => Some(Bytes(limit)),
        _ => None,
    }
}

fn lower_first(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_lowercase().chain(letters).collect()).unwrap_or_default()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    impl Features {
        /// Those of a host where everything works.
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
                }),
                mechanisms: Mechanisms {
                    tp_btf: Support::Yes,
                    raw_tracepoint: Support::Yes,
                    tracepoint: Support::Yes,
                    kprobe: Support::Yes,
                    fentry: Support::Yes,
                    lsm: Support::Yes,
                    iter_task: Support::Yes,
                },
                ring_buffer: Support::Yes,
                task_storage: Support::Yes,
                helpers: Helpers { task_pt_regs: Support::Yes, current_ancestor_cgroup_id: Support::Yes },
                programs: PROBES
                    .iter()
                    .map(|probe| Tried { probe: probe.spec().name, programs: Availability::Ready })
                    .collect(),
                perf: PerfEvents {
                    cpu_clock: Support::Yes,
                    cycles: Support::Yes,
                    program: Support::Yes,
                    paranoid: Some(2),
                    max_sample_rate: Some(100_000),
                },
                kernel_symbols: Support::Yes,
                tracefs: Support::Yes,
                jit: Some(true),
                lockdown: Some("none".to_owned()),
                unprivileged_bpf_disabled: Some(2),
                kptr_restrict: Some(0),
                locked_memory: Some(Bytes(8 << 20)),
                capabilities: Capabilities(u64::MAX),
                initial_pid_namespace: true,
            }
        }

        /// Those of an unprivileged process on the same host.
        pub(crate) fn unprivileged() -> Self {
            let refused = || Support::Forbidden("loading: EPERM, operation not permitted".to_owned());
            Self {
                mechanisms: Mechanisms {
                    tp_btf: refused(),
                    raw_tracepoint: refused(),
                    tracepoint: refused(),
                    kprobe: refused(),
                    fentry: refused(),
                    lsm: refused(),
                    iter_task: refused(),
                },
                ring_buffer: refused(),
                task_storage: refused(),
                helpers: Helpers { task_pt_regs: refused(), current_ancestor_cgroup_id: refused() },
                perf: PerfEvents { cpu_clock: refused(), cycles: refused(), program: refused(), ..Self::all().perf },
                kernel_symbols: Support::Forbidden("/proc/kallsyms does not contain addresses".to_owned()),
                tracefs: Support::Forbidden("/sys/kernel/tracing is not readable".to_owned()),
                capabilities: Capabilities(0),
                ..Self::all()
            }
        }
    }

    #[test]
    fn the_kernels_answers_are_told_apart() {
        let refused = |number| Support::refused("loading", &io::Error::from_raw_os_error(number));
        assert_eq!(refused(libc::EPERM), Support::Forbidden("loading: EPERM, operation not permitted".to_owned()));
        assert!(matches!(refused(libc::EINVAL), Support::Unsupported(_)));
        assert_eq!(refused(524), Support::Unsupported("loading: ENOTSUPP, not supported".to_owned()));
        assert!(matches!(refused(libc::ENOMEM), Support::Failed(_)));
    }
}
