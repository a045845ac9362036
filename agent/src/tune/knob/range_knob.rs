//! A knob whose value is a range in two files, one for each bound.
//!
//! Both bounds form one knob because the kernel checks each bound against the other: the order in which they must be written
//! depends on both, when the range is set and when it is restored.

use std::thread;
use std::time::{Duration, Instant};

use crate::host::Host;
use crate::tune::knob::checks::targets_of;
use crate::tune::knob::error::KnobError;
use crate::tune::knob::knob::Knob;
use crate::tune::knob::reading::{Held, Reading};
use crate::tune::knob::spec::KnobSpec;
use crate::tune::knob::value_file::{check_writable, offline_reason, path_for, read_number, write};
use crate::tune::value::{KnobTarget, Range, RangeBound, Value};

/// A range in two files.
pub(super) struct RangeKnob {
    /// The description of the knob.
    pub spec: KnobSpec,
    /// The path of the lower bound; `{}` is replaced by the target.
    pub low: &'static str,
    /// The path of the upper bound; `{}` is replaced by the target.
    pub high: &'static str,
    /// The directory that contains a directory for each target, for [`Scope::Each`].
    pub target_directory: Option<&'static str>,
    /// The maximum time until the files return the written values.
    pub delay: Duration,
    /// The limits of the hardware; `None` if the driver does not report them.
    pub limits: fn(&Host, &KnobTarget) -> Option<HardwareLimits>,
}

/// The pause between two reads while the files do not return the written values yet.
const POLL_INTERVAL: Duration = Duration::from_millis(1);

/// The numbers that the hardware supports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct HardwareLimits {
    /// The smallest number, in the unit of the knob.
    pub min: i64,
    /// The largest number, in the unit of the knob.
    pub max: i64,
    /// The supported numbers between the limits.
    pub steps: Steps,
    /// If `min` is an estimate, the maximum difference between it and the minimum of the kernel; otherwise 0.
    pub tolerance: i64,
}

/// The numbers that the hardware supports between its limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Steps {
    /// All numbers.
    Any,
    /// Multiples of this number.
    Of(i64),
    /// These numbers, in ascending order.
    Table(Vec<i64>),
}

impl HardwareLimits {
    /// The bounds that the kernel would use. With a table: the lowest supported number not below `low`, and the highest not
    /// above `high` (CPUFREQ_RELATION_L and _H, include/linux/cpufreq.h). With steps, both bounds are rounded down.
    fn supported_bounds(&self, range: Range) -> (i64, i64) {
        let (low, high) = (range.low.clamp(self.min, self.max), range.high.clamp(self.min, self.max));
        let (low, high) = match &self.steps {
            Steps::Any => (low, high),
            Steps::Of(step) => (low / step * step, high / step * step),
            Steps::Table(table) => (
                table.iter().copied().find(|number| *number >= low).unwrap_or(low),
                table.iter().rev().copied().find(|number| *number <= high).unwrap_or(high),
            ),
        };
        (low, high.max(low))
    }

    /// The range with these bounds. A bound that equals a limit of the hardware is replaced by the name of the limit. The
    /// kernel may have rounded the minimum.
    fn range(&self, (low, high): (i64, i64)) -> Range {
        let high = if high == self.max { high } else { self.round_to_min(high) };
        let (min, max) = ((self.min, RangeBound::Min), (self.max, RangeBound::Max));
        Range { low: named_bound(self.round_to_min(low), [min, max]), high: named_bound(high, [max, min]) }
    }

    fn round_to_min(&self, number: i64) -> i64 {
        let is_min = (self.min - self.tolerance..=self.min + self.tolerance).contains(&number);
        if is_min { self.min } else { number }
    }
}

/// The first of the names whose number matches, otherwise the number itself.
fn named_bound(number: i64, names: [(i64, RangeBound); 2]) -> RangeBound {
    let named = names.into_iter().find(|(limit, _)| *limit == number);
    named.map_or(RangeBound::Number(number), |(_, name)| name)
}

/// A bound as a number. A number is not limited: an original value may be outside the current limits of the hardware.
fn exact_bound(bound: RangeBound, limits: &HardwareLimits) -> i64 {
    match bound {
        RangeBound::Number(number) => number,
        bound => bound.clamp(limits.min, limits.max),
    }
}

impl RangeKnob {
    /// Both bounds as numbers, or the reason why there are none.
    fn numbers(&self, host: &Host, target: &KnobTarget) -> Result<Result<(i64, i64), String>, KnobError> {
        let low = read_number(host, &path_for(self.low, target), self.low)?;
        let high = read_number(host, &path_for(self.high, target), self.high)?;
        Ok(low.and_then(|low| Ok((low, high?))))
    }
}

impl Knob for RangeKnob {
    fn spec(&self) -> &KnobSpec {
        &self.spec
    }

    fn targets(&self, host: &Host) -> Vec<KnobTarget> {
        let Some(parent) = self.target_directory else { return targets_of(self.spec.scope, host) };
        let names = host.root.list(parent).unwrap_or_default();
        let directories = names.into_iter().filter(|name| host.root.has(&format!("{parent}/{name}/.")));
        without_aggregates(directories.collect()).into_iter().map(KnobTarget::Name).collect()
    }

    fn read(&self, host: &Host, target: &KnobTarget) -> Result<Reading, KnobError> {
        let bounds = match self.numbers(host, target)? {
            Ok(bounds) => bounds,
            Err(reason) => return Ok(Reading::Absent(offline_reason(host, target).unwrap_or(reason))),
        };
        Ok(match (self.limits)(host, target) {
            Some(limits) => Reading::Value(Value::Range(limits.range(bounds))),
            None => Reading::Absent("the driver does not report the limits of the hardware".to_owned()),
        })
    }

    fn normalize(&self, host: &Host, target: &KnobTarget, value: &Value) -> Result<Value, KnobError> {
        Ok(match (value, (self.limits)(host, target)) {
            (Value::Range(range), Some(limits)) => Value::Range(limits.range(limits.supported_bounds(*range))),
            _ => value.clone(),
        })
    }

    fn write(&self, host: &Host, target: &KnobTarget, value: &Value) -> Result<Held, KnobError> {
        let (Value::Range(range), Some(limits)) = (value, (self.limits)(host, target)) else {
            return Err(KnobError::WrongTarget { target: target.clone() });
        };
        let (low, high) = (exact_bound(range.low, &limits), exact_bound(range.high, &limits));
        let Ok(current) = self.numbers(host, target)? else {
            return Err(KnobError::WrongTarget { target: target.clone() });
        };
        let files = [path_for(self.low, target), path_for(self.high, target)];
        let (desired, original) = ([low, high], [current.0, current.1]);
        let [first, second] = write_order(current, (low, high));
        write(host, &files[first], &desired[first].to_string())?;
        let written = write(host, &files[second], &desired[second].to_string());
        written.map_err(|error| error.after_restore(write(host, &files[first], &original[first].to_string())))?;
        let begin = Instant::now();
        while self.numbers(host, target)? != Ok((low, high)) && begin.elapsed() < self.delay {
            thread::sleep(POLL_INTERVAL);
        }
        Ok(Held::Nothing)
    }

    fn check_writable(&self, host: &Host, target: &KnobTarget) -> Result<(), KnobError> {
        check_writable(host, &path_for(self.low, target))
    }
}

/// The directories without those that control several others. If there are clusters such as `uncore00`, then
/// `package_00_die_00` controls all clusters of a die (uncore_write_control_freq,
/// drivers/platform/x86/intel/uncore-frequency/).
fn without_aggregates(names: Vec<String>) -> Vec<String> {
    let clusters: Vec<String> = names.iter().filter(|name| name.starts_with("uncore")).cloned().collect();
    if clusters.is_empty() { names } else { clusters }
}

/// The order in which the bounds must be written so that they never cross: 0 is the lower bound, 1 the upper one.
fn write_order(current: (i64, i64), desired: (i64, i64)) -> [usize; 2] {
    if desired.1 >= current.0 { [1, 0] } else { [0, 1] }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn normalized(limits: &HardwareLimits, desired: &str) -> String {
        limits.range(limits.supported_bounds(desired.parse().expect("a range"))).to_string()
    }

    #[test]
    fn a_range_is_rounded_to_supported_numbers() {
        let table =
            HardwareLimits { min: 800, max: 2000, steps: Steps::Table(vec![800, 1200, 1600, 2000]), tolerance: 0 };
        assert_eq!(normalized(&table, "1000 1700"), "1200 1600");
        assert_eq!(normalized(&table, "1300 1400"), "1600 1600", "none in between: the next faster one");
        assert_eq!(normalized(&table, "0 99999"), "min max");
        assert_eq!(normalized(&table, "2000 max"), "max max");
        let mesh = HardwareLimits { min: 800_000, max: 2_400_000, steps: Steps::Of(100_000), tolerance: 0 };
        assert_eq!(normalized(&mesh, "1250000 1999999"), "1200000 1900000");
    }

    #[test]
    fn bounds_never_cross_while_they_are_written() {
        let ranges = || (0..5).flat_map(|low| (low..5).map(move |high| (low, high)));
        for (current, desired) in ranges().flat_map(|current| ranges().map(move |desired| (current, desired))) {
            let mut bounds = [current.0, current.1];
            for bound in write_order(current, desired) {
                bounds[bound] = [desired.0, desired.1][bound];
                assert!(bounds[0] <= bounds[1], "from {current:?} to {desired:?}: {bounds:?}");
            }
        }
    }

    #[test]
    fn hardware_with_one_frequency_reads_as_all_of_it() {
        let one = HardwareLimits { min: 800, max: 800, steps: Steps::Any, tolerance: 0 };
        assert_eq!(one.range((800, 800)).to_string(), "min max");
        assert_eq!(normalized(&one, "max max"), "min max");
    }

    #[test]
    fn a_minimum_that_the_kernel_rounds_differently_is_the_minimum() {
        let share = HardwareLimits { min: 21, max: 100, steps: Steps::Any, tolerance: 1 };
        for rounded in [20, 21, 22] {
            assert_eq!(share.range((rounded, 100)).to_string(), "min max");
        }
        assert_eq!(share.range((23, 100)).to_string(), "23 max");
        assert_eq!(share.range((19, 100)).to_string(), "19 max", "not rounding, but another limit");
        assert_eq!(normalized(&share, "22 50"), "min 50");
    }
}
