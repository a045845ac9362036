//! What quell does on a kernel, told by programs that know the truth: `cargo xtask vm` runs these in guests, each with
//! the kernel and the machine that it needs. On a host, those that the host cannot try are skipped.
//!
//! A row captures with one probe and no other, so that a probe that breaks turns its own rows red and none else. Only
//! `cpu::no_ipis` and `cpu::tick_stays_off` capture with all: they are about whatever a capture does.

mod availability;
mod cpu;
mod disturbance;
mod doctor;
mod harness;
mod hotplug;
mod kept;
mod look;
mod machine;
mod offcpu;
mod reasons;
mod runqueue;
mod services;
mod shell;
mod smt;
mod tune;
mod values;

use std::process::ExitCode;

use harness::{HostCheck, KernelTest};
use quell_tests::machine::{EQUIPPED, ISOLATED, LOCKED_DOWN, PLAIN};

/// Every test: `PROBE::what`, `doctor::what`, `tune::what` or `machine::what`.
const TESTS: &[KernelTest] = &[
    KernelTest { name: "cpu::process", machine: &PLAIN, run: cpu::process },
    KernelTest { name: "cpu::host", machine: &PLAIN, run: cpu::host },
    KernelTest { name: "cpu::command", machine: &PLAIN, run: cpu::command },
    KernelTest { name: "cpu::children", machine: &PLAIN, run: cpu::children },
    KernelTest { name: "cpu::cgroup", machine: &PLAIN, run: cpu::cgroup },
    KernelTest { name: "cpu::one_cpu", machine: &PLAIN, run: cpu::one_cpu },
    KernelTest { name: "cpu::isolated", machine: &ISOLATED, run: cpu::isolated },
    KernelTest { name: "cpu::hotplug", machine: &PLAIN, run: hotplug::hotplug },
    KernelTest { name: "cpu::hotplug_restricted", machine: &PLAIN, run: hotplug::hotplug_restricted },
    KernelTest { name: "cpu::no_ipis", machine: &PLAIN, run: disturbance::no_ipis },
    KernelTest { name: "cpu::tick_stays_off", machine: &ISOLATED, run: disturbance::tick_stays_off },
    KernelTest { name: "cpu::availability", machine: &PLAIN, run: availability::cpu },
    KernelTest { name: "offcpu::every_event", machine: &PLAIN, run: offcpu::every_event },
    KernelTest { name: "offcpu::sampled", machine: &PLAIN, run: offcpu::sampled },
    KernelTest { name: "offcpu::preempted", machine: &PLAIN, run: offcpu::preempted },
    KernelTest { name: "offcpu::throttled", machine: &PLAIN, run: reasons::throttled },
    KernelTest { name: "offcpu::stopped", machine: &PLAIN, run: reasons::stopped },
    KernelTest { name: "offcpu::io_wait", machine: &PLAIN, run: offcpu::io_wait },
    KernelTest { name: "offcpu::wake_chain", machine: &PLAIN, run: offcpu::wake_chain },
    KernelTest { name: "offcpu::never_wakes", machine: &PLAIN, run: offcpu::never_wakes },
    KernelTest { name: "offcpu::found_asleep", machine: &PLAIN, run: offcpu::found_asleep },
    KernelTest { name: "offcpu::command", machine: &PLAIN, run: offcpu::command },
    KernelTest { name: "offcpu::children", machine: &PLAIN, run: offcpu::children },
    KernelTest { name: "offcpu::cgroup", machine: &PLAIN, run: offcpu::cgroup },
    KernelTest { name: "offcpu::one_cpu", machine: &PLAIN, run: offcpu::one_cpu },
    KernelTest { name: "offcpu::isolated", machine: &ISOLATED, run: offcpu::isolated },
    KernelTest { name: "offcpu::locked_down", machine: &LOCKED_DOWN, run: offcpu::locked_down },
    KernelTest { name: "runqueue::availability", machine: &PLAIN, run: availability::runqueue },
    KernelTest { name: "runqueue::waits", machine: &PLAIN, run: runqueue::waits },
    KernelTest { name: "offcpu::availability", machine: &PLAIN, run: availability::offcpu },
    KernelTest { name: "doctor::mechanisms", machine: &PLAIN, run: doctor::mechanisms },
    KernelTest { name: "doctor::without_btf", machine: &PLAIN, run: doctor::without_btf },
    KernelTest { name: "doctor::without_privileges", machine: &PLAIN, run: doctor::without_privileges },
    KernelTest { name: "doctor::locked_down", machine: &LOCKED_DOWN, run: doctor::locked_down },
    KernelTest { name: "tune::round_trip", machine: &EQUIPPED, run: tune::round_trip },
    KernelTest { name: "tune::no_silent_success", machine: &EQUIPPED, run: tune::no_silent_success },
    KernelTest { name: "tune::services", machine: &EQUIPPED, run: services::services },
    KernelTest { name: "tune::unconfirmed", machine: &EQUIPPED, run: services::unconfirmed },
    KernelTest { name: "tune::without_smt", machine: &ISOLATED, run: smt::without_smt },
    KernelTest { name: "tune::after_boot", machine: &EQUIPPED, run: tune::after_boot },
    KernelTest { name: "machine::plain", machine: &PLAIN, run: machine::plain },
    KernelTest { name: "machine::isolated", machine: &ISOLATED, run: machine::isolated },
    KernelTest { name: "machine::equipped", machine: &EQUIPPED, run: machine::equipped },
    KernelTest { name: "machine::idle_states", machine: &EQUIPPED, run: machine::idle_states },
    KernelTest { name: "machine::locked_down", machine: &LOCKED_DOWN, run: machine::locked_down },
];

/// What holds the kept verdicts against the tests, on the host: no test of a kernel.
const CHECKS: &[HostCheck] = &[
    HostCheck { name: "kept::every_probe_is_tested", run: kept::every_probe_is_tested },
    HostCheck { name: "kept::every_test_has_a_name_of_its_own", run: kept::every_test_has_a_name_of_its_own },
    HostCheck { name: "kept::every_test_has_verdicts", run: kept::every_test_has_verdicts },
    HostCheck { name: "kept::what_probes_claim_holds", run: kept::what_probes_claim_holds },
];

fn main() -> ExitCode {
    harness::run(TESTS, CHECKS)
}
