//! CPU sampling: what runs when the timer or counter fires.

use aya_ebpf::{
    EbpfContext,
    helpers::{bpf_get_current_comm, bpf_get_current_pid_tgid, bpf_get_current_task, bpf_probe_read_kernel},
    macros::perf_event,
    programs::PerfEventContext,
};
use quell_ebpf_common::{CpuSample, kind};

use crate::{
    maps::{counts, found, rates},
    record::{self, NO_STACKS, OwnFrames, Slot},
    settings::{captures_current, setting},
    value::{count, load, store},
};

/// What a sampling interrupt found on its CPU.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Found {
    /// When, in nanoseconds; 0 before the first.
    time: u64,
    /// How often the thread had left a CPU by then.
    switches: u64,
    /// The thread.
    tid: u64,
}

/// On each perf event: records the running thread's stacks.
#[perf_event]
pub fn quell_cpu(ctx: PerfEventContext) -> u32 {
    sample(&ctx);
    0
}

#[inline(always)]
fn sample(ctx: &PerfEventContext) -> Option<()> {
    let counts = counts()?;
    count!(counts.interrupts);
    let id = bpf_get_current_pid_tgid();
    let (tgid, tid) = ((id >> 32) as u32, id as u32);
    let now = record::now();
    let throughout = ran_throughout(tid, now);
    if tid == 0 {
        count!(counts.idle);
        return None;
    }
    if !captures_current(tgid) {
        return None;
    }
    count!(counts.cpu_samples);
    let rates = rates()?;
    let sample = CpuSample {
        header: record::header(kind::CPU_SAMPLE, now, tid, tgid),
        comm: bpf_get_current_comm().unwrap_or_default(),
        interval: throughout.unwrap_or(load!(rates.cpu_interval)),
        stacks: NO_STACKS,
    };
    record::send_with_stacks(Slot::Cpu, OwnFrames::None, ctx.as_ptr(), sample);
    Some(())
}

/// The time since this CPU's last interrupt, where that found the same thread and the thread has not left the CPU since:
/// it has run all the while. Interrupts come late, or not at all, where a hypervisor runs other guests, where the kernel
/// throttles them, and where interrupts are off for long; and an idle CPU may have none.
#[inline(always)]
fn ran_throughout(tid: u32, now: u64) -> Option<u64> {
    let found = found()?;
    let switches = switches()?;
    let same = load!(found.tid) == u64::from(tid) && load!(found.switches) == switches;
    let last = load!(found.time);
    store!(found.tid, u64::from(tid));
    store!(found.switches, switches);
    store!(found.time, now);
    (same && last != 0).then(|| now - last)
}

/// How often the current thread has left a CPU.
#[inline(always)]
fn switches() -> Option<u64> {
    // SAFETY: a helper call without arguments.
    let task = unsafe { bpf_get_current_task() } as *const u8;
    let read = |offset: u32| {
        // SAFETY: the helper checks the address and fails rather than faults.
        unsafe { bpf_probe_read_kernel(task.wrapping_add(offset as usize).cast::<u64>()) }.ok()
    };
    Some(read(setting!(task_switches[0]))? + read(setting!(task_switches[1]))?)
}
