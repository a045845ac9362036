//! Kernel functions that a profile handles specially.

use crate::recording::{Frame, Location};

/// Kernel functions between the code of a thread and the BPF program (kernel/trace/bpf_trace.c,
/// include/linux/tracepoint.h, kernel/sched/core.c).
pub(super) fn is_tracing(frame: &Frame) -> bool {
    const PREFIXES: [&str; 4] = ["bpf_prog_", "bpf_trace_run", "__bpf_trace_", "__traceiter_"];
    // Every switch goes through these. The task iterator leaves them out, so that with them the same wait would be two.
    const SWITCH: [&str; 2] = ["__schedule", "schedule"];
    matches!(frame.location, Location::Kernel(_))
        && frame.symbol.as_ref().is_some_and(|symbol| {
            SWITCH.contains(&symbol.name.as_str()) || PREFIXES.iter().any(|prefix| symbol.name.starts_with(prefix))
        })
}

/// Whether a frame is the entry of an interrupt.
pub(super) fn is_interrupt_entry(frame: &Frame) -> bool {
    matches!(frame.location, Location::Kernel(_))
        && frame.symbol.as_ref().is_some_and(|symbol| begins_interrupt(&symbol.name))
}

/// Whether a kernel function is the entry of an interrupt (arch/x86/entry, kernel/softirq.c).
pub(crate) fn begins_interrupt(name: &str) -> bool {
    const PREFIXES: [&str; 6] =
        ["asm_sysvec_", "asm_common_interrupt", "common_interrupt", "asm_exc_nmi", "el1h_64_irq", "el0t_64_irq"];
    const NAMES: [&str; 4] = ["handle_softirqs", "__do_softirq", "__irq_exit_rcu", "irq_exit_rcu"];
    NAMES.contains(&name) || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}
