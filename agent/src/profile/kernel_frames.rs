//! Kernel functions that a profile handles specially.

use crate::recording::{Frame, Location};

/// The part that a kernel function has in the event of a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// The BPF program, or what calls it at a tracepoint (kernel/trace/bpf_trace.c, include/linux/tracepoint.h).
    Tracing,
    /// A context switch (kernel/sched/core.c). Every wait has these functions. The task iterator leaves them out, so that with them
    /// the same wait would be two.
    Switch,
    /// Code of a thread.
    Code,
}

/// The part of a frame.
pub(super) fn part(frame: &Frame) -> Part {
    const TRACING: [&str; 4] = ["bpf_prog_", "bpf_trace_run", "__bpf_trace_", "__traceiter_"];
    const SWITCH: [&str; 2] = ["__schedule", "schedule"];
    let Some(symbol) = frame.symbol.as_ref().filter(|_| matches!(frame.location, Location::Kernel(_))) else {
        return Part::Code;
    };
    if SWITCH.contains(&symbol.name.as_str()) {
        Part::Switch
    } else if TRACING.iter().any(|prefix| symbol.name.starts_with(prefix)) {
        Part::Tracing
    } else {
        Part::Code
    }
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
