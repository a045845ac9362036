//! Counters of data that was not captured.

use serde::{Deserialize, Serialize};

/// Counters of everything that was not captured or not understood. Stacks are those of samples, without those of wakers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Losses {
    /// Samples that were lost because a ring buffer was full.
    pub ring_full: u64,
    /// Threads without an entry in the thread table of the programs, because it was full: missing from the off-CPU totals.
    pub thread_table_full: u64,
    /// Children of targets that could not be followed.
    pub targets_full: u64,
    /// Samples whose kernel stack is missing.
    pub no_kernel_stack: u64,
    /// Samples of user threads whose user stack is missing.
    pub no_user_stack: u64,
    /// User stacks whose outermost frame is not a known start function of a thread: probably compiled without frame pointers.
    pub truncated_user_stacks: u64,
    /// Samples whose user stack has as many frames as the kernel's limit, [`Meta::max_stack`](super::Meta::max_stack), which was lower than 127.
    #[serde(default)]
    pub limited_stacks: u64,
    /// Samples with a stack at the limit of 127 frames.
    pub deep_stacks: u64,
    /// Samples with a stack of which only the innermost frame was kept, because of the memory limit for stacks.
    #[serde(default)]
    pub cut_stacks: u64,
    /// Sampled off-CPU intervals whose start or end was lost.
    pub unmatched_sleeps: u64,
    /// Records that this version does not know.
    pub unknown_records: u64,
    /// Reports of new code mappings that the kernel dropped.
    pub lost_mappings: u64,
    /// Reports of new or removed kernel code, mostly BPF programs, that the kernel dropped.
    #[serde(default)]
    pub lost_kernel_code: u64,
    /// Processes that were not compared with the patterns of the target, because too many executed programs at once.
    #[serde(default)]
    pub unmatched_processes: u64,
    /// Processes and files that were dropped because of the memory limit: their functions may have no names.
    #[serde(default)]
    pub evicted: u64,
    /// Reads of memory, mappings and files that timed out, or whose reader died: functions may have no names, and sleeping
    /// threads no user stacks.
    #[serde(default)]
    pub unanswered: u64,
}

impl Losses {
    /// The number of counters.
    pub const COUNTERS: usize = 16;

    /// Each counter with the name that reports show.
    #[must_use]
    pub fn named(&self) -> [Loss; Self::COUNTERS] {
        use Whole::{IntervalsAndLost, Samples, SamplesAndLost, Stacks, UserStacks, UserStacksAndLost};
        let loss = |count, whole, name, of_one| Loss { count, name, of_one, whole };
        [
            loss(
                self.ring_full,
                Some(SamplesAndLost),
                "samples lost (ring buffer full)",
                "sample lost (ring buffer full)",
            ),
            loss(self.thread_table_full, None, "threads lost (thread table full)", "thread lost (thread table full)"),
            loss(self.targets_full, None, "child processes not followed", "child process not followed"),
            loss(
                self.no_kernel_stack,
                Some(Samples),
                "samples without a kernel stack",
                "sample without a kernel stack",
            ),
            loss(
                self.no_user_stack,
                Some(UserStacksAndLost),
                "samples without a user stack",
                "sample without a user stack",
            ),
            loss(
                self.truncated_user_stacks,
                Some(UserStacks),
                "user stacks that look truncated",
                "user stack that looks truncated",
            ),
            loss(
                self.limited_stacks,
                Some(UserStacks),
                "user stacks cut at kernel.perf_event_max_stack",
                "user stack cut at kernel.perf_event_max_stack",
            ),
            loss(self.deep_stacks, Some(Stacks), "stacks cut at 127 frames", "stack cut at 127 frames"),
            loss(
                self.cut_stacks,
                Some(Stacks),
                "stacks cut to one frame (memory limit)",
                "stack cut to one frame (memory limit)",
            ),
            loss(
                self.unmatched_sleeps,
                Some(IntervalsAndLost),
                "off-CPU intervals without start or end",
                "off-CPU interval without start or end",
            ),
            loss(self.unknown_records, None, "unknown records", "unknown record"),
            loss(self.lost_mappings, None, "code mappings lost", "code mapping lost"),
            loss(self.lost_kernel_code, None, "kernel symbols lost", "kernel symbol lost"),
            loss(
                self.unmatched_processes,
                None,
                "processes not compared with the target",
                "process not compared with the target",
            ),
            loss(
                self.evicted,
                None,
                "processes and files dropped (memory limit)",
                "process or file dropped (memory limit)",
            ),
            loss(
                self.unanswered,
                None,
                "reads from processes timed out or failed",
                "read from a process timed out or failed",
            ),
        ]
    }
}

/// What a loss is a part of, so that reports can show its share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whole {
    /// All samples.
    Samples,
    /// All samples, and the lost ones.
    SamplesAndLost,
    /// All samples with a stack.
    Stacks,
    /// All samples with a user stack.
    UserStacks,
    /// All samples with a user stack, and those without it.
    UserStacksAndLost,
    /// All off-CPU intervals, and the lost ones.
    IntervalsAndLost,
}

/// One of [`Losses`], as reports show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Loss {
    /// The count.
    pub count: u64,
    /// The name in the plural.
    pub name: &'static str,
    /// The name in the singular.
    of_one: &'static str,
    /// What the count is a part of; `None` if that is not known.
    pub whole: Option<Whole>,
}

impl Loss {
    /// The name for the count: singular for 1, as in `1 unknown record`, else plural.
    #[must_use]
    pub fn counted(&self) -> &'static str {
        if self.count == 1 { self.of_one } else { self.name }
    }
}
