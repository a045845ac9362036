//! quell's eBPF programs: what runs inside the kernel.
//!
//! There is one program for each [hook]: it finds out what every probe needs to know of the event and calls those
//! probes that are on. A probe is a folder: what it does at which hook, and in `abi.rs` what it shares with the user
//! side. Records go into the ring of their CPU ([`record`]). [`pace`] keeps sampling within what it may cost.

#![no_std]
#![no_main]
// For one instruction that `core` has no function for: see `filter`.
#![feature(asm_experimental_arch)]

mod distribution;
mod filter;
mod hook;
mod maps;
mod pace;
mod random;
mod record;
mod settings;
mod target;
mod task;
mod thread;
mod value;

macro_rules! probe_modules {
    ($($probe:ident = $number:literal,)+) => { $(mod $probe;)+ };
}
quell_ebpf_common::probes!(probe_modules);

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo) -> ! {
    // The verifier proves that no path comes here: a panic would be an endless loop, which it refuses.
    loop {}
}

/// Some helpers are for GPL-compatible programs only (`bpf_get_stack`, kernel/bpf/stackmap.c).
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
