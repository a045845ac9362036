//! CPU sampling by perf events: hardware cycles where there is a PMU, else the CPU clock.

use std::io;

use perf_event::events::{Hardware, Software};
use perf_event::{Builder, Counter};

use super::{Attached, Availability, BpfObject, Probe, ProbeConfig, ProbeError, ProbeSpec, ProgramEvents};
use crate::collect::SamplingRates;
use crate::host::{self, Features};
use crate::recording::{MetricKind, MetricSpec, Unit};
use crate::sys;
use crate::units::{CpuId, CpuSet, Hertz, Nanos};

/// The probe `cpu`.
pub(super) struct Cpu;

static SPEC: ProbeSpec = ProbeSpec {
    name: "cpu",
    label: "On-CPU",
    doc: "where threads run: user and kernel stacks, sampled on every CPU",
    events: &["perf_event cycles", "perf_event cpu-clock"],
    kernel: "5.10",
    cost: "about 10 us per sample, 99 samples a second on each busy CPU",
    metrics: &[MetricSpec { name: "cpu", label: "on CPU", unit: Unit::Nanoseconds, kind: MetricKind::Instant }],
};

static PROGRAMS: &[ProgramEvents] =
    &[ProgramEvents { program: "quell_cpu", event: "interrupt", count: |counts| counts.interrupts }];

impl Probe for Cpu {
    fn spec(&self) -> &'static ProbeSpec {
        &SPEC
    }

    fn needs(&self, features: &Features) -> Availability {
        host::cpu(features)
    }

    fn load(&self, object: &mut BpfObject) -> Result<Availability, ProbeError> {
        object.load_perf_event("quell_cpu")?;
        Ok(Availability::Ready)
    }

    fn attach(&self, object: &mut BpfObject, config: &ProbeConfig) -> Result<Box<dyn Attached>, ProbeError> {
        let program = object.perf_event("quell_cpu")?;
        let (clock, mut events) = match open(Clock::Cycles, config.frequency, &config.cpus) {
            Ok(events) => (Clock::Cycles, events),
            Err(ProbeError::PerfEvent { source, .. }) if !super::object::is_permission(&source) => {
                (Clock::CpuClock, open(Clock::CpuClock, config.frequency, &config.cpus)?)
            }
            Err(error) => return Err(error),
        };
        for (cpu, event) in &mut events {
            event.set_bpf(program).map_err(|source| perf_error(*cpu, source))?;
        }
        Ok(Box::new(Sampling { clock, events }))
    }
}

/// What makes the interrupts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Clock {
    /// The PMU's cycle counter, which also interrupts where interrupts are off (NMI).
    Cycles,
    /// A timer. It does not fire where interrupts are off, so that such code shows up as what comes after it.
    CpuClock,
}

fn open(clock: Clock, frequency: Hertz, cpus: &CpuSet) -> Result<Vec<(CpuId, Counter)>, ProbeError> {
    cpus.iter()
        .map(|cpu| {
            let mut builder = match clock {
                Clock::Cycles => {
                    let mut builder = Builder::new(Hardware::CPU_CYCLES);
                    builder.sample_frequency(u64::from(frequency.0));
                    builder
                }
                Clock::CpuClock => {
                    let mut builder = Builder::new(Software::CPU_CLOCK);
                    builder.sample_period(frequency.interval().0);
                    builder
                }
            };
            builder.any_pid().one_cpu(cpu.0 as usize).include_kernel().exclude_hv(false).enabled(false);
            Ok((cpu, builder.build().map_err(|source| perf_error(cpu, source))?))
        })
        .collect()
}

fn perf_error(cpu: CpuId, source: io::Error) -> ProbeError {
    if super::object::is_permission(&source) {
        return ProbeError::Permission("CAP_PERFMON (or CAP_SYS_ADMIN, or kernel.perf_event_paranoid below 1)");
    }
    ProbeError::PerfEvent { cpu, source }
}

struct Sampling {
    clock: Clock,
    events: Vec<(CpuId, Counter)>,
}

impl Attached for Sampling {
    fn mechanism(&self) -> String {
        match self.clock {
            Clock::Cycles => "perf_event cycles".to_owned(),
            Clock::CpuClock => "perf_event cpu-clock (no PMU)".to_owned(),
        }
    }

    fn programs(&self) -> &'static [ProgramEvents] {
        PROGRAMS
    }

    fn begin(&mut self, _object: &mut BpfObject) -> Result<(), ProbeError> {
        for (cpu, event) in &mut self.events {
            event.enable().map_err(|source| perf_error(*cpu, source))?;
        }
        Ok(())
    }

    fn set_rates(&mut self, rates: SamplingRates) -> io::Result<()> {
        for (_, event) in &self.events {
            let period = match self.clock {
                Clock::Cycles => (Nanos::SECOND.0 / rates.cpu_interval.0.max(1)).max(1),
                Clock::CpuClock => rates.cpu_interval.0,
            };
            sys::set_period(event, period)?;
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>, _object: &mut BpfObject) -> Result<(), ProbeError> {
        for (cpu, event) in &mut self.events {
            event.disable().map_err(|source| perf_error(*cpu, source))?;
        }
        Ok(())
    }
}
