//! Ranges of numbers, in which the limits of the hardware have names.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A range with a lower and an upper bound. Written as `800000 3500000`, `min 2000000`, `max max`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Range {
    /// The lower bound.
    pub low: RangeBound,
    /// The upper bound; never below the lower one.
    pub high: RangeBound,
}

/// A bound of a range. `Min` and `Max` follow the limits of the hardware when they change, as with boost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RangeBound {
    /// The smallest number that the hardware supports.
    Min,
    /// A number in the unit of the knob, 0 or more.
    Number(i64),
    /// The largest number that the hardware supports.
    Max,
}

/// A text that is not a range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} is not a range: write two numbers, the lower one first, or `min` and `max`", crate::excerpt::quoted(_0))]
pub struct RangeError(String);

impl RangeBound {
    /// The bound as a number within the limits of the hardware.
    #[must_use]
    pub fn clamp(self, min: i64, max: i64) -> i64 {
        match self {
            Self::Min => min,
            Self::Number(number) => number.clamp(min, max),
            Self::Max => max,
        }
    }
}

impl fmt::Display for RangeBound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Min => f.write_str("min"),
            Self::Number(number) => number.fmt(f),
            Self::Max => f.write_str("max"),
        }
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.low, self.high)
    }
}

impl FromStr for RangeBound {
    type Err = RangeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "min" => Ok(Self::Min),
            "max" => Ok(Self::Max),
            // Bounds are ordered like the numbers that they denote only if no number is negative.
            number => {
                let number = number.parse().ok().filter(|number| *number >= 0);
                number.map(Self::Number).ok_or_else(|| RangeError(text.to_owned()))
            }
        }
    }
}

impl FromStr for Range {
    type Err = RangeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || RangeError(text.to_owned());
        let mut words = text.split_whitespace();
        let (Some(low), Some(high), None) = (words.next(), words.next(), words.next()) else { return Err(wrong()) };
        let range = Self { low: low.parse()?, high: high.parse()? };
        if range.low <= range.high { Ok(range) } else { Err(wrong()) }
    }
}

impl TryFrom<String> for Range {
    type Error = RangeError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Range> for String {
    fn from(range: Range) -> Self {
        range.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_parses_as_it_is_written_and_its_bounds_are_in_order() {
        for text in ["800000 3500000", "min max", "max max", "min 2000000", "0 0"] {
            assert_eq!(text.parse::<Range>().map(|range| range.to_string()), Ok(text.to_owned()));
        }
        for wrong in ["", "1", "2 1", "max 5", "5 min", "1 2 3", "-1 5", "1 fast"] {
            assert!(wrong.parse::<Range>().is_err(), "{wrong}");
        }
    }
}
