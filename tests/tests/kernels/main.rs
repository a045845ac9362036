//! What quell does on a kernel, told by programs that know the truth: `cargo xtask vm` runs these in guests, each with
//! the kernel and the machine that it needs. On a host, those that the host cannot try are skipped.
//!
//! A row captures with one probe and no other, so that a probe that breaks turns its own rows red and none else.

mod cpu;
mod harness;
mod machine;
mod offcpu;

use std::process::ExitCode;

use harness::KernelTest;
use quell_tests::machine::{ISOLATED, PLAIN};

/// Every test: `PROBE::what`, `doctor::what` or `machine::what`.
const TESTS: &[KernelTest] = &[
    KernelTest { name: "cpu::process", machine: &PLAIN, run: cpu::process },
    KernelTest { name: "offcpu::every_event", machine: &PLAIN, run: offcpu::every_event },
    KernelTest { name: "machine::plain", machine: &PLAIN, run: machine::plain },
    KernelTest { name: "machine::isolated", machine: &ISOLATED, run: machine::isolated },
];

fn main() -> ExitCode {
    harness::run(TESTS)
}
