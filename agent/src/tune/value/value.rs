//! The value of a knob.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::range::Range;
use crate::excerpt;
use crate::units::CpuSet;

/// The value of a knob on a target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Value {
    /// A number, in the unit of the knob.
    Integer(i64),
    /// Several numbers, in the order in which the knob's file lists them.
    Integers(Vec<i64>),
    /// On or off.
    Switch(bool),
    /// One of a fixed set of words.
    Word(String),
    /// Any text on one line.
    Text(String),
    /// A set of CPUs.
    Cpus(CpuSet),
    /// A range; each bound may be a limit of the hardware.
    Range(Range),
    /// A percentage: 0 to 100.
    Percent(i64),
    /// One value for each part of the target, by the name of the part: the queues or interrupts of a network interface, the
    /// threads of a process. Only values that are read from hosts have parts: a profile gives one value for all parts.
    PerPart(BTreeMap<String, Value>),
    /// The value in a configuration file that other programs and administrators edit too. Only used for values that are read
    /// from hosts.
    Staged {
        /// The value that quell wrote to the file; `None` if quell wrote none. A rollback restores this value.
        own: Option<Box<Value>>,
        /// The value that results from the whole file. This value is compared with the desired one.
        effective: Box<Value>,
    },
    /// A value together with the device to which the target's name or number refers. The kernel reuses names and numbers for
    /// other devices. Only used for values that are read from hosts.
    OnDevice {
        /// The device, by its driver and address.
        device: String,
        /// The value of the knob on that device.
        value: Box<Value>,
    },
}

impl Value {
    /// Whether this value, read from a host, equals `expected`: a desired value, or an original value from a journal. If
    /// `expected` has no parts, it must equal every part. If it has parts, only the parts that still exist are compared:
    /// threads exit, and queues are removed.
    #[must_use]
    pub fn matches(&self, expected: &Self) -> bool {
        match (self, expected) {
            (Self::OnDevice { device, value }, Self::OnDevice { device: other, value: expected }) => {
                device == other && value.matches(expected)
            }
            (Self::OnDevice { value, .. }, expected) => value.matches(expected),
            (Self::PerPart(parts), Self::PerPart(expected)) => {
                expected.iter().all(|(part, expected)| parts.get(part).is_none_or(|current| current.matches(expected)))
            }
            (Self::PerPart(parts), expected) => parts.values().all(|current| current.matches(expected)),
            (Self::Staged { own, .. }, Self::Staged { own: before, .. }) => own == before,
            (Self::Staged { effective, .. }, expected) => effective.matches(expected),
            (current, expected) => current == expected,
        }
    }

    /// The value as text, with all parts as JSON if it has parts: for an administrator who restores it manually.
    #[must_use]
    pub fn complete(&self) -> String {
        let json = self.parts().and_then(|_| serde_json::to_string(self).ok());
        json.unwrap_or_else(|| self.to_string())
    }

    /// The value for messages: at most 64 characters of a text, and nothing of a text with several lines.
    #[must_use]
    pub fn brief(&self) -> String {
        match self.shown() {
            Self::Text(text) | Self::Word(text) if !text.is_empty() => excerpt::value(text),
            Self::PerPart(_) => excerpt::message(self.to_string()),
            _ => self.to_string(),
        }
    }

    /// The parts, if the value has any.
    pub(in crate::tune) fn parts(&self) -> Option<&BTreeMap<String, Self>> {
        match self {
            Self::PerPart(parts) => Some(parts),
            Self::OnDevice { value, .. } => value.parts(),
            _ => None,
        }
    }

    /// The value without the parts that `keep` rejects; unchanged if it has no parts.
    pub(in crate::tune) fn filter_parts(&self, keep: &dyn Fn(&str) -> bool) -> Self {
        match self {
            Self::PerPart(parts) => {
                let kept = parts.iter().filter(|(part, _)| keep(part));
                Self::PerPart(kept.map(|(part, value)| (part.clone(), value.clone())).collect())
            }
            Self::OnDevice { device, value } => {
                Self::OnDevice { device: device.clone(), value: Box::new(value.filter_parts(keep)) }
            }
            value => value.clone(),
        }
    }

    /// The value to display: the effective value of a staged value, without the device.
    fn shown(&self) -> &Self {
        match self {
            Self::Staged { effective: value, .. } | Self::OnDevice { value, .. } => value.shown(),
            value => value,
        }
    }
}

/// The maximum number of parts in a displayed value. A journal contains all of them.
const PARTS_SHOWN: usize = 3;

/// Groups parts with the same value: `2 (rx-0, rx-1), 3 (rx-2)`.
fn write_parts(parts: &BTreeMap<String, Value>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
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
            Self::PerPart(values) => write_parts(values, f),
            Self::Staged { .. } | Self::OnDevice { .. } => self.shown().fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn per_part(parts: &[(&str, i64)]) -> Value {
        Value::PerPart(parts.iter().map(|(name, value)| ((*name).to_owned(), Value::Integer(*value))).collect())
    }

    #[test]
    fn parts_match_one_value_together_and_their_own_values_as_far_as_they_exist() {
        assert!(per_part(&[("a", 1), ("b", 1)]).matches(&Value::Integer(1)));
        assert!(!per_part(&[("a", 1), ("b", 2)]).matches(&Value::Integer(1)));
        assert!(
            per_part(&[("a", 1), ("c", 3)]).matches(&per_part(&[("a", 1), ("b", 2)])),
            "b was removed, c was added"
        );
        assert!(!per_part(&[("a", 1), ("b", 3)]).matches(&per_part(&[("a", 1), ("b", 2)])));
    }

    #[test]
    fn parts_with_the_same_value_are_shown_together() {
        assert_eq!(per_part(&[("a", 1), ("b", 1)]).to_string(), "1 (all of 2)");
        assert_eq!(
            per_part(&[("a", 1), ("b", 2), ("c", 1), ("d", 1), ("e", 1)]).to_string(),
            "1 (a, c, d and 1 more), 2 (b)"
        );
    }

    #[test]
    fn a_staged_value_is_compared_by_its_effect_and_restored_by_what_quell_wrote() {
        let staged = |own: Option<i64>, effective| Value::Staged {
            own: own.map(|own| Box::new(Value::Integer(own))),
            effective: Box::new(Value::Integer(effective)),
        };
        assert!(staged(None, 7).matches(&Value::Integer(7)) && !staged(Some(6), 7).matches(&Value::Integer(6)));
        assert!(staged(None, 7).matches(&staged(None, 8)), "what others wrote is not compared");
        assert!(!staged(Some(7), 7).matches(&staged(None, 7)));
        assert_eq!(staged(Some(7), 7).to_string(), "7");
        let files = Value::PerPart([("a".to_owned(), staged(None, 7)), ("b".to_owned(), staged(Some(7), 7))].into());
        assert_eq!(files.to_string(), "7 (all of 2)");
    }

    #[test]
    fn a_value_does_not_match_that_of_another_device_with_the_same_name() {
        let on = |device: &str| Value::OnDevice { device: device.to_owned(), value: Box::new(Value::Integer(1)) };
        assert!(on("a").matches(&Value::Integer(1)) && on("a").matches(&on("a")) && !on("a").matches(&on("b")));
        assert_eq!(on("a").to_string(), "1");
    }
}
