//! The perf events that quell can open on this host.

use std::os::fd::{AsRawFd, OwnedFd};

use perf_event::events::{Event, Hardware, KProbe, Software};
use perf_event::{Builder, Counter};

use super::Support;
use crate::host;
use crate::units::CpuSet;

/// Perf events, and the settings that limit them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PerfEvents {
    /// Whether the timer event `cpu-clock` can be opened for all processes on a CPU.
    pub cpu_clock: Support,
    /// Whether the hardware counter `cycles` can be opened. A host without a PMU, such as most virtual machines, does not have
    /// it.
    pub cycles: Support,
    /// Whether a program can be attached to a perf event.
    pub program: Support,
    /// `kernel.perf_event_paranoid`: the events that are permitted without `CAP_PERFMON`.
    pub paranoid: Option<i64>,
    /// `kernel.perf_event_max_sample_rate` in Hz. The kernel lowers it if interrupts take too long.
    pub max_sample_rate: Option<i64>,
}

impl PerfEvents {
    /// Opens an event of each kind, disabled, on the first of `cpus`. `program` is a loaded program of type `perf_event`.
    pub(super) fn detect(cpus: &CpuSet, program: &std::io::Result<OwnedFd>) -> Self {
        let cpu = cpus.iter().next().map_or(0, |cpu| cpu.0 as usize);
        let cpu_clock = open(Software::CPU_CLOCK, cpu);
        let attached = match (program, cpu_clock.as_ref()) {
            (Err(error), _) => Support::refused("loading", error),
            (_, Err(error)) => Support::refused("opening cpu-clock", error),
            (Ok(program), Ok(_)) => Support::of("attaching", attach(cpu, program)),
        };
        Self {
            cpu_clock: Support::of("opening", cpu_clock.map(drop)),
            cycles: Support::of("opening", open(Hardware::CPU_CYCLES, cpu).map(drop)),
            program: attached,
            paranoid: host::number("/proc/sys/kernel/perf_event_paranoid"),
            max_sample_rate: host::number("/proc/sys/kernel/perf_event_max_sample_rate"),
        }
    }
}

/// Opens the kprobe event for `function`, without enabling it.
pub(super) fn kprobe(function: &std::ffi::CStr, cpus: &CpuSet) -> std::io::Result<()> {
    let cpu = cpus.iter().next().map_or(0, |cpu| cpu.0 as usize);
    let event = KProbe::probe(function.to_bytes(), 0)?;
    open(event, cpu).map(drop)
}

fn open<E: Event>(event: E, cpu: usize) -> std::io::Result<Counter> {
    Builder::new(event).any_pid().one_cpu(cpu).include_kernel().build()
}

fn attach(cpu: usize, program: &OwnedFd) -> std::io::Result<()> {
    // The kernel accepts a program only for a sampling event, because it replaces the event's overflow handler
    // (kernel/events/core.c, perf_event_set_bpf_handler).
    Builder::new(Software::CPU_CLOCK)
        .any_pid()
        .one_cpu(cpu)
        .include_kernel()
        .sample_frequency(1)
        .build()?
        .set_bpf(program.as_raw_fd())
}
