//! Sleeps of idle threads that others waited for: condition 3 of the definition.

use crate::recording::{Recording, Sample};
use crate::units::Nanos;

/// Shows sleeps that delayed others that are shown. The sleep of a waker is always an earlier row, so that one pass from the last row on follows whole chains.
pub(super) fn show_what_delayed_others(recording: &Recording, idle: &mut [bool]) {
    for row in (0..idle.len()).rev().filter(|row| recording.samples[*row].wake.is_some()) {
        let sample = &recording.samples[row];
        let earlier = sample.wake.and_then(|wake| wake.waker_sleep).filter(|_| !idle[row]);
        if let Some(earlier) = earlier
            && is_mostly_within(&recording.samples[earlier.index()], sample)
        {
            idle[earlier.index()] = false;
        }
    }
}

/// Whether at least half of the interval `one` is in the interval `other`.
fn is_mostly_within(one: &Sample, other: &Sample) -> bool {
    let end = |sample: &Sample| sample.time.0.saturating_add(sample.value);
    let shared = Nanos(end(one).min(end(other))).since(one.time.max(other.time));
    shared.0 > 0 && shared.0 >= one.value / 2
}
