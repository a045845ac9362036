//! Rate control on this CPU; how it works is told in `quell_ebpf_common::pace`.

use quell_ebpf_common::{
    PROBES, Pace,
    pace::{FULL, LEAST_PURSE, WINDOW_SHIFT, credible, for_samples, next_debt, next_demand, next_purse, next_scale},
    sampling,
};

use crate::{
    maps::{ALLOWANCES, PACES},
    record,
    settings::setting,
    value::{Value, load, store},
};

/// A probability of 1, in units of 2^-32.
pub const CERTAIN: u32 = FULL;

/// The scale of a probe's probabilities on this CPU at `now`, in units of 2^-32.
#[inline(always)]
pub fn scale(probe: u32, now: u64) -> u32 {
    if setting!(sampling) != sampling::PACED {
        return FULL;
    }
    let index = record::cpu() * PROBES + probe;
    let Some(pace) = pace(index) else { return FULL };
    let (spent, allowance) = (load!(pace.spent), u64::from(load!(pace.allowance)));
    let elapsed = now.wrapping_sub(load!(pace.window));
    if elapsed >> WINDOW_SHIFT == 0 && spent < allowance {
        return load!(pace.scale);
    }
    // LLVM would conclude what it returns, and leave out checks that the verifier needs.
    core::hint::black_box(quell_next_window(index, now))
}

/// Begins the next window of an element of `PACES` and returns its scale. A function of its own to the verifier, which follows all its paths
/// once, and not once for each path of each program that comes here. Its arguments are numbers: 5.10 allows no others.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn quell_next_window(index: u32, now: u64) -> u32 {
    let (Some(pace), Some(whole)) = (pace(index), ALLOWANCES.get(index)) else { return FULL };
    let (whole, allowance) = (*whole, u64::from(load!(pace.allowance)));
    let elapsed = now.wrapping_sub(load!(pace.window));
    let spent = credible(load!(pace.spent), allowance);
    let demand = next_demand(load!(pace.demand), load!(pace.scale), spent, elapsed);
    let debt = next_debt(load!(pace.debt), spent, elapsed, allowance);
    let allowance = for_samples(whole);
    let scale = next_scale(demand, debt, allowance);
    store!(pace.demand, demand);
    store!(pace.debt, debt);
    store!(pace.purse, next_purse(load!(pace.purse), elapsed, whole));
    store!(pace.window, now);
    store!(pace.spent, 0);
    store!(pace.allowance, allowance as u32);
    store!(pace.scale, scale);
    scale
}

/// Whether samples of a probe on `cpu` have taken so much more than they may that what they can do without is left out.
#[inline(always)]
pub fn is_in_debt(probe: u32, cpu: u32) -> bool {
    if setting!(sampling) != sampling::PACED {
        return false;
    }
    match pace(cpu.wrapping_mul(PROBES).wrapping_add(probe)) {
        Some(pace) => load!(pace.debt) + load!(pace.spent) > 4 * u64::from(load!(pace.allowance)),
        None => false,
    }
}

/// What pays for a sample.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u16)]
pub enum Fund {
    /// What may be spent in a window.
    Window = 0,
    /// What is put aside for the first sleeps of threads.
    Purse = 1,
}

/// Whether the purse for first sleeps has what a sample takes, on this CPU.
#[inline(always)]
pub fn has_purse(probe: u32) -> bool {
    match pace(record::cpu() * PROBES + probe) {
        Some(pace) => load!(pace.purse) >= LEAST_PURSE,
        None => false,
    }
}

/// Charges a sample that began at `start` and has just been taken to a probe on `cpu`: not always this one, since the
/// walk of a waker's stack belongs to the sample that the sleeper's CPU chose. Returns the nanoseconds that it took.
#[inline(always)]
pub fn charge(probe: u32, cpu: u32, start: u64, fund: Fund) -> u64 {
    let nanos = record::now().wrapping_sub(start);
    if let Some(pace) = pace(cpu.wrapping_mul(PROBES).wrapping_add(probe)) {
        // What another CPU adds between the load and the store is lost: so little that an atomic addition is not worth its
        // price, and BPF programs before 5.12 have but one kind of it.
        if fund == Fund::Purse {
            store!(pace.purse, load!(pace.purse).saturating_sub(nanos));
        } else {
            store!(pace.spent, load!(pace.spent) + nanos);
        }
        store!(pace.nanos, load!(pace.nanos) + nanos);
        store!(pace.samples, load!(pace.samples) + 1);
    }
    nanos
}

#[inline(always)]
fn pace(index: u32) -> Option<Value<Pace>> {
    // SAFETY: an array's element.
    PACES.get_ptr_mut(index).map(|pace| unsafe { Value::new(pace) })
}
