//! The encoding of a record as a line: a checksum and JSON.

use super::record::{FORMAT, Record};

/// A line that cannot be decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum LineError {
    /// The line was not written completely, or its bytes were changed.
    Torn(&'static str),
    /// The line is intact, but this version of quell does not understand it.
    Foreign {
        /// The part that is not understood.
        reason: String,
        /// The version of quell that wrote the line, if the line contains it.
        version: Option<String>,
    },
}

pub(super) fn encode(record: &Record) -> serde_json::Result<String> {
    let json = serde_json::to_string(record)?;
    Ok(format!("{:08x} {json}\n", crc32fast::hash(json.as_bytes())))
}

pub(super) fn decode(line: &[u8]) -> Result<Record, LineError> {
    let line = line.strip_suffix(b"\n").ok_or(LineError::Torn("the line is truncated"))?;
    let line = std::str::from_utf8(line).map_err(|_| LineError::Torn("the line is not text"))?;
    let (sum, json) = line.split_once(' ').ok_or(LineError::Torn("the line has no checksum"))?;
    if u32::from_str_radix(sum, 16) != Ok(crc32fast::hash(json.as_bytes())) {
        return Err(LineError::Torn("the checksum is wrong"));
    }
    match serde_json::from_str(json) {
        Ok(Record::Begin(begin)) if begin.format != FORMAT => {
            let reason = format!("its format is {}, and this version supports {FORMAT}", begin.format);
            Err(LineError::Foreign { reason, version: version(json) })
        }
        Ok(record) => Ok(record),
        Err(error) => {
            let reason = crate::excerpt::message(error.to_string());
            Err(LineError::Foreign { reason, version: version(json) })
        }
    }
}

/// The version of quell in the first record of a journal.
fn version(json: &str) -> Option<String> {
    let value = serde_json::from_str::<serde_json::Value>(json).ok()?;
    Some(crate::excerpt::value(value.get("quell")?.as_str()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_truncated_line_is_torn_and_a_complete_one_of_another_version_is_foreign() {
        let line = encode(&Record::Restored { step: 3 }).expect("JSON");
        assert_eq!(decode(line.as_bytes()), Ok(Record::Restored { step: 3 }));
        for length in 0..line.len() {
            assert!(matches!(decode(&line.as_bytes()[..length]), Err(LineError::Torn(_))), "{length}");
        }
        let json = r#"{"record":"restored","step":3,"by":"a later version"}"#;
        let line = format!("{:08x} {json}\n", crc32fast::hash(json.as_bytes()));
        assert!(matches!(decode(line.as_bytes()), Err(LineError::Foreign { .. })));
    }
}
