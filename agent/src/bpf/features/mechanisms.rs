//! Ways to run a program on an event.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::{Support, perf};
use crate::host::Btf;
use crate::sys::bpf::{self, AttachType, ProgramType};
use crate::units::CpuSet;

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

impl Mechanisms {
    pub(super) fn detect(btf: Option<&Btf>, cpus: &CpuSet) -> Self {
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
            tracepoint: untyped(ProgramType::BPF_PROG_TYPE_TRACEPOINT, |program| perf::tracepoint(program, cpus)),
            kprobe: untyped(ProgramType::BPF_PROG_TYPE_KPROBE, |_| perf::kprobe(QUIET, cpus)),
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
        return Support::Unsupported("the kernel's BTF does not have what it attaches to".to_owned());
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
