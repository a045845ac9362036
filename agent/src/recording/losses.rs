//! What was not captured.

use serde::{Deserialize, Serialize};

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
