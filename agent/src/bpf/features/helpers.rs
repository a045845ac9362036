//! BPF helpers that some kernels do not provide for tracing programs. They are detected by trying, because distributions
//! backport some of them.

use aya::programs::{ProgramError, ProgramType};
use aya::sys::{BpfHelper, is_helper_supported};

use super::Support;

/// The available helpers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Helpers {
    /// `bpf_task_pt_regs` (5.15, commit dd6e10fbd9fb).
    pub task_pt_regs: Support,
    /// `bpf_get_current_ancestor_cgroup_id` (for tracing programs since 5.15, kernel/trace/bpf_trace.c).
    pub current_ancestor_cgroup_id: Support,
}

impl Helpers {
    /// Tries each helper in a program that does nothing else.
    #[must_use]
    pub fn detect() -> Self {
        Self {
            task_pt_regs: tried(BpfHelper::BPF_FUNC_task_pt_regs),
            current_ancestor_cgroup_id: tried(BpfHelper::BPF_FUNC_get_current_ancestor_cgroup_id),
        }
    }
}

/// Tries a helper in a program of type `perf_event`, which has the helpers of tracing programs (`bpf_tracing_func_proto`,
/// kernel/trace/bpf_trace.c) and requires no attach target.
fn tried(helper: BpfHelper) -> Support {
    match is_helper_supported(ProgramType::PerfEvent, helper) {
        Ok(true) => Support::Yes,
        Ok(false) => Support::Unsupported("the kernel does not support this helper".to_owned()),
        Err(ProgramError::SyscallError(error)) => Support::refused("loading", &error.io_error),
        Err(error) => Support::Failed(error.to_string()),
    }
}
