//! What quell's eBPF programs and its user side agree on, beside what each probe declares in its own folder: how records
//! begin, what is kept of threads and CPUs, and what the programs are told when they are loaded.
//!
//! Every type is `#[repr(C)]` without padding (asserted at compile time by [`abi!`]), in the byte order of the host.
//! `u32` stands where a `bool` would leave holes. Times are `CLOCK_MONOTONIC` nanoseconds
//! (`bpf_ktime_get_ns`, kernel/bpf/helpers.c).

#![no_std]
#![deny(missing_docs)]

#[cfg(feature = "user")]
#[doc(hidden)]
pub use {aya, bytemuck};

mod abi;
pub mod distribution;
mod kernel_field;
pub mod pace;
mod probes;
mod record;

pub use distribution::Distribution;
pub use kernel_field::KernelField;
pub use probes::PROBES;
pub use record::{Header, MAX_FRAMES, STACK_BYTES, Stacks};

/// Why a thread left the CPU.
pub mod reason {
    /// It waits for something other than block I/O.
    pub const BLOCKED: u32 = 0;
    /// It could run, but another thread does: preempted, or it yielded.
    pub const PREEMPTED: u32 = 1;
    /// It waits for block I/O: `task_struct::in_iowait` in an uninterruptible sleep. A wait of io_uring sets the bit too
    /// (`io_cqring_wait`, io_uring/io_uring.c, 6.5), whatever it waits for, but is interruptible.
    pub const IO_WAIT: u32 = 2;
    /// It could run, but its cgroup has used up its CPU quota (`cpu.max`).
    pub const THROTTLED: u32 = 3;
    /// It was stopped by a signal or a debugger.
    pub const STOPPED: u32 = 4;
    /// How many reasons there are.
    pub const COUNT: usize = 5;
}

/// Which threads are captured: [`Settings::target`].
pub mod target {
    /// Every thread but the agent's own.
    pub const ALL: u32 = 0;
    /// Processes in the `TARGETS` map; their children enter it as they are forked.
    pub const PROCESSES: u32 = 1;
    /// Threads below one cgroup (v2).
    pub const CGROUP: u32 = 2;
}

/// Which events are sampled: [`Settings::sampling`].
pub mod sampling {
    /// Every one, whatever that costs.
    pub const EVERY: u32 = 0;
    /// As many as the probes would like: [`Pace::scale`](crate::Pace::scale) does not count.
    pub const UNLIMITED: u32 = 1;
    /// As many as the allowances have room for.
    pub const PACED: u32 = 2;
}

/// What happens to processes: records of no probe ([`Header::probe`] is [`PROBE`](process::PROBE)). They tell who has an id,
/// whatever else is lost.
pub mod process {
    use crate::Header;

    /// The number of no probe.
    pub const PROBE: u16 = 0;
    /// [`Header::kind`]: a process was created.
    pub const NEW: u16 = 1;
    /// [`Header::kind`]: a process executes another program, which is mapped already.
    pub const EXEC: u16 = 2;
    /// [`Header::kind`]: a process and all its threads are gone, and its id may be used again.
    pub const END: u16 = 3;
    /// [`Header::kind`]: a thread was created that is not the first of its process. Whoever had its id before is gone.
    pub const NEW_THREAD: u16 = 4;

    crate::abi! {
        /// One of these events.
        pub struct ProcessEvent {
            /// The process.
            pub header: Header,
            /// For [`NEW`]: the process that created it; else 0.
            pub parent: u32,
            /// For [`EXEC`]: the id that the thread had before, if it was not the first one of the process; else 0.
            pub old_tid: u32,
        } size 32
    }
}

/// The events that programs run on, by their element of the per-CPU array `HOOKS`.
pub mod hook {
    /// A sampling interrupt of a perf event.
    pub const INTERRUPT: u32 = 0;
    /// The tracepoint `sched_switch`.
    pub const SWITCH: u32 = 1;
    /// The tracepoint `sched_waking`.
    pub const WAKING: u32 = 2;
    /// How many there are.
    pub const COUNT: u32 = 3;
    /// One run in so many is timed.
    pub const TIMED: u64 = 64;
}

/// How many ids of processes `SEEN_TARGETS` tells apart; those that differ by a multiple of it share an element.
pub const SEEN_IDS: u32 = 1 << 17;

/// How many ids of threads an element of `INDEX` is for: a cache line.
pub const INDEXED: u32 = 16;

abi! {
    /// A count and a sum.
    pub struct Total {
        /// How many.
        pub count: u64,
        /// How long altogether, in nanoseconds.
        pub nanos: u64,
    } size 16

    /// What is kept of each captured thread: an element of the array `THREADS`, which `INDEX` finds by the thread's id. What a
    /// context switch needs is in the first cache line: a thread that comes back has slept, and each line is a cache miss.
    pub struct ThreadState {
        /// When it left the CPU; 0 while it runs.
        pub out_since: u64,
        /// The thread; 0 for an element that is free.
        pub tid: u32,
        /// Its process.
        pub tgid: u32,
        /// How many sleeps have begun.
        pub seq: u32,
        /// Where its wake-up is awaited: one more than the element of `AWAITED` that counts it, or 0.
        pub awaited: u16,
        /// What pays for the sample of the sleep that goes on: 1 for the purse of first sleeps ([`Pace::purse`]), else 0.
        pub fund: u16,
        /// [`reason`] of the sleep that goes on, or of the last.
        pub reason: u16,
        /// The CPU that it left.
        pub cpu: u16,
        /// Probability of the sleep that goes on, in units of 2^-32; 0 where it is not sampled.
        pub odds: u32,
        /// Expected length of the next sleep in nanoseconds, a maximum of the past ones that decays: of those that are
        /// blocked, of those that are preempted, and of all others.
        pub predicted: [u32; 3],
        /// State of its random numbers (xorshift32), never 0: cheaper than a helper call for each sleep.
        pub random: u32,
        /// [`reason`] of the sleeps in `recent_nanos`.
        pub recent_reason: u32,
        /// How many they are.
        pub recent_count: u32,
        /// Sleeps that are not in `totals` yet, in nanoseconds.
        pub recent_nanos: u64,
        /// Exact totals of its ended sleeps by [`reason`], but for the recent ones.
        pub totals: [Total; reason::COUNT],
        /// When it was last woken from a sleep whose wake-up was awaited.
        pub woken_at: u64,
        /// What walking stacks has added to the sleep that goes on until its wake-up, in nanoseconds: that of its waker, and its own where
        /// its waker ran behind it on one CPU.
        pub delayed: u64,
        /// Its name when it was first seen, or the last one that it gave itself.
        pub comm: [u8; 16],
        /// The number of this element, by which probes find what they keep of the thread in arrays of their own.
        pub number: u32,
        /// Tells apart what is counted under one thread id: another for each thread that has the id, and for each name under which
        /// `totals` begin at zero. Never 0.
        pub generation: u32,
        /// How long walking its stack took when the sleep that goes on, or the last one that was sampled, began, in nanoseconds.
        pub walked: u32,
        /// Tells its `task_struct` from that of another thread that had its id, by a hash of the address.
        pub task: u32,
    } size 192

    /// What sampling costs one probe on one CPU: element `cpu * PROBES + probe` of the array `PACES`. What it may cost in a
    /// window, in nanoseconds, is the same element of the array `ALLOWANCES`, which the user side writes and which the next window
    /// takes over.
    pub struct Pace {
        /// When the window began.
        pub window: u64,
        /// Nanoseconds that samples have taken in this window. Other CPUs add what a waker's stack costs.
        pub spent: u64,
        /// Samples taken so far.
        pub samples: u64,
        /// Nanoseconds that they took altogether.
        pub nanos: u64,
        /// What probabilities are multiplied by, in units of 2^-32.
        pub scale: u32,
        /// Nanoseconds that samples may take in this window, but for first sleeps.
        pub allowance: u32,
        /// Nanoseconds that samples have taken beyond what was allowed, and that later windows have not made up for.
        pub debt: u64,
        /// Nanoseconds that the first sleeps of threads may still take, whatever the scale.
        pub purse: u64,
        /// Nanoseconds that samples would have taken in the last windows at the full rate.
        pub demand: u64,
    } size 64

    /// How often the program of a hook ran on one CPU, and what that costs.
    pub struct HookRuns {
        /// The number of runs.
        pub runs: u64,
        /// Runs that were timed: one in [`hook::TIMED`], unless it sampled.
        pub timed: u64,
        /// Nanoseconds that those took.
        pub nanos: u64,
    } size 24

    /// What the last sampling interrupt of a CPU found: element 0 of the per-CPU array `LAST_INTERRUPT`.
    pub struct LastInterrupt {
        /// When, in nanoseconds; 0 before the first.
        pub time: u64,
        /// How often the thread had left a CPU by then.
        pub switches: u64,
        /// The thread.
        pub tid: u64,
        /// Interrupts that found the CPU idle, so far.
        pub idle: u64,
    } size 32

    /// What could not be recorded, on each CPU: element 0 of the per-CPU array `LOSSES`.
    pub struct Lost {
        /// Records that found no room in the ring.
        pub records: u64,
        /// Threads that found no room in `THREADS`: neither sampled nor in the exact totals.
        pub threads: u64,
        /// Children of targets that found no room in `TARGETS`.
        pub targets: u64,
        /// Kernel stacks that could not be walked.
        pub kernel_stacks: u64,
        /// User stacks of user threads that could not be walked.
        pub user_stacks: u64,
    } size 40

    /// What is fixed when the programs are loaded: the read-only global `SETTINGS`.
    pub struct Settings {
        /// One of [`target`].
        pub target: u32,
        /// The agent's own process, never captured; 0 to capture it too.
        pub self_tgid: u32,
        /// For [`target::CGROUP`]: the cgroup's depth below the root.
        pub cgroup_level: u32,
        /// 1 where only the CPUs in `cpus` count.
        pub some_cpus: u32,
        /// For [`target::CGROUP`]: the cgroup's id.
        pub cgroup_id: u64,
        /// A bit for each CPU up to 1023; higher ones are not captured under `some_cpus`.
        pub cpus: [u64; 16],
        /// A bit for each probe that is on, by its number.
        pub probes: u32,
        /// One of [`sampling`].
        pub sampling: u32,
        /// Offset of `task_struct::pid`.
        pub task_pid: u32,
        /// Offset of `task_struct::tgid`.
        pub task_tgid: u32,
        /// Offset of `task_struct::__state` (`state` before 5.14).
        pub task_state: u32,
        /// Bytes of that field: 4, or 8 before 5.14.
        pub task_state_bytes: u32,
        /// Offset of `task_struct::on_cpu`.
        pub task_on_cpu: u32,
        /// Offset of the byte that holds the bit `task_struct::in_iowait`.
        pub task_in_iowait: u32,
        /// That bit in its byte.
        pub in_iowait_mask: u32,
        /// Offset of `task_struct::comm`.
        pub task_comm: u32,
        /// 1 where `sched_switch` has `prev_state` as its fourth argument (5.18, commit 9c2136be0878).
        pub switch_has_prev_state: u32,
        /// 1 where the helper `bpf_task_pt_regs` exists (5.15, commit dd6e10fbd9fb).
        pub has_task_pt_regs: u32,
        /// Offsets in `pt_regs` of the instruction, stack and frame pointer.
        pub pt_regs: [u32; 3],
        /// A process that becomes a target when it calls exec, 0 for none: the command that quell starts.
        pub command_tgid: u32,
        /// The way from a thread to the ids of the cgroups that it is in, for a kernel whose tracing programs have no
        /// `bpf_get_current_ancestor_cgroup_id`: offsets of `task_struct::cgroups`, `css_set::dfl_cgrp`,
        /// `cgroup::level` and `cgroup::ancestor_ids`. All 0 where they have it.
        pub cgroup_ids: [u32; 4],
        /// Where a thread's user registers are without `bpf_task_pt_regs`: the offset of `task_struct::stack`, and that of
        /// `pt_regs` from the address there. Both 0 where the helper exists or they are not known.
        pub stack_regs: [u32; 2],
        /// Which of `RINGS` the task iterator writes to: none of a CPU's.
        pub walk_ring: u32,
        /// Offset of the CPU that a task runs on, or ran on last: `task_struct::thread_info.cpu`, or `task_struct::cpu`
        /// before 5.16.
        pub task_cpu: u32,
        /// Offsets of `task_struct::nvcsw` and `nivcsw`: how often a thread has left the CPU, by its own will and not.
        pub task_switches: [u32; 2],
        /// The way to whether a thread is throttled: the offset of `task_struct::throttled` (6.18), and 0; before, those of
        /// `task_struct::se.cfs_rq` and `cfs_rq::throttle_count`. Both 0 where the kernel has no CPU quotas.
        pub throttled: [u32; 2],
        /// Offset of `task_struct::thread.sp`: where the kernel stack of a thread that does not run ends. 0 where it is not known.
        pub task_sp: u32,
        /// Always 0: the size is a multiple of the alignment.
        pub pad: u32,
    } size 272
}

impl ThreadState {
    /// Exact totals of its ended sleeps by [`reason`].
    #[must_use]
    pub fn all_totals(&self) -> [Total; reason::COUNT] {
        let mut totals = self.totals;
        if let Some(total) = totals.get_mut(self.recent_reason as usize) {
            total.count += u64::from(self.recent_count);
            total.nanos += self.recent_nanos;
        }
        totals
    }
}
