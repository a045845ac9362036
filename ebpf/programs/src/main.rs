//! quell's eBPF programs: what runs inside the kernel.
//!
//! - [`cpu`]: a timer or counter interrupt samples what runs.
//! - [`sched`]: context switches, wake-ups and forks: off-CPU time.
//! - [`walk`]: an iterator over all tasks: those that sleep when a capture begins or ends.
//!
//! Each writes records of `quell_ebpf_common` into the ring of its CPU ([`record`]).

#![no_std]
#![no_main]

mod cpu;
mod maps;
mod record;
mod sched;
mod settings;
mod task;
mod value;
mod walk;

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo) -> ! {
    // The verifier proves that no path comes here: a panic would be an endless loop, which it refuses.
    loop {}
}

/// Some helpers are for GPL-compatible programs only (`bpf_get_stack`, kernel/bpf/stackmap.c).
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
