//! Run-queue latency, from the statistics of the scheduler, read at context switches.

#[path = "../../../../ebpf/programs/src/runqueue/abi.rs"]
#[allow(unreachable_pub, reason = "the programs include this file too")]
mod abi;

use std::collections::BTreeMap;

use quell_ebpf_common::Distribution;

use super::availability::Verdict;
use super::{Availability, BadRecord, ProbeConfig, ProbeError, ProbeSpec, RunningProbe};
use crate::bpf::{BpfObject, Entries, Features, Hook, ProbeMap, Record, distribution};
use crate::host;
use crate::recording::{CodeLocator, Histogram, MetricId, MetricKind, MetricSpec, RecordingBuilder, Scope, Unit};
use crate::units::{CpuId, CpuSet, Nanos, Pid};

/// The number of the probe in records.
pub(super) const NUMBER: u16 = abi::PROBE;

/// The probe `runqueue`.
pub(super) struct Probe;

static SPEC: ProbeSpec = ProbeSpec {
    name: "runqueue",
    number: NUMBER,
    label: "Run queue",
    doc: "run-queue latency: how long runnable threads wait for a CPU, counted by CPU and by cgroup",
    events: &["tp_btf sched_switch"],
    hooks: &[Hook::Switch],
    kernel: "5.10",
    cost: "about 0.1 us per context switch",
    samples: false,
    fields: abi::FIELDS,
    maps: &[
        ProbeMap { name: "RUNQUEUE_THREADS", entries: Entries::Threads },
        ProbeMap { name: "RUNQUEUE_CGROUPS", entries: Entries::Fixed(2 * abi::CGROUPS) },
    ],
    // In the order of `abi::WOKEN` and `abi::PREEMPTED`.
    metrics: &[wait("runqueue.woken", "woken"), wait("runqueue.preempted", "preempted")],
};

const fn wait(name: &'static str, label: &'static str) -> MetricSpec {
    MetricSpec { name, label, unit: Unit::Nanoseconds, kind: MetricKind::Interval }
}

impl super::Probe for Probe {
    fn spec(&self) -> &'static ProbeSpec {
        &SPEC
    }

    fn needs(&self, features: &Features) -> Availability {
        let mut verdict = Verdict::default();
        if let Err(why) = &features.offsets {
            verdict.obstacle(why);
        }
        verdict.need("tp_btf", &features.mechanisms.tp_btf);
        verdict.need("the ring-buffer map", &features.ring_buffer);
        verdict.common(features);
        verdict.into()
    }

    fn start(&self, object: &mut BpfObject, config: &ProbeConfig) -> Result<Box<dyn RunningProbe>, ProbeError> {
        SPEC.hooks.iter().try_for_each(|hook| object.attach_hook(*hook))?;
        Ok(Box::new(Counting { cpus: config.cpus.clone(), first: MetricId(0) }))
    }
}

struct Counting {
    cpus: CpuSet,
    /// The first metric of the probe.
    first: MetricId,
}

impl Counting {
    fn metric(&self, metric: u32) -> MetricId {
        MetricId::from_index(self.first.index() + metric as usize)
    }
}

impl RunningProbe for Counting {
    fn mechanism(&self) -> String {
        "tp_btf sched_switch".to_owned()
    }

    fn begin(&mut self, _object: &mut BpfObject) -> Result<(), ProbeError> {
        Ok(())
    }

    fn declared(&mut self, first: MetricId) {
        self.first = first;
    }

    fn decode(
        &mut self,
        _record: &Record<'_>,
        _out: &mut RecordingBuilder,
        _code: &mut dyn CodeLocator,
    ) -> Result<(), BadRecord> {
        Err(BadRecord)
    }

    fn stop(&mut self, _object: &mut BpfObject) -> Result<(), ProbeError> {
        Ok(())
    }

    fn finish(
        self: Box<Self>,
        object: &BpfObject,
        _end: Nanos,
        _own: &[Pid],
        out: &mut RecordingBuilder,
    ) -> Result<(), ProbeError> {
        let mut add = |metric, scope, distribution: &Distribution| {
            let counts = distribution::merged([distribution]);
            out.histograms.extend(counts.map(|counts| Histogram { metric: self.metric(metric), scope, counts }));
            distribution.counts.iter().sum::<u64>()
        };
        let (mut on_cpus, mut in_cgroups) = (0, 0);
        for metric in [abi::WOKEN, abi::PREEMPTED] {
            for (cpu, counted) in (0..).map(CpuId).zip(object.per_cpu::<Distribution>("RUNQUEUE_CPUS", metric)?) {
                if self.cpus.contains(cpu) {
                    on_cpus += add(metric, Scope::Cpu(cpu), &counted);
                }
            }
        }
        let cgroups: BTreeMap<(u64, u64), Distribution> = (object.entries("RUNQUEUE_CGROUPS")?.into_iter())
            .map(|(abi::CgroupMetric { cgroup, metric }, counted)| ((metric, cgroup), counted))
            .collect();
        let paths = host::cgroup_paths(&cgroups.keys().map(|(_, cgroup)| *cgroup).collect());
        for ((metric, cgroup), counted) in &cgroups {
            let path = paths.get(cgroup).cloned().unwrap_or_else(|| format!("unknown cgroup {cgroup}"));
            in_cgroups += add(*metric as u32, Scope::Cgroup(path), counted);
        }
        if cgroups.len() >= 2 * abi::CGROUPS as usize && in_cgroups < on_cpus {
            out.remarks.push(format!(
                "runqueue: {} of {on_cpus} waits are not in the distributions by cgroup, which are limited to {} cgroups",
                on_cpus - in_cgroups,
                abi::CGROUPS,
            ));
        }
        Ok(())
    }
}
