//! What quell's eBPF programs and its user side agree on: ring records, map values and load-time settings.
//!
//! Every type is `#[repr(C)]` without padding (asserted at compile time by [`abi!`]), in the byte order of the host.
//! `u32` stands where a `bool` would leave holes. Times are `CLOCK_MONOTONIC` nanoseconds
//! (`bpf_ktime_get_ns`, kernel/bpf/helpers.c).

#![no_std]
#![deny(missing_docs)]

/// Declares ABI structs: fixed layout, no padding, and for the user side byte casts and map access.
macro_rules! abi {
    ($($(#[$doc:meta])* pub struct $name:ident { $($(#[$field_doc:meta])* pub $field:ident: $ty:ty,)* } size $size:literal)*) => {
        $(
            $(#[$doc])*
            #[repr(C)]
            #[derive(Clone, Copy, Debug, PartialEq, Eq)]
            #[cfg_attr(feature = "user", derive(bytemuck::Pod, bytemuck::Zeroable))]
            pub struct $name { $($(#[$field_doc])* pub $field: $ty,)* }

            const _: () = {
                assert!(size_of::<$name>() == $size, "the size of an ABI type is part of the ABI");
                assert!($(size_of::<$ty>() +)* 0 == $size, "an ABI type has no padding");
                assert!(align_of::<$name>() <= 8, "the ring buffer aligns records to 8 bytes");
            };

            #[cfg(feature = "user")]
            #[allow(unsafe_code, reason = "aya copies map values as bytes and asks for this marker")]
            const _: () = {
                // SAFETY: `repr(C)`, integers only, no padding (asserted above): every bit pattern is valid.
                unsafe impl aya::Pod for $name {}
            };
        )*
    };
}

/// The most frames walked in one stack: the kernel's own default limit (`sysctl kernel.perf_event_max_stack`, 127).
pub const MAX_FRAMES: usize = 127;

/// Bytes of one walked stack at its deepest.
pub const STACK_BYTES: usize = MAX_FRAMES * 8;

/// [`SleepStart::odds`] of a sleep that is sampled for certain.
pub const CERTAIN: u32 = u32::MAX;

/// [`ThreadState::predicted`] before the first sleep: there is no prediction, so the sleep is sampled.
pub const NO_PREDICTION: u32 = u32::MAX;

/// How many sleeps of a thread are sampled for certain before its predictions are relied on: the first ones are often short
/// and say little of what follows.
pub const FIRST_SLEEPS: u32 = 8;

/// The least odds (of 2^32) a sleep is sampled with, 1 in 512, whatever the governor says: above zero, or the estimate would
/// be biased; and not far below, or a long sleep that nobody expected would be found so seldom that the samples at hand
/// do not show the error that its absence makes.
pub const LEAST_ODDS: u32 = 1 << 23;

/// What kind of record a ring entry holds: [`Header::kind`].
pub mod kind {
    /// A [`CpuSample`](super::CpuSample).
    pub const CPU_SAMPLE: u32 = 1;
    /// A [`SleepStart`](super::SleepStart).
    pub const SLEEP_START: u32 = 2;
    /// A [`Wake`](super::Wake).
    pub const WAKE: u32 = 3;
    /// A [`SleepEnd`](super::SleepEnd).
    pub const SLEEP_END: u32 = 4;
    /// A [`ThreadExit`](super::ThreadExit).
    pub const THREAD_EXIT: u32 = 5;
}

/// Why a thread left the CPU.
pub mod reason {
    /// It waits for something other than block I/O.
    pub const BLOCKED: u32 = 0;
    /// It could run, but another thread does: preempted, or it yielded.
    pub const PREEMPTED: u32 = 1;
    /// It waits for block I/O (`task_struct::in_iowait`).
    pub const IO_WAIT: u32 = 2;
    /// How many reasons there are.
    pub const COUNT: usize = 3;
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

abi! {
    /// How every ring record begins.
    pub struct Header {
        /// One of [`kind`].
        pub kind: u32,
        /// The CPU that wrote the record.
        pub cpu: u32,
        /// When, `CLOCK_MONOTONIC` nanoseconds.
        pub time: u64,
        /// The thread that the record is about.
        pub tid: u32,
        /// Its process.
        pub tgid: u32,
    } size 24

    /// Two walked stacks. The frames follow the record that holds this, innermost first, 8 bytes each: first the
    /// kernel's, then the user's.
    pub struct Stacks {
        /// Bytes of kernel frames, or a negative errno.
        pub kernel: i32,
        /// Bytes of user frames, or a negative errno (`-EFAULT` for a kernel thread).
        pub user: i32,
    } size 8

    /// A timer or counter interrupt that found a thread running.
    pub struct CpuSample {
        /// The thread that ran.
        pub header: Header,
        /// Its name.
        pub comm: [u8; 16],
        /// The time this sample stands for, in nanoseconds: that since the CPU's last interrupt where the thread has run
        /// throughout, else the sampling interval in force.
        pub interval: u64,
        /// Where it ran.
        pub stacks: Stacks,
    } size 56

    /// A sampled thread leaves the CPU.
    pub struct SleepStart {
        /// The thread that leaves.
        pub header: Header,
        /// Its name.
        pub comm: [u8; 16],
        /// The number of this sleep among those of its thread.
        pub seq: u32,
        /// One of [`reason`].
        pub reason: u32,
        /// The odds, of 2^32, that this sleep had of being sampled; [`CERTAIN`] is exactly 1.
        pub odds: u32,
        /// 1 where the task iterator walked the thread instead of its own context switch; then `user_regs` holds
        /// what is needed to walk its user stack from outside.
        pub walked: u32,
        /// Instruction pointer, stack pointer and frame pointer in user mode, for a walked thread; else 0.
        pub user_regs: [u64; 3],
        /// Where it stands.
        pub stacks: Stacks,
    } size 88

    /// A thread in a sampled sleep is woken. The header names the waker: the thread that ran on this CPU, which is
    /// only a bystander where the wake-up came from an interrupt (its kernel stack shows it).
    pub struct Wake {
        /// The waker.
        pub header: Header,
        /// The waker's name.
        pub comm: [u8; 16],
        /// The thread that is woken.
        pub woken_tid: u32,
        /// Which of its sleeps ends: [`SleepStart::seq`].
        pub woken_seq: u32,
        /// The number of the waker's own last sleep, 0 for none known.
        pub waker_seq: u32,
        /// Always 0: keeps the next field aligned.
        pub pad: u32,
        /// Where the waker runs.
        pub stacks: Stacks,
    } size 64

    /// A thread comes back onto a CPU after a sampled sleep.
    pub struct SleepEnd {
        /// The thread that comes back.
        pub header: Header,
        /// How long it was off the CPU, in nanoseconds.
        pub duration: u64,
        /// How long of that it was runnable and waited for a CPU, in nanoseconds (run-queue latency).
        pub runqueue: u64,
        /// As in its [`SleepStart`].
        pub seq: u32,
        /// As in its [`SleepStart`].
        pub reason: u32,
    } size 48

    /// A thread has ended; its exact totals.
    pub struct ThreadExit {
        /// The thread.
        pub header: Header,
        /// Its last name.
        pub comm: [u8; 16],
        /// Its sleeps, by [`reason`].
        pub totals: [Total; 3],
    } size 88

    /// A count and a sum.
    pub struct Total {
        /// How many.
        pub count: u64,
        /// How long altogether, in nanoseconds.
        pub nanos: u64,
    } size 16

    /// What is kept for each thread, in the hash map `THREADS` by tid.
    pub struct ThreadState {
        /// When it left the CPU; 0 while it runs.
        pub out_since: u64,
        /// When it was last woken.
        pub woken_at: u64,
        /// Exact totals of its ended sleeps by [`reason`].
        pub totals: [Total; 3],
        /// Its process.
        pub tgid: u32,
        /// How many sleeps have begun.
        pub seq: u32,
        /// Odds of the sleep that goes on, 0 where it is not sampled.
        pub odds: u32,
        /// Reason of the sleep that goes on.
        pub reason: u32,
        /// Expected length of the next sleep by [`reason`], in nanoseconds: a maximum of the past ones
        /// that decays.
        pub predicted: [u32; 3],
        /// State of its random numbers (xorshift32), never 0: cheaper than a helper call for each sleep.
        pub random: u32,
        /// Its name when it was first seen.
        pub comm: [u8; 16],
    } size 112

    /// What the user side may change while programs run: element 0 of the array `RATES`.
    pub struct Rates {
        /// Odds (of 2^32) of sampling a sleep, for each nanosecond of its expected length.
        pub odds_per_nano: u32,
        /// The least odds; [`CERTAIN`] samples every sleep.
        pub least_odds: u32,
        /// The time one CPU sample stands for, in nanoseconds.
        pub cpu_interval: u64,
    } size 16

    /// What the programs count, on each CPU: element 0 of the per-CPU array `COUNTS`.
    pub struct Counts {
        /// Context switches seen.
        pub switches: u64,
        /// Wake-ups seen.
        pub wakes: u64,
        /// Sleeps of captured threads that ended.
        pub sleeps: u64,
        /// Sleeps that were sampled.
        pub sampled_sleeps: u64,
        /// CPU interrupts seen, of any thread.
        pub interrupts: u64,
        /// ... of these, on an idle CPU.
        pub idle: u64,
        /// ... of these, of captured threads.
        pub cpu_samples: u64,
        /// Records that found no room in the ring.
        pub lost_records: u64,
        /// Threads that found no room in `THREADS`: neither sampled nor in the exact totals.
        pub lost_threads: u64,
        /// Children of targets that found no room in `TARGETS`.
        pub lost_targets: u64,
        /// Kernel stacks that could not be walked.
        pub no_kernel_stack: u64,
        /// User stacks of user threads that could not be walked.
        pub no_user_stack: u64,
    } size 96

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
        /// Which of `RINGS` the task iterators write to: none of a CPU's.
        pub walk_ring: u32,
        /// Offset of the CPU that a task runs on, or ran on last: `task_struct::thread_info.cpu`, or `task_struct::cpu`
        /// before 5.16.
        pub task_cpu: u32,
        /// Offsets of `task_struct::nvcsw` and `nivcsw`: how often a thread has left the CPU, by its own will and not.
        pub task_switches: [u32; 2],
    } size 248
}
