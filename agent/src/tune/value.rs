//! What a knob is set to, and which settings it takes.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::units::CpuSet;

/// What a knob is set to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Value {
    /// A number, in the knob's unit.
    Integer(i64),
    /// Several numbers, in their order.
    Integers(Vec<i64>),
    /// On or off.
    Switch(bool),
    /// One of some words.
    Word(String),
    /// Any text on one line.
    Text(String),
    /// CPUs.
    Cpus(CpuSet),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Integer(number) => number.fmt(f),
            Self::Integers(numbers) => {
                let words: Vec<_> = numbers.iter().map(ToString::to_string).collect();
                f.write_str(&words.join(" "))
            }
            Self::Switch(on) => f.write_str(if *on { "on" } else { "off" }),
            Self::Word(word) => f.write_str(word),
            Self::Text(text) if text.is_empty() => f.write_str("(empty)"),
            Self::Text(text) => f.write_str(text),
            Self::Cpus(cpus) if cpus.is_empty() => f.write_str("(none)"),
            Self::Cpus(cpus) => cpus.fmt(f),
        }
    }
}

/// Which values a knob takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A whole number, both ends included.
    Integer {
        /// The least.
        min: i64,
        /// The greatest.
        max: i64,
        /// What it counts: `us`, `kB`, `%`; empty for none.
        unit: &'static str,
    },
    /// So many numbers, as `net.ipv4.tcp_rmem` has three.
    Integers {
        /// How many.
        count: usize,
        /// What they count.
        unit: &'static str,
    },
    /// On or off.
    Switch,
    /// One of these words, of which a kernel may know fewer.
    Word(&'static [&'static str]),
    /// Any text on one line.
    Text,
    /// A list of CPUs that the host has.
    Cpus,
}

/// A value that a knob does not take.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{given}` is not {wanted}")]
pub struct ValueError {
    /// What was given.
    pub given: String,
    /// What the knob takes.
    pub wanted: String,
}

impl Kind {
    /// Reads a value as people write it, in a profile or on a command line.
    ///
    /// # Errors
    /// It is not one that this kind has.
    pub fn parse(self, text: &str) -> Result<Value, ValueError> {
        let text = text.trim();
        let wrong = || ValueError { given: text.to_owned(), wanted: self.to_string() };
        let number = |word: &str| word.parse::<i64>().map_err(|_| wrong());
        match self {
            Self::Integer { min, max, .. } => {
                let value = number(text)?;
                (min..=max).contains(&value).then_some(Value::Integer(value)).ok_or_else(wrong)
            }
            Self::Integers { count, .. } => {
                let numbers = text.split_whitespace().map(number).collect::<Result<Vec<_>, _>>()?;
                (numbers.len() == count).then_some(Value::Integers(numbers)).ok_or_else(wrong)
            }
            Self::Switch => match text {
                "on" | "true" => Ok(Value::Switch(true)),
                "off" | "false" => Ok(Value::Switch(false)),
                _ => Err(wrong()),
            },
            Self::Word(words) => words.contains(&text).then(|| Value::Word(text.to_owned())).ok_or_else(wrong),
            Self::Text if text.contains('\n') => Err(wrong()),
            Self::Text => Ok(Value::Text(text.to_owned())),
            Self::Cpus => text.parse().map(Value::Cpus).map_err(|_| wrong()),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = |unit: &'static str| if unit.is_empty() { String::new() } else { format!(" {unit}") };
        match *self {
            Self::Integer { min, max, unit: of } if max == i64::MAX => write!(f, "a number from {min}{} on", unit(of)),
            Self::Integer { min, max, unit: of } => write!(f, "a number from {min} to {max}{}", unit(of)),
            Self::Integers { count, unit: of } => write!(f, "{count} numbers{}", unit(of)),
            Self::Switch => f.write_str("on or off"),
            Self::Word(words) => write!(f, "one of {}", words.join(", ")),
            Self::Text => f.write_str("text on one line"),
            Self::Cpus => f.write_str("a list of CPUs, as in 2-5,8"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_out_of_range_is_refused_with_the_range() {
        let percent = Kind::Integer { min: 0, max: 100, unit: "%" };
        assert_eq!(percent.parse("100"), Ok(Value::Integer(100)));
        let error = percent.parse("101").expect_err("out of range");
        assert_eq!(error.to_string(), "`101` is not a number from 0 to 100 %");
        assert!(Kind::Word(&["always", "never"]).parse("sometimes").is_err());
        assert!(Kind::Cpus.parse("3-1").is_err());
        assert_eq!(Kind::Integers { count: 3, unit: "bytes" }.parse("1 2\t3"), Ok(Value::Integers(vec![1, 2, 3])));
    }
}
