//! From one number to another, as hardware has them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Both ends of a range, the lower first. Written as `800000 3500000`, `min 2000000`, `max max`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Range {
    /// The lower end.
    pub low: End,
    /// The upper end.
    pub high: End,
}

/// An end of a range. A limit that is none stays none when the hardware's own limits move, as they do with boost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum End {
    /// The least that the hardware has.
    Least,
    /// This.
    Number(i64),
    /// The most that the hardware has.
    Most,
}

/// A text that is no range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} is no range: write two numbers, the lower first, or min, max", crate::excerpt::quoted(_0))]
pub struct RangeError(String);

impl End {
    /// The number, where the hardware goes from `least` to `most`.
    #[must_use]
    pub fn number(self, least: i64, most: i64) -> i64 {
        match self {
            Self::Least => least,
            Self::Number(number) => number.clamp(least, most),
            Self::Most => most,
        }
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Least => f.write_str("min"),
            Self::Number(number) => number.fmt(f),
            Self::Most => f.write_str("max"),
        }
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.low, self.high)
    }
}

impl FromStr for End {
    type Err = RangeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "min" => Ok(Self::Least),
            "max" => Ok(Self::Most),
            // The order of ends is that of what they stand for only among numbers that a frequency or a share can be.
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
    fn a_range_reads_back_as_it_is_written_and_never_ends_before_it_begins() {
        for text in ["800000 3500000", "min max", "max max", "min 2000000", "0 0"] {
            assert_eq!(text.parse::<Range>().map(|range| range.to_string()), Ok(text.to_owned()));
        }
        for wrong in ["", "1", "2 1", "max 5", "5 min", "1 2 3", "-1 5", "1 fast"] {
            assert!(wrong.parse::<Range>().is_err(), "{wrong}");
        }
    }
}
