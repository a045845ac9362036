//! The perf events that quell opens on each CPU.

use std::io;

use perf_event::events::{Hardware, Software};
use perf_event::{Builder, Clock, Counter, SampleFlag};
use serde::{Deserialize, Serialize};

use super::cycles;
use crate::units::{CpuId, Hertz};

/// An event of all processes on one CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CpuEvent {
    /// The cycle counter of the PMU. It runs a program about `frequency` times in each second in which the CPU is busy.
    Cycles {
        /// The rate at the maximum frequency of the CPU.
        frequency: Hertz,
    },
    /// A timer that runs a program.
    CpuClock {
        /// The rate.
        frequency: Hertz,
    },
    /// Reports new executable mappings and executed programs.
    Mappings,
    /// Also reports that processes are created and exit.
    MappingsAndProcesses,
    /// Reports new kernel code. An event of its own, since every user can fill the ring buffer of mappings.
    KernelCode,
}

impl CpuEvent {
    /// Opens the event on a CPU, disabled.
    ///
    /// # Errors
    /// The error of perf_event_open(2).
    pub fn open(self, cpu: CpuId) -> io::Result<Counter> {
        self.builder(cpu).build()
    }

    /// The attributes of the event.
    pub(super) fn builder(self, cpu: CpuId) -> Builder<'static> {
        let mut builder = match self {
            Self::Cycles { frequency } => sampling(Builder::new(Hardware::CPU_CYCLES), cycles::period(cpu, frequency)),
            Self::CpuClock { frequency } => sampling(Builder::new(Software::CPU_CLOCK), frequency.interval().0),
            Self::Mappings => mappings(),
            Self::MappingsAndProcesses => {
                let mut builder = mappings();
                builder.task(true);
                builder
            }
            Self::KernelCode => {
                let mut builder = reporting();
                builder.ksymbol(true);
                builder
            }
        };
        builder.any_pid().one_cpu(cpu.0 as usize).enabled(false);
        builder
    }
}

fn sampling(mut builder: Builder<'static>, period: u64) -> Builder<'static> {
    builder.sample_period(period).include_kernel().exclude_hv(false);
    builder
}

fn mappings() -> Builder<'static> {
    let mut builder = reporting();
    builder.mmap(true).mmap2(true).comm(true).comm_exec(true);
    builder
}

/// An event that only writes records about what happens, each with its time.
fn reporting() -> Builder<'static> {
    let mut builder = Builder::new(Software::DUMMY);
    builder.sample(SampleFlag::TIME).sample_id_all(true).clockid(Clock::MONOTONIC);
    builder
}
