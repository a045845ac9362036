//! Kinds of values: the values that a knob accepts, and their text representation.

use std::fmt;

use super::value::Value;
use crate::excerpt;

/// The values that a knob accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueKind {
    /// A whole number.
    Integer {
        /// The smallest accepted number.
        min: i64,
        /// The largest accepted number; `i64::MAX` if there is no limit.
        max: i64,
        /// The unit: `us`, `kB`, `%`; empty if there is none.
        unit: &'static str,
    },
    /// A fixed number of numbers; for example, `net.ipv4.tcp_rmem` has three.
    Integers {
        /// The number of numbers.
        count: usize,
        /// The unit of each number.
        unit: &'static str,
    },
    /// On or off.
    Switch,
    /// One of these words. A kernel may support only some of them.
    Word(&'static [&'static str]),
    /// Any text on one line.
    Text,
    /// A list of CPUs of the host.
    Cpus,
    /// Two numbers, the lower one first. `min` and `max` denote the limits of the hardware.
    Range {
        /// The unit of both numbers.
        unit: &'static str,
    },
    /// A percentage such as `10 %`, or a number of bytes.
    PercentOrBytes,
}

/// A text that is not a value of the knob.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} is not {expected}", excerpt::quoted(given))]
pub struct ValueError {
    /// The text.
    pub given: String,
    /// What the knob accepts.
    pub expected: String,
}

impl ValueKind {
    /// Parses a value of a profile or of the command line.
    ///
    /// # Errors
    /// The text is not a value of this kind.
    pub fn parse(self, text: &str) -> Result<Value, ValueError> {
        let text = text.trim();
        let wrong = || ValueError { given: text.to_owned(), expected: self.to_string() };
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
            Self::Range { .. } => text.parse().map(Value::Range).map_err(|_| wrong()),
            Self::PercentOrBytes => match text.strip_suffix('%') {
                Some(share) => {
                    let share = number(share.trim())?;
                    (0..=100).contains(&share).then_some(Value::Percent(share)).ok_or_else(wrong)
                }
                None => Some(number(text)?).filter(|bytes| *bytes > 0).map(Value::Integer).ok_or_else(wrong),
            },
        }
    }
}

impl fmt::Display for ValueKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Integer { min, max, unit } if max == i64::MAX => {
                write!(f, "a number of at least {min}{}", spaced(unit))
            }
            Self::Integer { min, max, unit } => write!(f, "a number from {min} to {max}{}", spaced(unit)),
            Self::Integers { count, unit } => write!(f, "{count} numbers{}", spaced(unit)),
            Self::Switch => f.write_str("on or off"),
            Self::Word(words) => write!(f, "one of {}", words.join(", ")),
            Self::Text => f.write_str("text on one line"),
            Self::Range { unit } => write!(f, "a range in {unit} such as `1000 2000`, `min 2000` or `max max`"),
            Self::PercentOrBytes => f.write_str("a share such as `10 %`, or a number of bytes"),
            Self::Cpus => f.write_str("a list of CPUs such as 2-5,8"),
        }
    }
}

fn spaced(unit: &str) -> String {
    if unit.is_empty() { String::new() } else { format!(" {unit}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_out_of_range_is_refused_with_the_range() {
        let percent = ValueKind::Integer { min: 0, max: 100, unit: "%" };
        assert_eq!(percent.parse("100"), Ok(Value::Integer(100)));
        let error = percent.parse("101").expect_err("out of range");
        assert_eq!(error.to_string(), "`101` is not a number from 0 to 100 %");
        assert!(ValueKind::Word(&["always", "never"]).parse("sometimes").is_err());
        assert!(ValueKind::Cpus.parse("3-1").is_err());
        assert_eq!(ValueKind::Integers { count: 3, unit: "bytes" }.parse("1 2\t3"), Ok(Value::Integers(vec![1, 2, 3])));
    }
}
