//! CPU sampling: the stacks of what runs when a timer or counter fires.

mod abi;

use aya_ebpf::{
    EbpfContext,
    helpers::{bpf_get_current_comm, generated::bpf_get_prandom_u32},
};

use crate::{
    hook::{Callbacks, Interrupt, SamplingTime},
    pace::{self, Fund},
    record::{self, NO_STACKS, OwnFrames, Slot, with_stacks},
};
use abi::{CPU_SAMPLE, CpuSample, PROBE};

with_stacks!(CpuSample);

/// Its number in records.
pub const NUMBER: u32 = PROBE as u32;

/// The probe `cpu`.
pub struct Probe;

impl Callbacks for Probe {
    #[inline(always)]
    fn interrupt(event: &Interrupt<'_>) -> SamplingTime {
        let odds = pace::scale(NUMBER, event.now);
        // SAFETY: a helper call without arguments.
        if odds != pace::CERTAIN && unsafe { bpf_get_prandom_u32() } >= odds {
            return 0;
        }
        let sample = CpuSample {
            header: record::header((PROBE, CPU_SAMPLE), event.now, event.tid, event.tgid),
            comm: bpf_get_current_comm().unwrap_or_default(),
            ran: event.ran.unwrap_or(0),
            odds,
            pad: 0,
            stacks: NO_STACKS,
        };
        record::send_with_stacks(Slot::Interrupt, OwnFrames::None, event.ctx.as_ptr(), sample);
        pace::charge(NUMBER, record::cpu(), event.now, Fund::Window)
    }
}
