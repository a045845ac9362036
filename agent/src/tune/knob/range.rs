//! A knob that is two files, the lower and the upper end of a range.
//!
//! Two knobs would not do: kernels hold each end to the other, so that which may be set first depends on both, on the way
//! there and on the way back.

use std::thread;
use std::time::{Duration, Instant};

use super::file::{all, changeable, number, offline, path_of, write};
use super::{Held, Knob, KnobError, KnobSpec, Reading};
use crate::host::Host;
use crate::tune::{End, Range, Scope, Target, Value};

/// Two ends, in a file each.
pub(super) struct RangeKnob {
    /// What it is.
    pub spec: KnobSpec,
    /// The file of the lower end.
    pub low: &'static str,
    /// The file of the upper end.
    pub high: &'static str,
    /// The directory that has a directory for each target, for [`Scope::Each`].
    pub parts: Option<&'static str>,
    /// How long the kernel may take until the files say what was written to them.
    pub lag: Duration,
    /// What the hardware has; `None` where it does not tell.
    pub hardware: fn(&Host, &Target) -> Option<Hardware>,
}

/// Between two looks at files that lag.
const LOOK_AGAIN: Duration = Duration::from_millis(1);

/// What hardware has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hardware {
    /// The least.
    pub least: i64,
    /// The most.
    pub most: i64,
    /// What in between.
    pub steps: Steps,
    /// How far the kernel's own least may be from `least`, where that is a guess.
    pub slack: i64,
}

/// Which numbers hardware has between its ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Steps {
    /// All.
    Any,
    /// Multiples of this.
    Of(i64),
    /// These, in ascending order.
    Table(Vec<i64>),
}

impl Hardware {
    /// The ends that the kernel would make of a range: of frequencies the lowest from `low` on, and the highest up to `high`
    /// (CPUFREQ_RELATION_L and _H, include/linux/cpufreq.h).
    fn ends(&self, range: Range) -> (i64, i64) {
        let (low, high) = (range.low.number(self.least, self.most), range.high.number(self.least, self.most));
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

    /// The range of two numbers, with the hardware's ends by name: its least is whatever the kernel makes of it when it is asked
    /// for that.
    fn range(&self, (low, high): (i64, i64)) -> Range {
        let close = |number: i64| (self.least - self.slack..=self.least + self.slack).contains(&number);
        let snap = |number: i64| if close(number) { self.least } else { number };
        let (low, high) = (snap(low), if high == self.most { high } else { snap(high) });
        let name = |number: i64, order: [(i64, End); 2]| {
            let named = order.into_iter().find(|(end, _)| *end == number);
            named.map_or(End::Number(number), |(_, name)| name)
        };
        let (least, most) = ((self.least, End::Least), (self.most, End::Most));
        Range { low: name(low, [least, most]), high: name(high, [most, least]) }
    }
}

impl RangeKnob {
    /// Both ends, or why there are none.
    fn numbers(&self, host: &Host, target: &Target) -> Result<Result<(i64, i64), String>, KnobError> {
        let number = |of: &str| number(host, &path_of(of, target), of);
        Ok(match (number(self.low)?, number(self.high)?) {
            (Ok(low), Ok(high)) => Ok((low, high)),
            (Err(why), _) | (_, Err(why)) => Err(why),
        })
    }
}

impl Knob for RangeKnob {
    fn spec(&self) -> &KnobSpec {
        &self.spec
    }

    fn targets(&self, host: &Host) -> Vec<Target> {
        match (self.spec.scope, self.parts) {
            (Scope::Each(_), Some(parts)) => {
                let names = host.root.list(parts).unwrap_or_default();
                let directories = names.into_iter().filter(|name| host.root.has(&format!("{parts}/{name}/.")));
                finest(directories.collect()).into_iter().map(Target::Name).collect()
            }
            (scope, _) => all(scope, host),
        }
    }

    fn read(&self, host: &Host, target: &Target) -> Result<Reading, KnobError> {
        let ends = match self.numbers(host, target)? {
            Ok(ends) => ends,
            Err(why) => return Ok(Reading::Absent(offline(host, target).unwrap_or(why))),
        };
        Ok(match (self.hardware)(host, target) {
            Some(hardware) => Reading::Value(Value::Range(hardware.range(ends))),
            None => Reading::Absent("the driver does not say what the hardware has".to_owned()),
        })
    }

    fn normalize(&self, host: &Host, target: &Target, value: &Value) -> Result<Value, KnobError> {
        Ok(match (value, (self.hardware)(host, target)) {
            (Value::Range(range), Some(hardware)) => Value::Range(hardware.range(hardware.ends(*range))),
            _ => value.clone(),
        })
    }

    fn write(&self, host: &Host, target: &Target, value: &Value) -> Result<Held, KnobError> {
        let (Value::Range(range), Some(hardware)) = (value, (self.hardware)(host, target)) else {
            return Err(KnobError::Target { target: target.clone() });
        };
        // As it is: a number that was in force may be one that the hardware has no more.
        let exact =
            |end: End| if let End::Number(number) = end { number } else { end.number(hardware.least, hardware.most) };
        let (low, high) = (exact(range.low), exact(range.high));
        let Ok(now) = self.numbers(host, target)? else { return Err(KnobError::Target { target: target.clone() }) };
        let files = [path_of(self.low, target), path_of(self.high, target)];
        let ends = [(low, now.0), (high, now.1)];
        let [first, second] = order(now, (low, high));
        write(host, &files[first], &ends[first].0.to_string())?;
        let written = write(host, &files[second], &ends[second].0.to_string());
        written.map_err(|error| error.after(write(host, &files[first], &ends[first].1.to_string())))?;
        let begin = Instant::now();
        while self.numbers(host, target)? != Ok((low, high)) && begin.elapsed() < self.lag {
            thread::sleep(LOOK_AGAIN);
        }
        Ok(Held::Nothing)
    }

    fn changeable(&self, host: &Host, target: &Target) -> Result<(), KnobError> {
        changeable(host, &path_of(self.low, target))
    }
}

/// The parts that have no parts of their own: where there are clusters, `uncore00`, a `package_00_die_00` is all of a die's, and
/// what is written to it is written to each (uncore_write_control_freq, drivers/platform/x86/intel/uncore-frequency/).
fn finest(names: Vec<String>) -> Vec<String> {
    let clusters: Vec<String> = names.iter().filter(|name| name.starts_with("uncore")).cloned().collect();
    if clusters.is_empty() { names } else { clusters }
}

/// Which end to write first, 0 for the lower one: the one that leaves room for the other.
fn order(now: (i64, i64), wanted: (i64, i64)) -> [usize; 2] {
    if wanted.1 >= now.0 { [1, 0] } else { [0, 1] }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapped(hardware: &Hardware, wanted: &str) -> String {
        hardware.range(hardware.ends(wanted.parse().expect("a range"))).to_string()
    }

    #[test]
    fn a_range_becomes_what_the_hardware_has() {
        let table = Hardware { least: 800, most: 2000, steps: Steps::Table(vec![800, 1200, 1600, 2000]), slack: 0 };
        assert_eq!(snapped(&table, "1000 1700"), "1200 1600");
        assert_eq!(snapped(&table, "1300 1400"), "1600 1600", "none in between: the next that is faster");
        assert_eq!(snapped(&table, "0 99999"), "min max");
        assert_eq!(snapped(&table, "2000 max"), "max max");
        let mesh = Hardware { least: 800_000, most: 2_400_000, steps: Steps::Of(100_000), slack: 0 };
        assert_eq!(snapped(&mesh, "1250000 1999999"), "1200000 1900000");
    }

    #[test]
    fn no_range_ends_before_it_begins_on_the_way_to_another() {
        let ranges = || (0..5).flat_map(|low| (low..5).map(move |high| (low, high)));
        for (now, wanted) in ranges().flat_map(|now| ranges().map(move |wanted| (now, wanted))) {
            let mut ends = [now.0, now.1];
            for end in order(now, wanted) {
                ends[end] = [wanted.0, wanted.1][end];
                assert!(ends[0] <= ends[1], "from {now:?} to {wanted:?}: {ends:?}");
            }
        }
    }

    #[test]
    fn hardware_with_one_frequency_reads_as_all_of_it() {
        let one = Hardware { least: 800, most: 800, steps: Steps::Any, slack: 0 };
        assert_eq!(one.range((800, 800)).to_string(), "min max");
        assert_eq!(snapped(&one, "max max"), "min max");
    }

    #[test]
    fn a_least_that_the_kernel_rounds_otherwise_is_the_least() {
        let share = Hardware { least: 21, most: 100, steps: Steps::Any, slack: 1 };
        for kernels in [20, 21, 22] {
            assert_eq!(share.range((kernels, 100)).to_string(), "min max");
        }
        assert_eq!(share.range((23, 100)).to_string(), "23 max");
        assert_eq!(share.range((19, 100)).to_string(), "19 max", "no rounding, but another limit");
        assert_eq!(snapped(&share, "22 50"), "min 50");
    }

    #[test]
    fn a_frequency_policy_without_a_cpu_that_runs_is_absent() {
        use crate::tune::knob::{Reading, by_id, fake};
        use crate::units::CpuId;

        let (folder, host) = fake::host(&[("/sys/devices/system/cpu/cpu3/online", "0\n")]);
        let frequency = by_id("cpu.frequency").expect("the knob");
        let absent = frequency.read(&host, &Target::Cpu(CpuId(3)));
        assert_eq!(absent.expect("no error"), Reading::Absent("CPU 3 is offline".to_owned()));
        fake::put(folder.path(), "/sys/devices/system/cpu/cpu3/online", "1\n");
        let governor = by_id("cpu.governor").expect("the knob");
        assert!(
            matches!(governor.read(&host, &Target::Cpu(CpuId(3))), Ok(Reading::Absent(why)) if why.contains("there is no"))
        );
    }
}
