//! Rate control: what sampling costs on each CPU, and how it is kept within what it may cost.
//!
//! A probe samples an event with a base probability of its own, which is multiplied by the [`Pace::scale`](crate::Pace::scale) of its CPU.
//! The scale follows what the samples of the last window took: it depends on the past only and travels with the
//! sample, so the estimate stays unbiased.

use core::cmp::{max, min};

/// How long a window is: 2^25 ns, some 34 ms. A window whose samples have taken their whole allowance ends at once.
pub const WINDOW_SHIFT: u32 = 25;

/// [`Pace::scale`](crate::Pace::scale) without a limit: 1.
pub const FULL: u32 = u32::MAX;

/// The smallest scale, 2^-18: low enough for a million switches per second, and high enough to recover from within a second.
pub const LOWEST: u32 = 1 << 14;

/// The scale for the next window, when the last one lasted `elapsed` nanoseconds and sampling took `spent` of them. Per
/// full window it may take `allowance`. The scale falls to a sixteenth at most and doubles at most.
#[inline(always)]
#[must_use]
pub fn next_scale(scale: u32, spent: u64, elapsed: u64, allowance: u64) -> u32 {
    // A day: past it the product would overflow.
    let allowed = allowed(min(elapsed, 1 << 46), allowance);
    let scale = u64::from(scale);
    let next = if spent > allowed {
        max(scale * (max(allowed, spent >> 4) >> 2) / max(spent >> 2, 1), scale >> 4)
    } else if spent > allowed >> 1 {
        scale * (allowed >> 2) / max(spent >> 2, 1)
    } else {
        scale << 1
    };
    min(max(next, LOWEST as u64), FULL as u64) as u32
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

    #[test]
    fn a_window_that_took_what_it_may_changes_nothing_much() {
        for allowance in [10_000, 80_000, 1 << 20] {
            let next = next_scale(1 << 20, allowance, WINDOW, allowance);
            let ratio = f64::from(next) / f64::from(1u32 << 20);
            assert!((0.98..1.02).contains(&ratio), "{allowance}: {ratio}");
        }
    }

    #[test]
    fn the_scale_follows_the_ratio_of_what_was_allowed_to_what_was_spent() {
        let ratio =
            |spent: u64, elapsed: u64| f64::from(next_scale(1 << 24, spent, elapsed, 80_000)) / f64::from(1u32 << 24);
        assert!((ratio(160_000, WINDOW) - 0.5).abs() < 0.01);
        assert!((ratio(80_000, WINDOW / 4) - 0.25).abs() < 0.01, "{}", ratio(80_000, WINDOW / 4));
        assert!((ratio(60_000, WINDOW) - 80.0 / 60.0).abs() < 0.02);
        assert!((ratio(80_000, 1) - 1.0 / 16.0).abs() < 0.001, "it falls to a sixteenth at most");
        assert!((ratio(0, WINDOW) - 2.0).abs() < 0.001, "it doubles at most");
        assert_eq!(next_scale(1 << 24, 0, WINDOW, 0), 1 << 25, "nothing was spent");
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
    fn the_scale_stays_within_its_bounds() {
        assert_eq!(next_scale(FULL, 0, WINDOW, 80_000), FULL);
        assert_eq!(next_scale(LOWEST, 1 << 40, 1, 0), LOWEST);
        assert_eq!(next_scale(LOWEST, 0, u64::MAX, u64::MAX), LOWEST << 1);
        assert_eq!(
            next_scale(FULL, u64::MAX >> 20, u64::MAX, u64::MAX),
            next_scale(FULL, u64::MAX >> 20, 1 << 46, u64::MAX)
        );
    }
}
