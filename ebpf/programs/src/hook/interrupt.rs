//! A sampling interrupt: a timer or counter of a perf event fires.

use aya_ebpf::{
    helpers::{bpf_get_current_pid_tgid, bpf_get_current_task, bpf_probe_read_kernel},
    macros::perf_event,
    programs::PerfEventContext,
};
use quell_ebpf_common::hook;

use super::{SamplingTime, begin, end, interrupt};
use crate::{
    maps::last_interrupt,
    record,
    settings::setting,
    target::captures_current,
    value::{count, load, store},
};

/// A sampling interrupt of a captured thread.
pub struct Interrupt<'a> {
    /// For helpers.
    pub ctx: &'a PerfEventContext,
    /// The time of the event: `CLOCK_MONOTONIC`, in nanoseconds.
    pub now: u64,
    /// The thread that runs.
    pub tid: u32,
    /// Its process.
    pub tgid: u32,
    /// The time since the last interrupt, if the thread has run all the while.
    pub ran: Option<u64>,
}

/// On each perf event.
#[perf_event]
pub fn quell_interrupt(ctx: PerfEventContext) -> u32 {
    let begun = begin(hook::INTERRUPT);
    let sampling = handle(&ctx, record::now()).unwrap_or(0);
    end(hook::INTERRUPT, begun, sampling);
    0
}

#[inline(always)]
fn handle(ctx: &PerfEventContext, now: u64) -> Option<SamplingTime> {
    let id = bpf_get_current_pid_tgid();
    let (tgid, tid) = ((id >> 32) as u32, id as u32);
    let ran = ran_since_last(tid, now);
    if tid == 0 {
        let last = last_interrupt()?;
        count!(last.idle);
        return None;
    }
    if !captures_current(tgid) {
        return None;
    }
    Some(interrupt(&Interrupt { ctx, now, tid, tgid, ran }))
}

/// The time since this CPU's last interrupt, where that found the same thread and the thread has not left the CPU since:
/// it has run all the while. Interrupts come late, or not at all, where a hypervisor runs other guests, where the kernel
/// throttles them, and where interrupts are off for long; and an idle CPU may have none.
#[inline(always)]
fn ran_since_last(tid: u32, now: u64) -> Option<u64> {
    let last = last_interrupt()?;
    let switches = switches()?;
    let same = load!(last.tid) == u64::from(tid) && load!(last.switches) == switches;
    let time = load!(last.time);
    store!(last.tid, u64::from(tid));
    store!(last.switches, switches);
    store!(last.time, now);
    (same && time != 0).then(|| now - time)
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
