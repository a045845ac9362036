//! What a capture says of itself. Written as `meta.json` in a recording.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Losses, Metric, MetricId, ProbeFacts};
use crate::host::HostFacts;
use crate::units::{Bytes, CpuId, CpuSet, Nanos, Pid};

/// The version of the recording format: raised when a reader of the old one would misread the new one.
pub const SCHEMA_VERSION: u32 = 2;

/// What was captured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Target {
    /// Every thread.
    All,
    /// These processes, and those that they started.
    Processes(Vec<Pid>),
    /// The threads of a cgroup (v2) and of those below it.
    Cgroup(String),
    /// A command that quell started.
    Command(Vec<String>),
}

/// What one probe cost.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ProbeCost {
    /// The name of the probe.
    pub probe: String,
    /// How it was attached: `perf_event cpu-clock`, `tp_btf sched_switch`.
    pub mechanism: String,
    /// Events that its programs handled.
    pub events: u64,
    /// Mean cost of one event in nanoseconds, by the kernel's BPF statistics; `None` where they could not be had.
    pub nanos_per_event: Option<f64>,
}

/// What the capture cost.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Cost {
    /// By probe and program.
    pub probes: Vec<ProbeCost>,
    /// CPU time of the agent itself during the capture, user and system.
    pub agent_cpu: Nanos,
    /// Share of one CPU that programs and agent used together, 1.0 for all of it.
    pub cpu_share: f64,
    /// Kernel memory of the BPF maps and rings.
    pub map_memory: Bytes,
    /// The agent's peak resident memory.
    pub agent_memory: Bytes,
}

impl Cost {
    /// What the programs took of a capture of this length, as a share of one CPU; `None` where that was not measured.
    #[must_use]
    pub fn of_programs(&self, duration: Nanos) -> Option<f64> {
        let measured = || self.probes.iter().filter_map(|probe| Some(probe.nanos_per_event? * probe.events as f64));
        measured().next()?;
        Some(measured().sum::<f64>() / duration.0.max(1) as f64)
    }
}

/// What symbolizing came to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SymbolizeStats {
    /// Frames that have a name.
    pub named: u64,
    /// Frames that have none, by reason.
    pub unnamed: BTreeMap<String, u64>,
}

impl SymbolizeStats {
    /// How many frames have no name, whatever the reason.
    #[must_use]
    pub fn unnamed_in_all(&self) -> u64 {
        self.unnamed.values().fold(0, |sum, count| sum.saturating_add(*count))
    }
}

/// A change of a probe's sampling by rate control.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScaleChange {
    /// From the start of the capture.
    pub time: Nanos,
    /// The probe.
    pub probe: String,
    /// What its probabilities are multiplied by from then on, on the CPU where that is least: 1 for full sampling.
    pub scale: f64,
}

/// What rate control was asked for and did.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Governing {
    /// The budget, as a share of one CPU; `None` where there was none.
    pub budget: Option<f64>,
    /// The most that counting took in a tenth of a second, as a share of one CPU.
    pub counting: f64,
    /// How much sampling was slowed down, in order of time; small changes are left out.
    pub changes: Vec<ScaleChange>,
    /// Whether counting alone took more than the budget.
    pub over_budget: bool,
}

/// What a capture says of itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Meta {
    /// [`SCHEMA_VERSION`] of the writer.
    pub schema: u32,
    /// The writer's version.
    pub quell: String,
    /// How quell was called.
    pub command_line: Vec<String>,
    /// What was captured.
    pub target: Target,
    /// The CPUs that were captured.
    pub cpus: CpuSet,
    /// The probes that captured.
    pub probes: Vec<ProbeFacts>,
    /// What they measured. [`MetricId`] is a row of this.
    pub metrics: Vec<Metric>,
    /// The host.
    pub host: HostFacts,
    /// Start of the capture, nanoseconds since 1970 (`CLOCK_REALTIME`).
    pub start_realtime: Nanos,
    /// The same moment on `CLOCK_MONOTONIC`: sample times count from it.
    pub start_monotonic: Nanos,
    /// How long it was.
    pub duration: Nanos,
    /// Frequency that was asked of the CPU probe, in Hz; 0 without it.
    pub frequency: u32,
    /// Whether every sleep was sampled.
    pub every_event: bool,
    /// Remarks for the reader: a probe that degraded, and why.
    pub remarks: Vec<String>,
    /// What the command that quell started returned: its exit code, or 128 + the signal that ended it.
    pub exit_code: Option<i32>,
    /// Share of the capture that each captured CPU was idle, by the sampling interrupts that found it busy; empty without
    /// the CPU probe.
    pub idle: BTreeMap<CpuId, f64>,
    /// What it cost.
    pub cost: Cost,
    /// What was lost.
    pub losses: Losses,
    /// What symbolizing came to.
    pub symbols: SymbolizeStats,
    /// What the governor did.
    pub governing: Governing,
}

impl Meta {
    /// What a metric is.
    ///
    /// # Panics
    /// If the recording has no such metric. Readers check every one.
    #[must_use]
    pub fn metric(&self, id: MetricId) -> &Metric {
        &self.metrics[id.index()]
    }

    /// The metric of this name.
    #[must_use]
    pub fn metric_named(&self, name: &str) -> Option<MetricId> {
        self.metrics.iter().position(|metric| metric.name == name).map(MetricId::from_index)
    }

    /// The metrics of a probe, in its own order.
    pub fn metrics_of(&self, probe: &str) -> impl Iterator<Item = (MetricId, &Metric)> {
        let all = self.metrics.iter().enumerate().map(|(index, metric)| (MetricId::from_index(index), metric));
        all.filter(move |(_, metric)| metric.probe == probe)
    }

    /// The label of a metric's probe, and behind it the metric's own if the probe has several: `Off-CPU blocked`.
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
