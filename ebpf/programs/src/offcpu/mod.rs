//! Off-CPU time: every context switch is accounted, some are sampled.
//!
//! A sleep's stack can only be walked as it begins, when its length is not known. So the probability of walking it comes
//! from a prediction: the decaying maximum of the thread's past sleeps for the same reason. It is never zero and
//! travels with the sample, so the estimate stays unbiased however bad the prediction is; a good one lowers its
//! variance. A maximum rather than a mean: what makes the variance is a long sleep that was taken for a short one.

mod abi;
mod asleep;
mod calls;

use aya_ebpf::{EbpfContext, helpers::bpf_get_current_comm};
use quell_ebpf_common::{ThreadState, reason, sampling};

use crate::{
    hook::{Callbacks, SamplingTime, Sleeper, SwitchIn, SwitchOut, ThreadEnd, Waking, await_wake},
    pace::{self, Fund},
    random::next_random,
    record::{self, NO_STACKS, OwnFrames, Slot, with_stacks},
    settings::setting,
    thread::{self, NO_PREDICTION, known},
    value::{Value, load, store},
};
use abi::{
    CERTAIN, PROBE, SLEEP_END, SLEEP_START, SleepEnd, SleepStart, THREAD_EXIT, THREAD_RENAMED, ThreadExit, WAKE, Wake,
};

with_stacks!(SleepStart, Wake);

/// How much off-CPU time of a thread one sample is for at the full sampling rate: 1 ms, as the probability of sampling a sleep for each
/// nanosecond of its expected length. Those that are expected to last this long or longer are certain.
const ODDS_PER_NANO: u32 = ((1u64 << 32) / 1_000_000) as u32;

/// The least probability at the full sampling rate, 1 in 512. At zero, estimates would be biased. Far below 1 in 512, unexpectedly long
/// sleeps would be sampled so rarely that the samples would not show the error of missing them.
const LEAST_ODDS: u32 = 1 << 23;

/// How many sleeps of a thread are sampled as long ones: the first ones are often short and say little of what follows.
const FIRST_SLEEPS: u32 = 8;

/// How long a thread must have been off the CPU under a name to have totals of its own for it, in nanoseconds.
const LEAST_OF_NAME: u64 = 10_000_000;

/// Its number in records.
pub const NUMBER: u32 = PROBE as u32;

/// The probe `offcpu`.
pub struct Probe;

impl Callbacks for Probe {
    #[inline(always)]
    fn switch_out(event: &SwitchOut<'_>) -> SamplingTime {
        start_sleep(event).unwrap_or(0)
    }

    #[inline(always)]
    fn switch_in(event: &SwitchIn) -> SamplingTime {
        end_sleep(event)
    }

    #[inline(always)]
    fn waking(event: &Waking<'_>) -> SamplingTime {
        sample_wake(event)
    }

    #[inline(always)]
    fn thread_end(event: &ThreadEnd) -> bool {
        let ThreadEnd { now, tid, comm, thread, .. } = *event;
        fold(thread);
        let header = record::header((PROBE, THREAD_EXIT), now, tid, load!(thread.tgid));
        let (totals, generation) = (load!(thread.totals), load!(thread.generation));
        record::send_plain(&ThreadExit { header, comm, totals, generation, next_generation: 0 })
    }

    #[inline(always)]
    fn renamed(event: &ThreadEnd) {
        let ThreadEnd { now, tid, comm, thread, .. } = *event;
        fold(thread);
        let mut nanos = 0;
        for reason in 0..reason::COUNT as u32 {
            let total = thread::total(thread, reason);
            nanos += load!(total.nanos);
        }
        // A thread may do nothing but rename itself: a little goes to its next name.
        if nanos < LEAST_OF_NAME {
            return;
        }
        let header = record::header((PROBE, THREAD_RENAMED), now, tid, load!(thread.tgid));
        let (totals, generation) = (load!(thread.totals), load!(thread.generation));
        // Two of the numbers of one thread id are equal only by chance, and zero is none.
        let next_generation = next_random(generation);
        if record::send_plain(&ThreadExit { header, comm, totals, generation, next_generation }) {
            thread::reset_totals(thread, next_generation);
        }
    }

    #[inline(always)]
    fn asleep_at_start(event: &Sleeper) {
        asleep::enter(event);
    }

    #[inline(always)]
    fn asleep_at_end(event: &Sleeper) {
        asleep::record(event);
    }
}

#[inline(always)]
fn start_sleep(event: &SwitchOut<'_>) -> Option<SamplingTime> {
    let thread = event.thread;
    let (odds, fund) = odds(thread, event);
    let sampled = odds == CERTAIN || draw(thread) <= odds;
    store!(thread.odds, if sampled { odds } else { 0 });
    if !sampled {
        return None;
    }
    store!(thread.fund, fund as u16);
    let start = SleepStart {
        header: record::header((PROBE, SLEEP_START), event.now, event.tid, event.tgid),
        comm: bpf_get_current_comm().unwrap_or_default(),
        seq: load!(thread.seq),
        reason: event.reason,
        // Loaded again for the verifier, as the reason is.
        odds: load!(thread.odds),
        walked: 0,
        user_regs: [0; 3],
        stacks: NO_STACKS,
    };
    // Before the walk, during which it may be woken already.
    await_wake(thread, event.task);
    let before = record::now();
    record::send_with_stacks(Slot::Switch, OwnFrames::One, event.ctx.as_ptr(), start);
    Some(pace::charge(NUMBER, record::cpu(), before, self::fund(thread)))
}

/// The probability of sampling the sleep that begins, in units of 2^-32: what its expected length asks for, and what
/// sampling may cost.
#[inline(always)]
fn odds(thread: Value<ThreadState>, event: &SwitchOut<'_>) -> (u32, Fund) {
    if setting!(sampling) == sampling::EVERY {
        return (CERTAIN, Fund::Window);
    }
    let predicted = predicted(thread, event.reason);
    let scale = u64::from(pace::scale(NUMBER, event.now));
    // Of the first sleeps nothing is known: they count as just long enough to be certain, as far as the pace allows.
    let wanted = if load!(thread.seq) <= FIRST_SLEEPS || predicted == NO_PREDICTION {
        if pace::has_purse(NUMBER) {
            return (CERTAIN, Fund::Purse);
        }
        1 << 32
    } else {
        u64::from(predicted) * u64::from(ODDS_PER_NANO)
    };
    // Below 2^64 each: `wanted` is below 2^45. The length counts before the bound of 1:
    // where the pace is slow, a long sleep is still certain when a short one is not.
    let odds = (wanted >> 13) * scale >> 19;
    let floor = u64::from(LEAST_ODDS) * scale >> 32;
    let odds = if odds > floor { odds } else { floor };
    let odds = if odds >= u64::from(CERTAIN) {
        CERTAIN
    } else if odds == 0 {
        1
    } else {
        odds as u32
    };
    (odds, Fund::Window)
}

/// What pays for the sample of the sleep that goes on.
#[inline(always)]
fn fund(thread: Value<ThreadState>) -> Fund {
    if load!(thread.fund) == Fund::Purse as u16 { Fund::Purse } else { Fund::Window }
}

/// The next of a thread's random numbers.
#[inline(always)]
fn draw(thread: Value<ThreadState>) -> u32 {
    let next = next_random(load!(thread.random));
    store!(thread.random, next);
    next
}

#[inline(always)]
fn predicted(thread: Value<ThreadState>, reason: u32) -> u32 {
    // A match rather than an index: the verifier of 5.10 follows it without help.
    match reason {
        reason::BLOCKED => load!(thread.predicted[0]),
        reason::PREEMPTED => load!(thread.predicted[1]),
        _ => load!(thread.predicted[2]),
    }
}

#[inline(always)]
fn end_sleep(event: &SwitchIn) -> SamplingTime {
    let SwitchIn { now, tid, thread, reason, duration, runqueue } = *event;
    match reason {
        reason::BLOCKED => predict!(thread, 0, duration),
        reason::PREEMPTED => predict!(thread, 1, duration),
        _ => predict!(thread, 2, duration),
    }
    count_recent(thread, reason, duration);
    if load!(thread.odds) == 0 {
        return 0;
    }
    let end = SleepEnd {
        header: record::header((PROBE, SLEEP_END), now, tid, load!(thread.tgid)),
        duration,
        runqueue,
        seq: load!(thread.seq),
        reason,
    };
    let before = record::now();
    record::send_plain(&end);
    pace::charge(NUMBER, load!(thread.cpu).into(), before, fund(thread))
}

/// Takes a sleep into what the next one for its reason is expected to be. The index is a literal: the verifier of 5.10 follows it
/// without help.
macro_rules! predict {
    ($thread:ident, $reason:literal, $duration:ident) => {
        store!($thread.predicted[$reason], expected(load!($thread.predicted[$reason]), $duration))
    };
}
use predict;

/// Adds a sleep to the totals of its thread. Most threads sleep many times for one reason: such sleeps are summed up beside what
/// every switch needs, and the totals are touched when the reason changes.
#[inline(always)]
fn count_recent(thread: Value<ThreadState>, reason: u32, duration: u64) {
    if load!(thread.recent_reason) != reason {
        fold(thread);
        store!(thread.recent_reason, reason);
    }
    store!(thread.recent_count, load!(thread.recent_count).wrapping_add(1));
    store!(thread.recent_nanos, load!(thread.recent_nanos) + duration);
}

/// Moves the recent sleeps of a thread into its totals.
#[inline(always)]
fn fold(thread: Value<ThreadState>) {
    let total = thread::total(thread, load!(thread.recent_reason));
    store!(total.count, load!(total.count) + u64::from(load!(thread.recent_count)));
    store!(total.nanos, load!(total.nanos) + load!(thread.recent_nanos));
    store!(thread.recent_count, 0);
    store!(thread.recent_nanos, 0);
}

/// How long the next sleep is expected to be: as long as this one, or as `predicted` before, which decays.
#[inline(always)]
fn expected(predicted: u32, duration: u64) -> u32 {
    // One below the sentinel: 4.29 s, far beyond any length that is sampled for certain.
    let length = if duration >= u64::from(NO_PREDICTION) { NO_PREDICTION - 1 } else { duration as u32 };
    if predicted == NO_PREDICTION || length >= predicted { length } else { predicted - ((predicted - length) >> 4) }
}

#[inline(always)]
fn sample_wake(event: &Waking<'_>) -> SamplingTime {
    let Waking { ctx, now, woken_tid, woken, waker_tid, waker_tgid } = *event;
    // A sleep counts without its waker: thousands of threads that sleep as a capture begins may be woken at once.
    if pace::is_in_debt(NUMBER, load!(woken.cpu).into()) {
        return 0;
    }
    let waker_seq = match known(waker_tid, waker_tgid) {
        Some(waker) => load!(waker.seq),
        None => 0,
    };
    let wake = Wake {
        header: record::header((PROBE, WAKE), now, waker_tid, waker_tgid),
        comm: bpf_get_current_comm().unwrap_or_default(),
        woken_tid,
        woken_seq: load!(woken.seq),
        waker_seq,
        pad: 0,
        stacks: NO_STACKS,
    };
    let before = record::now();
    record::send_with_stacks(Slot::Wake, OwnFrames::One, ctx.as_ptr(), wake);
    pace::charge(NUMBER, load!(woken.cpu).into(), before, fund(woken))
}
