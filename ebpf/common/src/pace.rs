//! Rate control: what sampling costs on each CPU, and how it is kept within what it may cost.
//!
//! A probe samples an event with a base probability of its own, which is multiplied by the [`Pace::scale`](crate::Pace::scale) of its CPU.
//! The scale follows what the samples of the last windows took: it depends on the past only and travels with the
//! sample, so the estimate stays unbiased.

use core::cmp::{max, min};

/// How long a window is: 2^25 ns, some 34 ms. A window whose samples have taken their whole allowance ends at once.
pub const WINDOW_SHIFT: u32 = 25;

/// [`Pace::scale`](crate::Pace::scale) without a limit: 1.
pub const FULL: u32 = u32::MAX;

/// The smallest scale, 2^-18: low enough for a million switches per second, and high enough to recover from within a second.
pub const LOWEST: u32 = 1 << 14;

/// How many windows [`Pace::demand`](crate::Pace::demand) remembers, as a power of two. A window has room for few samples of a tight
/// budget: what one window shows is mostly chance.
const MEMORY: u32 = 3;

/// How long they last, as a power of two.
const MEMORY_SHIFT: u32 = WINDOW_SHIFT + MEMORY;

/// The least that the purse for first sleeps must have for a sample: about what it takes, with the walk of the waker's stack. With less,
/// every window would have one, however small the allowance is.
pub const LEAST_PURSE: u64 = 1 << 15;

/// What counts of the nanoseconds that the samples of a window took. A window ends with the sample that exceeds its allowance, so
/// that much more is no cost of sampling: a hypervisor ran something else. At a small scale it would push sampling down for seconds.
#[inline(always)]
#[must_use]
pub fn credible(spent: u64, allowance: u64) -> u64 {
    min(spent, max(min(allowance, 1 << WINDOW_SHIFT) << 1, 1 << 16))
}

/// Nanoseconds that samples would take at the full rate in the time that is remembered, after a window that lasted `elapsed`
/// nanoseconds and whose samples took `spent` of them at `scale`.
#[inline(always)]
#[must_use]
pub fn next_demand(demand: u64, scale: u32, spent: u64, elapsed: u64) -> u64 {
    let full = (min(spent, 1 << 30) << 32) / u64::from(max(scale, LOWEST));
    // All of what is remembered passed in this window.
    if let Some(full) = full.checked_div(elapsed >> MEMORY_SHIFT) {
        return full;
    }
    // In parts of 2^14 ns, below 2^14 of them.
    let parts = elapsed >> 14;
    let left = demand - min((demand >> (MEMORY_SHIFT - 14)) * parts, demand);
    min(left + full, 1 << 50)
}

/// The scale at which samples of this [`demand`](next_demand) take their `allowance`, and make up for the `debt`, in the time that is
/// remembered; however large the debt is, an eighth of the allowance is left.
#[inline(always)]
#[must_use]
pub fn next_scale(demand: u64, debt: u64, allowance: u64) -> u32 {
    let allowance = min(allowance, 1 << WINDOW_SHIFT);
    let budget = max((allowance << MEMORY).saturating_sub(debt), allowance);
    if demand <= budget {
        return FULL;
    }
    // Below 2^59, and the ratio below 1.
    let scale = (budget << 30) / max(demand >> 2, 1);
    min(max(scale, LOWEST as u64), FULL as u64) as u32
}

/// What of the allowance is not put into the purse.
#[inline(always)]
#[must_use]
pub fn for_samples(allowance: u64) -> u64 {
    let allowance = min(allowance, 1 << WINDOW_SHIFT);
    allowance - (allowance >> 3)
}

/// What of `debt` is left after a window that lasted `elapsed` nanoseconds and in which sampling took `spent` of them, where it may
/// take `allowance` per full window: at most the allowance of 16 windows.
#[inline(always)]
#[must_use]
pub fn next_debt(debt: u64, spent: u64, elapsed: u64, allowance: u64) -> u64 {
    // A second: more than any debt takes.
    min(
        (debt + spent).saturating_sub(allowed(min(elapsed, 1 << 30), allowance)),
        min(allowance, 1 << WINDOW_SHIFT) << 4,
    )
}

/// What is in the purse for the first sleeps of threads after a window that lasted `elapsed` nanoseconds: an eighth of what may be spent
/// goes there, at most the allowance of 8 windows. Nothing is known of a first sleep, and some threads have but one, as long as
/// they live: at a slow pace nobody would see where.
#[inline(always)]
#[must_use]
pub fn next_purse(purse: u64, elapsed: u64, allowance: u64) -> u64 {
    // Two seconds fill it.
    min(purse + (allowed(min(elapsed, 1 << 31), allowance) >> 3), min(allowance, 1 << WINDOW_SHIFT) << 3)
}

/// What sampling may take in `elapsed` nanoseconds, below 2^47, if it may take `allowance` per full window.
#[inline(always)]
fn allowed(elapsed: u64, allowance: u64) -> u64 {
    ((min(allowance, 1 << WINDOW_SHIFT) >> 3) * (elapsed >> 10)) >> (WINDOW_SHIFT - 13)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: u64 = 1 << WINDOW_SHIFT;

    /// What `windows` full windows of the same demand at the full rate lead to.
    fn settled(per_window: u64, allowance: u64, windows: u32) -> u32 {
        let (mut scale, mut demand, mut debt) = (FULL, 0, 0);
        for _ in 0..windows {
            let spent = (u128::from(per_window) * u128::from(scale) / u128::from(FULL)) as u64;
            // The window ends when its allowance is spent.
            let elapsed = if spent > allowance { WINDOW * allowance / spent } else { WINDOW };
            let spent = min(spent, allowance);
            demand = next_demand(demand, scale, spent, elapsed);
            debt = next_debt(debt, spent, elapsed, allowance);
            scale = next_scale(demand, debt, allowance);
        }
        scale
    }

    #[test]
    fn the_scale_settles_where_samples_take_what_they_may() {
        for (per_window, allowance) in [(1 << 20, 10_000), (1 << 25, 80_000), (1 << 28, 80_000), (90_000, 80_000)] {
            let expected = allowance as f64 / per_window as f64;
            let ratio = f64::from(settled(per_window, allowance, 400)) / f64::from(FULL) / expected;
            assert!((0.9..1.05).contains(&ratio), "{per_window} {allowance}: {ratio}");
        }
        assert_eq!(settled(79_000, 80_000, 400), FULL);
    }

    #[test]
    fn a_surge_takes_sixteen_allowances_more_than_it_may_at_most() {
        // From nothing to a million events in a second, each of which takes 8 us.
        let (allowance, event, cost) = (80_000, 1_000, 8_000);
        let (mut scale, mut demand, mut debt) = (FULL, 0, 0);
        let (mut now, mut begun, mut spent, mut all, mut odds) = (0, 0, 0, 0, 0);
        while now < 8 * WINDOW {
            if spent >= allowance || now - begun >= WINDOW {
                demand = next_demand(demand, scale, spent, now - begun);
                debt = next_debt(debt, spent, now - begun, allowance);
                scale = next_scale(demand, debt, allowance);
                (begun, spent) = (now, 0);
            }
            // Every event that makes the sum of probabilities whole is sampled.
            odds += u64::from(scale);
            if odds >> 32 != 0 {
                odds &= u64::from(FULL);
                spent += cost;
                all += cost;
                now += cost;
            }
            now += event;
        }
        assert!(all < (8 + 16) * allowance, "{} allowances", all / allowance);
    }

    #[test]
    fn windows_that_differ_by_chance_change_the_scale_by_little() {
        // Two or three samples of 10 us each, as chance has it, where 25 us are allowed: at a scale of 1 in 10.
        let mut demand = 8 * 250_000;
        for spent in [20_000, 30_000, 0, 50_000, 20_000, 30_000, 10_000, 40_000] {
            demand = next_demand(demand, FULL / 10, spent, WINDOW);
            let scale = f64::from(next_scale(demand, 0, 25_000)) / f64::from(FULL);
            assert!((0.075..0.13).contains(&scale), "{scale}");
        }
    }

    #[test]
    fn a_stall_of_the_hypervisor_lowers_the_scale_by_little() {
        let (scale, allowance) = (FULL / 2_000, 80_000);
        let demand = 8 * 2_000 * allowance;
        let stall = credible(30_000_000, allowance);
        let after =
            next_scale(next_demand(demand, scale, stall, WINDOW), next_debt(0, stall, WINDOW, allowance), allowance);
        assert!(after > scale / 2, "{after}, from {scale}");
    }

    #[test]
    fn a_debt_leaves_an_eighth_of_the_allowance() {
        let ratio = |debt| f64::from(next_scale(1 << 30, debt, 80_000)) / f64::from(next_scale(1 << 30, 0, 80_000));
        assert!((ratio(4 * 80_000) - 0.5).abs() < 0.01);
        assert!((ratio(100 * 80_000) - 0.125).abs() < 0.01);
    }

    #[test]
    fn what_was_spent_beyond_the_allowance_is_owed_until_windows_have_made_up_for_it() {
        let about = |value: u64, expected: u64| assert!(value.abs_diff(expected) < 1_000, "{value}, not {expected}");
        about(next_debt(0, 80_000, WINDOW, 80_000), 0);
        about(next_debt(0, 100_000, WINDOW / 80, 80_000), 99_000);
        about(next_debt(99_000, 20_000, WINDOW, 80_000), 39_000);
        about(next_debt(99_000, 0, 2 * WINDOW, 80_000), 0);
        assert_eq!(next_debt(0, 1 << 40, 0, 80_000), 16 * 80_000);
        assert_eq!(next_debt(1 << 29, 0, u64::MAX, u64::MAX), 0, "a second makes up for any debt");
    }

    #[test]
    fn the_purse_for_first_sleeps_fills_with_an_eighth_of_what_may_be_spent() {
        let about = |value: u64, expected: u64| assert!(value.abs_diff(expected) < 1_000, "{value}, not {expected}");
        about(next_purse(0, WINDOW, 80_000), 10_000);
        about(next_purse(5_000, 4 * WINDOW, 80_000), 45_000);
        assert_eq!(next_purse(0, u64::MAX, 80_000), 8 * 80_000, "it is full when a capture begins");
        assert_eq!(next_purse(8 * 80_000, WINDOW, 8_000), 8 * 8_000);
        assert_eq!(next_purse(1 << 28, u64::MAX, u64::MAX), WINDOW << 3);
    }

    #[test]
    fn the_scale_stays_within_its_bounds_whatever_was_measured() {
        let extremes = [0, 1, 1 << 14, 1 << 25, 1 << 28, 1 << 46, 1 << 50, u64::MAX];
        for spent in extremes {
            for elapsed in extremes {
                for scale in [LOWEST, FULL] {
                    let demand = next_demand(1 << 50, scale, spent, elapsed);
                    assert!(demand <= 1 << 50);
                    for allowance in extremes {
                        for debt in extremes {
                            assert!((LOWEST..=FULL).contains(&next_scale(demand, debt, allowance)));
                        }
                    }
                }
            }
        }
        assert_eq!(next_scale(0, 0, 0), FULL, "nothing was spent");
        assert_eq!(next_demand(1 << 50, FULL, 0, u64::MAX), 0, "what was long ago is forgotten");
    }
}
