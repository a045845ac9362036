//! What is captured, and how.

mod availability;

pub use availability::Availability;

/// What users are told of a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProbeSpec {
    /// What `--probe` takes.
    pub name: &'static str,
    /// One line on what it captures.
    pub doc: &'static str,
    /// The events that its programs run on.
    pub events: &'static [&'static str],
    /// The first kernel that it works on.
    pub kernel: &'static str,
    /// What it costs, in words.
    pub cost: &'static str,
}

/// Every probe, in the order that `quell list probes` shows.
pub static PROBES: &[ProbeSpec] = &[
    ProbeSpec {
        name: "cpu",
        doc: "where threads spend their time on a CPU, by sampling their stacks at a steady rate",
        events: &["perf_event cycles", "perf_event cpu-clock"],
        kernel: "5.10",
        cost: "two stack walks for each sample",
    },
    ProbeSpec {
        name: "offcpu",
        doc: "where threads wait, for how long, and who wakes them, with exact totals for each thread",
        events: &["tp_btf sched_switch", "tp_btf sched_wakeup", "tp_btf sched_wakeup_new", "iter/task"],
        kernel: "5.10",
        cost: "a counter for each context switch, two stack walks for a sampled one",
    },
];
