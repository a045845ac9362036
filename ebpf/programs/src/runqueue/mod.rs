//! Run-queue latency: how long threads that could run waited for a CPU, as distributions.
//!
//! The kernel adds every wait up in the thread's `sched_info` as the wait ends, just after the tracepoint of the switch
//! (`sched_info_arrive`, kernel/sched/stats.h). So a wait is counted when its thread next leaves the CPU: what was added since
//! it last left. Nothing runs at wake-ups. The user side sets the sizes of the hash map and of the array of threads.

mod abi;

use aya_ebpf::{
    btf_maps::{Array, HashMap, PerCpuArray},
    helpers::bpf_get_current_cgroup_id,
    macros::btf_map,
};
use quell_ebpf_common::{Distribution, ThreadState, reason};

use crate::{
    distribution,
    hook::{Callbacks, SamplingTime, SwitchOut, ThreadEnd},
    settings::{kernel_field, offset},
    task::Task,
    value::{Value, load, store},
};
use abi::{CgroupMetric, LastRun, PREEMPTED, PROBE, WOKEN};

kernel_field!(RUNQUEUE_PCOUNT);
kernel_field!(RUNQUEUE_RUN_DELAY);

/// By metric.
#[btf_map]
pub static RUNQUEUE_CPUS: PerCpuArray<Distribution, 2> = PerCpuArray::new();

/// Of [`abi::CGROUPS`] cgroups. Shared by all CPUs: a distribution for each CPU and cgroup would take a gigabyte on a large host.
#[btf_map]
pub static RUNQUEUE_CGROUPS: HashMap<CgroupMetric, Distribution, 1> = HashMap::new();

/// By the number of a thread's element in `THREADS`.
#[btf_map]
pub static RUNQUEUE_THREADS: Array<LastRun, 1> = Array::new();

/// What a cgroup begins with: larger than a program's stack.
#[btf_map]
pub static RUNQUEUE_EMPTY: Array<Distribution, 1> = Array::new();

/// Its number in records.
pub const NUMBER: u32 = PROBE as u32;

/// The probe `runqueue`.
pub struct Probe;

impl Callbacks for Probe {
    #[inline(always)]
    fn switch_out(event: &SwitchOut<'_>) -> SamplingTime {
        count_wait(event.task, event.thread, event.tid, event.last_reason);
        0
    }

    #[inline(always)]
    fn thread_end(event: &ThreadEnd) -> bool {
        if let Some(task) = event.task {
            let thread = event.thread;
            count_wait(task, thread, event.tid, load!(thread.reason).into());
        }
        true
    }
}

/// Counts the wait before the run that ends. `reason` is that of the sleep before the wait.
#[inline(always)]
fn count_wait(task: Task, thread: Value<ThreadState>, tid: u32, reason: u32) -> Option<()> {
    let last = RUNQUEUE_THREADS.get_ptr_mut(load!(thread.number))?;
    // SAFETY: an array's element.
    let last = unsafe { Value::<LastRun>::new(last) };
    let (runs, waited) = (task.load::<u64>(offset!(RUNQUEUE_PCOUNT)), task.load::<u64>(offset!(RUNQUEUE_RUN_DELAY)));
    // Both are 0 as a thread begins (`sched_fork`, kernel/sched/core.c). Of one that ran before it was captured, or elsewhere
    // since, it is not known how much of the sum the last wait was.
    let before = if load!(last.tid) == tid && load!(last.runs) + 1 == runs {
        Some(load!(last.waited))
    } else if runs == 1 {
        Some(0)
    } else {
        None
    };
    store!(last.tid, tid);
    store!(last.runs, runs);
    store!(last.waited, waited);
    let wait = waited.saturating_sub(before?);
    // Up to 6.17 what a thread waits for while its cgroup is throttled is in the sum too.
    let metric = if matches!(reason, reason::PREEMPTED | reason::THROTTLED) { PREEMPTED } else { WOKEN };
    // SAFETY: a per-CPU array's element.
    unsafe { distribution::count(RUNQUEUE_CPUS.get_ptr_mut(metric)?, wait) };
    let counts = of_current_cgroup(metric)?;
    // SAFETY: a value of a preallocated hash map.
    unsafe { distribution::count_shared(counts, wait) };
    Some(())
}

/// The distribution of the current thread's cgroup, which is the thread that leaves; `None` where there is no room.
#[inline(always)]
fn of_current_cgroup(metric: u32) -> Option<*mut Distribution> {
    // SAFETY: a helper call without arguments.
    let key = CgroupMetric { cgroup: unsafe { bpf_get_current_cgroup_id() }, metric: metric.into() };
    if let Some(counts) = RUNQUEUE_CGROUPS.get_ptr_mut(&key) {
        return Some(counts);
    }
    // SAFETY: an array's element, which nothing writes.
    let empty = unsafe { RUNQUEUE_EMPTY.get_ptr(0)?.as_ref()? };
    // Another CPU may have been faster: its distribution stays.
    const BPF_NOEXIST: u64 = 1;
    let _ = RUNQUEUE_CGROUPS.insert(&key, empty, BPF_NOEXIST);
    RUNQUEUE_CGROUPS.get_ptr_mut(&key)
}
