//! CPU sampling by perf events: by hardware cycles if the host has a PMU, and otherwise by the CPU clock.

#[path = "../../../../ebpf/programs/src/cpu/abi.rs"]
#[allow(unreachable_pub, reason = "the programs include this file too")]
mod abi;
mod period;
mod stolen;

use std::io;

use perf_event::Counter;
use quell_ebpf_common::LastInterrupt;
use quell_ebpf_common::pace::FULL;

use super::availability::Verdict;
use super::{Availability, BadRecord, ProbeConfig, ProbeError, ProbeSpec, RunningProbe};
use crate::bpf::{BpfObject, Features, Hook, Record, is_permission};
use crate::perf::{CpuEvent, Opener};
use crate::recording::{CodeLocator, MetricId, MetricKind, MetricSpec, RecordingBuilder, Sample, Unit};
use crate::units::{CpuId, CpuSet, Hertz, Nanos, Pid, Tid};
use period::PeriodTime;

/// The number of the probe in records.
pub(super) const NUMBER: u16 = abi::PROBE;

/// The probe `cpu`.
pub(super) struct Probe;

static SPEC: ProbeSpec = ProbeSpec {
    name: "cpu",
    number: NUMBER,
    label: "On-CPU",
    doc: "on-CPU time: user and kernel stacks of running threads, sampled on every CPU",
    events: &["perf_event cycles", "perf_event cpu-clock"],
    hooks: &[Hook::Interrupt],
    kernel: "5.10",
    cost: "about 10 us per sample; 99 samples per second on each busy CPU",
    samples: true,
    fields: &[],
    maps: &[],
    metrics: &[MetricSpec { name: "cpu", label: "on CPU", unit: Unit::Nanoseconds, kind: MetricKind::Instant }],
};

impl super::Probe for Probe {
    fn spec(&self) -> &'static ProbeSpec {
        &SPEC
    }

    fn needs(&self, features: &Features) -> Availability {
        let mut verdict = Verdict::default();
        verdict.need("BPF on perf events", &features.perf.program);
        verdict.need("the event cpu-clock", &features.perf.cpu_clock);
        verdict.need("the ring-buffer map", &features.ring_buffer);
        if !features.perf.cycles.is_yes() {
            verdict.miss("no hardware cycle counter: a timer samples instead, and code with interrupts disabled is attributed to the code after it");
        }
        verdict.common(features);
        verdict.into()
    }

    fn start(&self, object: &mut BpfObject, config: &ProbeConfig) -> Result<Box<dyn RunningProbe>, ProbeError> {
        let program = object.interrupt_program()?;
        let cpus = config.cpus.difference(&config.isolated);
        let (clock, mut events) = match open(Clock::Cycles, config.frequency, &cpus) {
            Ok(events) => (Clock::Cycles, events),
            Err(ProbeError::PerfEvent { source, .. }) if !is_permission(&source) => {
                (Clock::CpuClock, open(Clock::CpuClock, config.frequency, &cpus)?)
            }
            Err(error) => return Err(error),
        };
        for (cpu, event) in &mut events {
            event.set_bpf(program).map_err(|source| perf_error(*cpu, source))?;
        }
        let (frequency, isolated) = (config.frequency, config.isolated.clone());
        let period = PeriodTime::new(frequency.interval());
        Ok(Box::new(Sampling { clock, events, frequency, isolated, period, metric: None }))
    }
}

/// The event that causes the sampling interrupts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Clock {
    /// The cycle counter of the PMU, with a fixed period. Its interrupt is an NMI, so it also samples code with interrupts disabled.
    Cycles,
    /// A timer. Code with interrupts disabled is attributed to the code after it.
    CpuClock,
}

impl Clock {
    fn event(self, frequency: Hertz) -> CpuEvent {
        match self {
            Self::Cycles => CpuEvent::Cycles { frequency },
            Self::CpuClock => CpuEvent::CpuClock { frequency },
        }
    }
}

/// Opens the event of each CPU, disabled.
fn open(clock: Clock, frequency: Hertz, cpus: &CpuSet) -> Result<Vec<(CpuId, Counter)>, ProbeError> {
    let event = clock.event(frequency);
    let open_on = |cpu| Ok((cpu, event.open(cpu).map_err(|source| perf_error(cpu, source))?));
    cpus.iter().map(open_on).collect()
}

fn perf_error(cpu: CpuId, source: io::Error) -> ProbeError {
    if is_permission(&source) {
        return ProbeError::Permission("CAP_PERFMON (or CAP_SYS_ADMIN, or kernel.perf_event_paranoid below 1)");
    }
    ProbeError::PerfEvent { cpu, source }
}

struct Sampling {
    clock: Clock,
    events: Vec<(CpuId, Counter)>,
    frequency: Hertz,
    /// The CPUs that are not sampled.
    isolated: CpuSet,
    /// The time of a period of the event.
    period: PeriodTime,
    metric: Option<MetricId>,
}

impl RunningProbe for Sampling {
    fn mechanism(&self) -> String {
        match self.clock {
            Clock::Cycles => "perf_event cycles".to_owned(),
            Clock::CpuClock => "perf_event cpu-clock (no PMU)".to_owned(),
        }
    }

    fn begin(&mut self, _object: &mut BpfObject) -> Result<(), ProbeError> {
        for (cpu, event) in &mut self.events {
            event.enable().map_err(|source| perf_error(*cpu, source))?;
        }
        Ok(())
    }

    fn cpu_event(&self) -> Option<CpuEvent> {
        Some(self.clock.event(self.frequency))
    }

    fn cpu_online(&mut self, object: &mut BpfObject, cpu: CpuId, opener: &mut Opener) -> Result<(), ProbeError> {
        if self.isolated.contains(cpu) {
            return Ok(());
        }
        // The event of the CPU ended when it went offline.
        self.events.retain(|(of, _)| *of != cpu);
        let event = opener.open(self.clock.event(self.frequency), cpu);
        let mut event = event.map_err(|source| perf_error(cpu, source))?;
        let program = object.interrupt_program()?;
        event.set_bpf(program).and_then(|()| event.enable()).map_err(|source| perf_error(cpu, source))?;
        self.events.push((cpu, event));
        Ok(())
    }

    fn declared(&mut self, first: MetricId) {
        self.metric = Some(first);
    }

    fn decode(
        &mut self,
        record: &Record<'_>,
        out: &mut RecordingBuilder,
        code: &mut dyn CodeLocator,
    ) -> Result<(), BadRecord> {
        if record.header.kind != abi::CPU_SAMPLE {
            return Err(BadRecord);
        }
        let (sample, raw) = record.with_stacks(|sample: &abi::CpuSample| sample.stacks).ok_or(BadRecord)?;
        let pid = Pid(sample.header.tgid);
        let cpu = CpuId(sample.header.cpu);
        // A period of the timer is a fixed time. Its interrupts may be late.
        if self.clock == Clock::Cycles && sample.ran != 0 {
            self.period.measure(cpu, Nanos(sample.ran));
        }
        let ran = if sample.ran == 0 { self.period.get(cpu) } else { Nanos(sample.ran) };
        let metric = self.metric.ok_or(BadRecord)?;
        let time = out.since_begin(Nanos(sample.header.time));
        let thread = out.thread(pid, Tid(sample.header.tid), sample.comm);
        let sample = Sample { cpu, probability: probability(sample.odds), ..Sample::new(metric, thread, time, ran.0) };
        let walked = out.stack(pid, raw, code);
        out.push(sample, walked);
        Ok(())
    }

    fn stop(&mut self, _object: &mut BpfObject) -> Result<(), ProbeError> {
        for (cpu, event) in &mut self.events {
            event.disable().map_err(|source| perf_error(*cpu, source))?;
        }
        Ok(())
    }

    fn finish(
        self: Box<Self>,
        object: &BpfObject,
        end: Nanos,
        _own: &[Pid],
        out: &mut RecordingBuilder,
    ) -> Result<(), ProbeError> {
        let runs = object.runs_by_cpu(Hook::Interrupt)?;
        let last = object.per_cpu::<LastInterrupt>("LAST_INTERRUPT", 0)?;
        for (cpu, _) in &self.events {
            let (Some(runs), Some(last)) = (runs.get(cpu.0 as usize), last.get(cpu.0 as usize)) else { continue };
            // An idle CPU may have no interrupts at all.
            let busy = runs.runs.saturating_sub(last.idle) as f64 * self.period.get(*cpu).0 as f64;
            out.idle.insert(*cpu, (1.0 - busy / out.since_begin(end).0.max(1) as f64).clamp(0.0, 1.0));
        }
        if let Some(metric) = self.metric {
            stolen::take_out(&mut out.samples, metric, self.frequency.interval(), &out.stolen);
        }
        Ok(())
    }
}

/// A probability in units of 2^-32; [`FULL`] is exactly 1.
fn probability(odds: u32) -> f64 {
    if odds == FULL { 1.0 } else { f64::from(odds) / 4_294_967_296.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bpf::Support;
    use crate::probe::Probe as _;

    #[test]
    fn a_host_without_a_pmu_degrades_it() {
        let mut features = Features::all();
        features.perf.cycles = Support::Unsupported("opening: ENOENT".to_owned());
        assert!(matches!(Probe.needs(&features), Availability::Degraded(why) if why.contains("cycle counter")));
    }
}
