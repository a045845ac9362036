//! CPU sampling: what runs when the timer or counter fires.

use aya_ebpf::{
    EbpfContext,
    helpers::{bpf_get_current_comm, bpf_get_current_pid_tgid},
    macros::perf_event,
    programs::PerfEventContext,
};
use quell_ebpf_common::{CpuSample, kind};

use crate::{
    maps::{RATES, counts},
    record::{self, NO_STACKS, OwnFrames, Slot},
    settings::captures_current,
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
    counts.interrupts += 1;
    let id = bpf_get_current_pid_tgid();
    let (tgid, tid) = ((id >> 32) as u32, id as u32);
    if tid == 0 {
        counts.idle += 1;
        return None;
    }
    if !captures_current(tgid) {
        return None;
    }
    counts.cpu_samples += 1;
    let rates = RATES.get_ptr(0)?;
    let sample = CpuSample {
        header: record::header(kind::CPU_SAMPLE, record::now(), tid, tgid),
        comm: bpf_get_current_comm().unwrap_or_default(),
        // SAFETY: an array's element lives as long as the map; the user side writes it as one 8-byte store.
        interval: unsafe { (*rates).cpu_interval },
        stacks: NO_STACKS,
    };
    record::send_with_stacks(Slot::Cpu, OwnFrames::None, ctx.as_ptr(), sample);
    Some(())
}
