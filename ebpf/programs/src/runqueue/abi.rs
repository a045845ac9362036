//! What the run-queue probe's programs and their user side agree on.

use quell_ebpf_common::{KernelField, abi};

/// The number of this probe.
pub const PROBE: u16 = 3;

/// The metric of waits after a wake-up: element 0 of the per-CPU array `RUNQUEUE_CPUS`.
pub const WOKEN: u32 = 0;
/// The metric of waits after the thread was preempted or yielded: element 1.
pub const PREEMPTED: u32 = 1;

/// How many cgroups are told apart.
#[allow(dead_code, reason = "the user side sizes a map by it")]
pub const CGROUPS: u32 = 1024;

/// What the kernel counts for each thread, `struct sched_info` of include/linux/sched.h (`CONFIG_SCHED_INFO`, on in every
/// distribution): how often it came onto a CPU, and how long it waited for that altogether.
#[allow(dead_code, reason = "the user side looks them up")]
pub const FIELDS: &[KernelField] = &[
    KernelField { global: "RUNQUEUE_PCOUNT", structure: "task_struct", path: &["sched_info", "pcount"] },
    KernelField { global: "RUNQUEUE_RUN_DELAY", structure: "task_struct", path: &["sched_info", "run_delay"] },
];

abi! {
    /// What a thread's `sched_info` held when it last left a CPU: the element of `RUNQUEUE_THREADS` for the thread.
    pub struct LastRun {
        /// `pcount`: how often the thread has come onto a CPU.
        pub runs: u64,
        /// `run_delay`, in nanoseconds.
        pub waited: u64,
        /// The thread.
        pub tid: u32,
        /// Always 0.
        pub pad: u32,
    } size 24

    /// A key of the map `RUNQUEUE_CGROUPS`.
    pub struct CgroupMetric {
        /// The id of the cgroup (version 2).
        pub cgroup: u64,
        /// [`WOKEN`] or [`PREEMPTED`].
        pub metric: u64,
    } size 16
}
