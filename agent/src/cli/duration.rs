//! Durations on the command line.

use quell::units::Nanos;

const ACCEPTED: &str = "expected seconds, or units in descending order: 2, 0.5, 500ms, 2s, 1m30s, 1h";

/// Units in descending order, in nanoseconds.
const UNITS: [(&str, u64); 6] = [
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];

/// A time that may be zero, such as the beginning of a selection.
///
/// # Errors
/// Shows what was given and what is accepted.
pub(crate) fn time(text: &str) -> Result<Nanos, String> {
    parse(text).ok_or_else(|| format!("`{text}` is not a duration; {ACCEPTED}"))
}

/// A duration that is longer than zero.
///
/// # Errors
/// Shows what was given and what is accepted.
pub(crate) fn duration(text: &str) -> Result<Nanos, String> {
    match time(text)? {
        Nanos(0) => Err(format!("the duration must be longer than zero, not `{text}`; {ACCEPTED}")),
        some => Ok(some),
    }
}

fn parse(text: &str) -> Option<Nanos> {
    if let Some(nanos) = scaled(text, Nanos::SECOND.0) {
        return Some(Nanos(nanos));
    }
    let mut total = 0u64;
    let mut rest = text;
    let mut smallest = u64::MAX;
    while !rest.is_empty() {
        let number_end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, tail) = rest.split_at(number_end);
        let unit_end = tail.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit_end);
        let (_, scale) = UNITS.into_iter().find(|(name, _)| *name == unit)?;
        // `1m30s` is clear; `30s1m` and `1s1s` are more likely slips.
        if scale >= smallest {
            return None;
        }
        smallest = scale;
        total = total.checked_add(scaled(number, scale)?)?;
        rest = tail;
    }
    (smallest != u64::MAX).then_some(Nanos(total))
}

/// A decimal number times `scale`, exact.
fn scaled(number: &str, scale: u64) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    if [whole, fraction].iter().any(|digits| digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit())) {
        return None;
    }
    let whole = whole.parse::<u64>().ok()?.checked_mul(scale)?;
    let divisor = 10u128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let part = fraction.parse::<u128>().ok()?.checked_mul(u128::from(scale))? / divisor;
    whole.checked_add(u64::try_from(part).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_and_units_are_read() {
        for (text, nanos) in [
            ("2", 2_000_000_000),
            ("0.5", 500_000_000),
            ("500ms", 500_000_000),
            ("2s", 2_000_000_000),
            ("1.5s", 1_500_000_000),
            ("1m30s", 90_000_000_000),
            ("1h", 3_600_000_000_000),
            ("1s250us", 1_000_250_000),
            ("7ns", 7),
        ] {
            assert_eq!(duration(text), Ok(Nanos(nanos)), "{text}");
        }
    }

    #[test]
    fn what_is_not_understood_is_refused_with_what_is() {
        for wrong in ["", "s", "5 s", "-1", "1d", "30s1m", "1s1s", "1s5", "1.s", ".5", "1e3", "99999999999h", "nan"] {
            let error = duration(wrong).expect_err(wrong);
            assert!(error.contains(&format!("`{wrong}`")) && error.contains("1m30s"), "{error}");
        }
    }

    #[test]
    fn zero_is_a_time_but_no_duration() {
        for zero in ["0", "0s", "0ms", "0.0"] {
            assert_eq!(time(zero), Ok(Nanos(0)));
            assert!(duration(zero).is_err(), "{zero}");
        }
    }
}
