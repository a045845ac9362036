//! CPU sampling: what runs when the timer or counter fires.

use aya_ebpf::{
    EbpfContext,
    helpers::{bpf_get_current_comm, bpf_get_current_pid_tgid},
    macros::perf_event,
    programs::PerfEventContext,
};
use quell_ebpf_common::{CpuSample, kind};

use crate::{
    maps::{counts, rates},
    record::{self, NO_STACKS, OwnFrames, Slot},
    settings::captures_current,
    value::{count, load},
};

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
        header: record::header(kind::CPU_SAMPLE, record::now(), tid, tgid),
        comm: bpf_get_current_comm().unwrap_or_default(),
        interval: load!(rates.cpu_interval),
        stacks: NO_STACKS,
    };
    record::send_with_stacks(Slot::Cpu, OwnFrames::None, ctx.as_ptr(), sample);
    Some(())
}
