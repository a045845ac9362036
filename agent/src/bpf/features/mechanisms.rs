//! Mechanisms to run a program on an event.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::{Support, perf};
use crate::host::Btf;
use crate::sys::bpf::{self, AttachType, ProgramType};
use crate::units::CpuSet;

/// The mechanisms to run a program on an event. Each is tried by loading and attaching a program that does nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mechanisms {
    /// A raw tracepoint with typed arguments (5.5).
    pub tp_btf: Support,
    /// A kernel function, by breakpoint. The program is loaded and the event is opened.
    pub kprobe: Support,
    /// A kernel function, by trampoline (5.5).
    pub fentry: Support,
    /// A task iterator (5.8).
    pub iter_task: Support,
}

impl Mechanisms {
    pub(super) fn detect(btf: Option<&Btf>, cpus: &CpuSet) -> Self {
        // A function that only the kernel's self-test calls (net/bpf/test_run.c), so attaching to it has no side effects.
        const QUIET: &CStr = c"bpf_fentry_test1";
        let quiet = btf.and_then(|btf| btf.function_id("bpf_fentry_test1"));
        let tasks = btf.and_then(|btf| btf.function_id("bpf_iter_task"));
        let switch = btf.and_then(|btf| btf.tracepoint_id("sched_switch"));
        Self {
            tp_btf: typed(AttachType::BPF_TRACE_RAW_TP, switch, bpf::attach_tracing),
            kprobe: attached(bpf::load(ProgramType::BPF_PROG_TYPE_KPROBE, None), |_| perf::kprobe(QUIET, cpus)),
            fentry: typed(AttachType::BPF_TRACE_FENTRY, quiet, bpf::attach_tracing),
            iter_task: typed(AttachType::BPF_TRACE_ITER, tasks, bpf::link_iterator),
        }
    }
}

/// Tries a program whose attach target is identified by a BTF type ID.
fn typed(attach: AttachType, target: Option<u32>, link: impl FnOnce(BorrowedFd<'_>) -> io::Result<OwnedFd>) -> Support {
    let Some(target) = target else {
        return Support::Unsupported("the kernel's BTF does not contain the attach target".to_owned());
    };
    let program = bpf::load(ProgramType::BPF_PROG_TYPE_TRACING, Some((attach, target)));
    attached(program, |program| link(program).map(drop))
}

fn attached(program: io::Result<OwnedFd>, link: impl FnOnce(BorrowedFd<'_>) -> io::Result<()>) -> Support {
    match program {
        Err(error) => Support::refused("loading", &error),
        Ok(program) => Support::of("attaching", link(program.as_fd())),
    }
}
