//! The metadata of a capture, which is written as `meta.json`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Losses, Metric, MetricId, ProbeFacts};
use crate::host::HostFacts;
use crate::units::{Bytes, CpuId, CpuSet, Nanos, Pid};

/// The version of the recording format. It is increased if a reader of the old version would misread the new one.
pub const SCHEMA_VERSION: u32 = 2;

/// The target of the capture.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Target {
    /// All threads.
    All,
    /// These processes and their descendants.
    Processes(Vec<Pid>),
    /// The threads of a cgroup (version 2) and of its descendants.
    Cgroup(String),
    /// The processes that match these options of quell, such as `--comm redis*`, and their descendants.
    Matching(Vec<String>),
    /// A command that quell started.
    Command(Vec<String>),
}

/// The cost of one program of a probe.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ProbeCost {
    /// The name of the probe.
    pub probe: String,
    /// The kernel mechanism, such as `perf_event cpu-clock` or `tp_btf sched_switch`.
    pub mechanism: String,
    /// The number of events.
    pub events: u64,
    /// The mean time of an event in nanoseconds, measured by the program; `None` if it was not measured.
    pub nanos_per_event: Option<f64>,
}

/// The cost of the capture.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Cost {
    /// The cost by probe and program.
    pub probes: Vec<ProbeCost>,
    /// The CPU time of quell itself during the capture, user and system.
    pub agent_cpu: Nanos,
    /// The share of one CPU that the programs and quell itself used, 1.0 for a whole CPU.
    pub cpu_share: f64,
    /// The kernel memory of BPF maps and ring buffers.
    pub map_memory: Bytes,
    /// The peak resident memory of quell itself.
    pub agent_memory: Bytes,
}

impl Cost {
    /// The cost of the programs in a capture of this length, as a share of one CPU; `None` if it was not measured.
    #[must_use]
    pub fn of_programs(&self, duration: Nanos) -> Option<f64> {
        let measured = || self.probes.iter().filter_map(|probe| Some(probe.nanos_per_event? * probe.events as f64));
        measured().next()?;
        Some(measured().sum::<f64>() / duration.0.max(1) as f64)
    }
}

/// The results of symbolization.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SymbolizeStats {
    /// The number of frames with a name.
    pub named: u64,
    /// The number of frames without a name, by reason.
    pub unnamed: BTreeMap<String, u64>,
}

impl SymbolizeStats {
    /// The number of frames without a name.
    #[must_use]
    pub fn unnamed_in_all(&self) -> u64 {
        self.unnamed.values().fold(0, |sum, count| sum.saturating_add(*count))
    }
}

/// A change of the sampling rate of a probe by rate control.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScaleChange {
    /// The time from the start of the capture.
    pub time: Nanos,
    /// The name of the probe.
    pub probe: String,
    /// The factor of the sampling probabilities from then on, on the CPU with the smallest factor: 1 for the full rate.
    pub scale: f64,
}

/// The budget and the changes by rate control.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Governing {
    /// The budget, as a share of one CPU; `None` for no limit.
    pub budget: Option<f64>,
    /// The maximum cost of counting in a tenth of a second, as a share of one CPU.
    pub counting: f64,
    /// The changes of the sampling rates, in order of time, without small ones.
    pub changes: Vec<ScaleChange>,
    /// Whether counting alone exceeded the budget.
    pub over_budget: bool,
}

/// The metadata of a capture.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Meta {
    /// The [`SCHEMA_VERSION`] of the writer.
    pub schema: u32,
    /// The version of quell that wrote the recording.
    pub quell: String,
    /// The command line of quell.
    pub command_line: Vec<String>,
    /// The target of the capture.
    pub target: Target,
    /// The captured CPUs.
    pub cpus: CpuSet,
    /// The probes of the capture.
    pub probes: Vec<ProbeFacts>,
    /// The metrics of the probes, indexed by [`MetricId`].
    pub metrics: Vec<Metric>,
    /// The host.
    pub host: HostFacts,
    /// The start of the capture, in nanoseconds since 1970 (`CLOCK_REALTIME`).
    pub start_realtime: Nanos,
    /// The start of the capture in `CLOCK_MONOTONIC`. Sample times are relative to it.
    pub start_monotonic: Nanos,
    /// The length of the capture.
    pub duration: Nanos,
    /// The requested frequency of the CPU probe, in Hz; 0 without this probe.
    pub frequency: u32,
    /// Whether all events were sampled, regardless of the cost.
    pub every_event: bool,
    /// The kernel's limit for the frames of a stack, `sysctl kernel.perf_event_max_stack`, when the capture ended; `None` if it
    /// was not read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_stack: Option<u32>,
    /// Remarks for the reader, such as a probe that works only partly, with the reason.
    pub remarks: Vec<String>,
    /// The exit code of the command that quell started, or 128 + the number of the signal that killed it.
    pub exit_code: Option<i32>,
    /// The share of the capture in which each captured CPU was idle, from 0 to 1, derived from the sampling interrupts of the
    /// CPU probe; empty without this probe.
    pub idle: BTreeMap<CpuId, f64>,
    /// The share of the capture that a hypervisor gave to other guests while the CPU had work (steal time), from 0 to 1, for
    /// each captured CPU; empty if it was not measured. CPU time does not include it.
    #[serde(default)]
    pub steal: BTreeMap<CpuId, f64>,
    /// The cost of the capture.
    pub cost: Cost,
    /// The data that was not captured.
    pub losses: Losses,
    /// The results of symbolization.
    pub symbols: SymbolizeStats,
    /// The budget and the changes by rate control.
    pub governing: Governing,
}

impl Meta {
    /// The metric with this ID.
    ///
    /// # Panics
    /// If the recording has no such metric. Readers check all IDs.
    #[must_use]
    pub fn metric(&self, id: MetricId) -> &Metric {
        &self.metrics[id.index()]
    }

    /// The metric with this name.
    #[must_use]
    pub fn metric_named(&self, name: &str) -> Option<MetricId> {
        self.metrics.iter().position(|metric| metric.name == name).map(MetricId::from_index)
    }

    /// The metrics of a probe, in the order of the probe.
    pub fn metrics_of(&self, probe: &str) -> impl Iterator<Item = (MetricId, &Metric)> {
        let all = self.metrics.iter().enumerate().map(|(index, metric)| (MetricId::from_index(index), metric));
        all.filter(move |(_, metric)| metric.probe == probe)
    }

    /// The label of the probe of a metric, followed by the label of the metric if the probe has several metrics, such as
    /// `Off-CPU blocked`.
    #[must_use]
    pub fn full_label(&self, id: MetricId) -> String {
        let metric = self.metric(id);
        let probe = self.probes.iter().find(|probe| probe.name == metric.probe);
        let probe = probe.map_or(metric.probe.as_str(), |probe| &probe.label);
        match self.metrics_of(&metric.probe).count() {
            1 => probe.to_owned(),
            _ => format!("{probe} {}", metric.label),
        }
    }
}
