//! What a capture says of itself. Written as `meta.json` in a recording.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::units::{Bytes, CpuId, CpuSet, Nanos, Pid};

/// The version of the recording format: raised when a reader of the old one would misread the new one.
pub const SCHEMA_VERSION: u32 = 1;

/// The host that was captured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostFacts {
    /// Its name.
    pub hostname: String,
    /// `uname -r`.
    pub kernel: String,
    /// `uname -m`.
    pub arch: String,
    /// CPUs that were online.
    pub cpus: CpuSet,
}

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
    /// The probe: `cpu`, `offcpu`.
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

/// Everything that was not captured or not understood, counted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Losses {
    /// Samples that found no room in a ring.
    pub ring_full: u64,
    /// Threads that found no room in the kernel's thread table: missing from the off-CPU totals.
    pub thread_table_full: u64,
    /// Children of targets that could not be followed.
    pub targets_full: u64,
    /// Samples without a kernel stack where there should be one.
    pub no_kernel_stack: u64,
    /// Samples of user threads without a user stack.
    pub no_user_stack: u64,
    /// User stacks whose outermost frame is no known beginning of a thread: probably compiled without frame pointers.
    pub truncated_user_stacks: u64,
    /// Stacks at the limit of 127 frames.
    pub deep_stacks: u64,
    /// Stacks of which only the innermost frame was kept, since stacks took too much memory.
    #[serde(default)]
    pub cut_stacks: u64,
    /// Sampled sleeps whose beginning or end was lost.
    pub unmatched_sleeps: u64,
    /// Records that this version does not know.
    pub unknown_records: u64,
    /// Reports of new code mappings that the kernel dropped.
    pub lost_mappings: u64,
    /// Processes and files that were forgotten for want of memory: their code may lack names.
    #[serde(default)]
    pub evicted: u64,
    /// Reads of memory, mappings and files without an answer in time, or whose reader died: their code may lack names, and sleepers their user stacks.
    #[serde(default)]
    pub unanswered: u64,
}

impl Losses {
    /// Each kind with its count and the name people see.
    #[must_use]
    pub fn named(&self) -> [Loss; 13] {
        [
            (self.ring_full, "samples lost, ring full", "sample lost, ring full"),
            (self.thread_table_full, "threads lost, table full", "thread lost, table full"),
            (self.targets_full, "children not followed", "child not followed"),
            (self.no_kernel_stack, "samples without a kernel stack", "sample without a kernel stack"),
            (self.no_user_stack, "samples without a user stack", "sample without a user stack"),
            (self.truncated_user_stacks, "user stacks that look truncated", "user stack that looks truncated"),
            (self.deep_stacks, "stacks cut at 127 frames", "stack cut at 127 frames"),
            (self.cut_stacks, "stacks cut to one frame, memory limit", "stack cut to one frame, memory limit"),
            (self.unmatched_sleeps, "sleeps without beginning or end", "sleep without beginning or end"),
            (self.unknown_records, "unknown records", "unknown record"),
            (self.lost_mappings, "code mappings lost", "code mapping lost"),
            (self.evicted, "processes and files forgotten, memory limit", "process or file forgotten, memory limit"),
            (self.unanswered, "reads of processes without an answer", "read of a process without an answer"),
        ]
        .map(|(count, name, of_one)| Loss { count, name, of_one })
    }
}

/// One of [`Losses`], as people see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Loss {
    /// How many.
    pub count: u64,
    /// What was lost.
    pub name: &'static str,
    /// The same in the singular.
    of_one: &'static str,
}

impl Loss {
    /// What stands behind the count: `1 unknown record`, `2 unknown records`.
    #[must_use]
    pub fn counted(&self) -> &'static str {
        if self.count == 1 { self.of_one } else { self.name }
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
    /// Where.
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

#[cfg(test)]
impl Meta {
    /// A capture of one second of everything, for tests.
    pub(crate) fn example() -> Self {
        Self {
            schema: SCHEMA_VERSION,
            quell: "0.1.0".to_owned(),
            command_line: vec!["quell".to_owned(), "record".to_owned(), "-a".to_owned()],
            target: Target::All,
            cpus: [CpuId(0), CpuId(1)].into_iter().collect(),
            host: HostFacts {
                hostname: "example".to_owned(),
                kernel: "6.18.0".to_owned(),
                arch: "x86_64".to_owned(),
                cpus: [CpuId(0), CpuId(1)].into_iter().collect(),
            },
            start_realtime: Nanos(1_700_000_000_000_000_000),
            start_monotonic: Nanos(1_000_000_000),
            duration: Nanos::SECOND,
            frequency: 99,
            every_event: false,
            remarks: Vec::new(),
            exit_code: None,
            idle: BTreeMap::new(),
            cost: Cost::default(),
            losses: Losses::default(),
            symbols: SymbolizeStats::default(),
            governing: Governing::default(),
        }
    }
}
