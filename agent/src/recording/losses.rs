//! Counters of data that was not captured.

use serde::{Deserialize, Serialize};

/// Counters of everything that was not captured or not understood.
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
    /// Stacks at the limit of 127 frames.
    pub deep_stacks: u64,
    /// Stacks of which only the innermost frame was kept, because of the memory limit for stacks.
    #[serde(default)]
    pub cut_stacks: u64,
    /// Sampled off-CPU intervals whose start or end was lost.
    pub unmatched_sleeps: u64,
    /// Records that this version does not know.
    pub unknown_records: u64,
    /// Reports of new code mappings that the kernel dropped.
    pub lost_mappings: u64,
    /// Processes and files that were dropped because of the memory limit: their functions may have no names.
    #[serde(default)]
    pub evicted: u64,
    /// Reads of memory, mappings and files that timed out, or whose reader died: functions may have no names, and sleeping
    /// threads no user stacks.
    #[serde(default)]
    pub unanswered: u64,
}

impl Losses {
    /// Each counter with the name that reports show.
    #[must_use]
    pub fn named(&self) -> [Loss; 13] {
        [
            (self.ring_full, "samples lost (ring buffer full)", "sample lost (ring buffer full)"),
            (self.thread_table_full, "threads lost (thread table full)", "thread lost (thread table full)"),
            (self.targets_full, "child processes not followed", "child process not followed"),
            (self.no_kernel_stack, "samples without a kernel stack", "sample without a kernel stack"),
            (self.no_user_stack, "samples without a user stack", "sample without a user stack"),
            (self.truncated_user_stacks, "user stacks that look truncated", "user stack that looks truncated"),
            (self.deep_stacks, "stacks cut at 127 frames", "stack cut at 127 frames"),
            (self.cut_stacks, "stacks cut to one frame (memory limit)", "stack cut to one frame (memory limit)"),
            (self.unmatched_sleeps, "off-CPU intervals without start or end", "off-CPU interval without start or end"),
            (self.unknown_records, "unknown records", "unknown record"),
            (self.lost_mappings, "code mappings lost", "code mapping lost"),
            (self.evicted, "processes and files dropped (memory limit)", "process or file dropped (memory limit)"),
            (self.unanswered, "reads from processes timed out or failed", "read from a process timed out or failed"),
        ]
        .map(|(count, name, of_one)| Loss { count, name, of_one })
    }
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
}

impl Loss {
    /// The name for the count: singular for 1, as in `1 unknown record`, else plural.
    #[must_use]
    pub fn counted(&self) -> &'static str {
        if self.count == 1 { self.of_one } else { self.name }
    }
}
