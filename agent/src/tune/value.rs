//! What a knob is set to, and which settings it takes.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::Range;
use crate::excerpt;
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
    /// From one number to another, either of which may be the end of what the hardware has.
    Range(Range),
    /// A share of the whole, in percent.
    Percent(i64),
    /// What each part of a target is set to, by the part's name: a network interface's queues or interrupts, the threads of
    /// a name. Only hosts say this; who wants one value for all parts writes that value.
    Each(BTreeMap<String, Value>),
    /// What a file says that others write to as well. Only hosts say this.
    Staged {
        /// quell's own words in it; `None` where it has none. This is what undoing puts back.
        own: Option<Box<Value>>,
        /// What comes of everybody's words together. This is what is compared with what is wanted.
        effective: Box<Value>,
    },
    /// What is set on the thing that a target's name or number stands for now: both are given again, to other interrupts and
    /// network cards. Only hosts say this.
    Of {
        /// The thing, by its driver and address.
        what: String,
        /// What it is set to.
        value: Box<Value>,
    },
}

impl Value {
    /// Whether this, read from a host, is what was wanted, or what was before. One value is wanted of every part; of parts with a
    /// value each those count that are still there: threads end, and queues are taken away.
    #[must_use]
    pub fn meets(&self, wanted: &Self) -> bool {
        match (self, wanted) {
            (Self::Of { what, value }, Self::Of { what: meant, value: wanted }) => what == meant && value.meets(wanted),
            (Self::Of { value, .. }, wanted) => value.meets(wanted),
            (Self::Each(parts), Self::Each(wanted)) => {
                wanted.iter().all(|(part, wanted)| parts.get(part).is_none_or(|now| now.meets(wanted)))
            }
            (Self::Each(parts), wanted) => parts.values().all(|now| now.meets(wanted)),
            (Self::Staged { own, .. }, Self::Staged { own: before, .. }) => own == before,
            (Self::Staged { effective, .. }, wanted) => effective.meets(wanted),
            (now, wanted) => now == wanted,
        }
    }

    /// The value in words and, of one with parts, with all of them: for whoever has to put it back by hand.
    #[must_use]
    pub fn whole(&self) -> String {
        let json = self.parts().and_then(|_| serde_json::to_string(self).ok());
        json.unwrap_or_else(|| self.to_string())
    }

    /// The value in words, as a message shows what a host says: of a text at most 64 characters, and none of one that has several
    /// lines.
    #[must_use]
    pub fn brief(&self) -> String {
        match self.shown() {
            Self::Text(text) | Self::Word(text) if !text.is_empty() => excerpt::value(text),
            Self::Each(_) => excerpt::message(self.to_string()),
            _ => self.to_string(),
        }
    }

    /// The parts of a value that has some.
    pub(super) fn parts(&self) -> Option<&BTreeMap<String, Self>> {
        match self {
            Self::Each(parts) => Some(parts),
            Self::Of { value, .. } => value.parts(),
            _ => None,
        }
    }

    /// The value with some of its parts; as it is where it has none.
    pub(super) fn of_parts(&self, keep: &dyn Fn(&str) -> bool) -> Self {
        match self {
            Self::Each(parts) => {
                let kept = parts.iter().filter(|(part, _)| keep(part));
                Self::Each(kept.map(|(part, value)| (part.clone(), value.clone())).collect())
            }
            Self::Of { what, value } => Self::Of { what: what.clone(), value: Box::new(value.of_parts(keep)) },
            value => value.clone(),
        }
    }

    /// What people are shown: of a staged value what it comes to.
    fn shown(&self) -> &Self {
        match self {
            Self::Staged { effective: value, .. } | Self::Of { value, .. } => value.shown(),
            value => value,
        }
    }
}

/// So many parts of a value are named where it is shown; a journal names all.
const PARTS_SHOWN: usize = 3;

/// Parts with the same value together: `2 (rx-0, rx-1), 3 (rx-2)`.
fn parts(parts: &BTreeMap<String, Value>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let mut groups: Vec<(&Value, Vec<&str>)> = Vec::new();
    for (part, value) in parts {
        let value = value.shown();
        match groups.iter_mut().find(|(known, _)| *known == value) {
            Some((_, names)) => names.push(part),
            None => groups.push((value, vec![part])),
        }
    }
    match groups.as_slice() {
        [(value, names)] if names.len() == 1 => return write!(f, "{value}"),
        [(value, names)] => return write!(f, "{value} (all of {})", names.len()),
        _ => {}
    }
    for (index, (value, names)) in groups.iter().enumerate() {
        let shown = names.iter().take(PARTS_SHOWN).copied().collect::<Vec<_>>().join(", ");
        write!(f, "{}{value} ({shown}", if index == 0 { "" } else { ", " })?;
        match names.len().saturating_sub(PARTS_SHOWN) {
            0 => f.write_str(")")?,
            more => write!(f, " and {more} more)")?,
        }
    }
    Ok(())
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
            Self::Range(range) => range.fmt(f),
            Self::Percent(share) => write!(f, "{share} %"),
            Self::Each(values) => parts(values, f),
            Self::Staged { .. } | Self::Of { .. } => self.shown().fmt(f),
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
    /// Two numbers, the lower first; `min` and `max` stand for the ends of what the hardware has.
    Range {
        /// What they count.
        unit: &'static str,
    },
    /// A share of the whole, as in `10 %`, or a number of bytes.
    PercentOrBytes,
}

/// A value that a knob does not take.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} is not {wanted}", excerpt::quoted(given))]
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
            Self::Range { unit: of } => write!(f, "a range in {of}, as in 1000 2000, min 2000 or max max"),
            Self::PercentOrBytes => f.write_str("a share as in 10 %, or a number of bytes"),
            Self::Cpus => f.write_str("a list of CPUs, as in 2-5,8"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn each(parts: &[(&str, i64)]) -> Value {
        Value::Each(parts.iter().map(|(name, value)| ((*name).to_owned(), Value::Integer(*value))).collect())
    }

    #[test]
    fn parts_meet_one_value_together_and_their_own_as_far_as_they_are_there() {
        assert!(each(&[("a", 1), ("b", 1)]).meets(&Value::Integer(1)));
        assert!(!each(&[("a", 1), ("b", 2)]).meets(&Value::Integer(1)));
        assert!(each(&[("a", 1), ("c", 3)]).meets(&each(&[("a", 1), ("b", 2)])), "b has gone, c has come");
        assert!(!each(&[("a", 1), ("b", 3)]).meets(&each(&[("a", 1), ("b", 2)])));
    }

    #[test]
    fn parts_with_the_same_value_are_shown_together() {
        assert_eq!(each(&[("a", 1), ("b", 1)]).to_string(), "1 (all of 2)");
        assert_eq!(
            each(&[("a", 1), ("b", 2), ("c", 1), ("d", 1), ("e", 1)]).to_string(),
            "1 (a, c, d and 1 more), 2 (b)"
        );
    }

    #[test]
    fn a_staged_value_is_wanted_by_what_it_comes_to_and_undone_by_what_is_quells() {
        let staged = |own: Option<i64>, effective| Value::Staged {
            own: own.map(|own| Box::new(Value::Integer(own))),
            effective: Box::new(Value::Integer(effective)),
        };
        assert!(staged(None, 7).meets(&Value::Integer(7)) && !staged(Some(6), 7).meets(&Value::Integer(6)));
        assert!(staged(None, 7).meets(&staged(None, 8)), "the user's words are the user's");
        assert!(!staged(Some(7), 7).meets(&staged(None, 7)));
        assert_eq!(staged(Some(7), 7).to_string(), "7");
        let files = Value::Each([("a".to_owned(), staged(None, 7)), ("b".to_owned(), staged(Some(7), 7))].into());
        assert_eq!(files.to_string(), "7 (all of 2)");
    }

    #[test]
    fn a_value_is_not_that_of_another_thing_with_the_same_name() {
        let of = |what: &str| Value::Of { what: what.to_owned(), value: Box::new(Value::Integer(1)) };
        assert!(of("a").meets(&Value::Integer(1)) && of("a").meets(&of("a")) && !of("a").meets(&of("b")));
        assert_eq!(of("a").to_string(), "1");
    }

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
