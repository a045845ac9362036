//! A record as a line: a checksum, and JSON.

use super::Record;

/// A line that is no record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum NoRecord {
    /// It was not written to its end, or is something else than was written.
    Torn(&'static str),
    /// It is whole, and says something that this version does not know.
    Foreign {
        /// What is not known.
        why: String,
        /// Who wrote it, where the line says.
        version: Option<String>,
    },
}

pub(super) fn encode(record: &Record) -> serde_json::Result<String> {
    let json = serde_json::to_string(record)?;
    Ok(format!("{:08x} {json}\n", crc32fast::hash(json.as_bytes())))
}

pub(super) fn decode(line: &[u8]) -> Result<Record, NoRecord> {
    let line = line.strip_suffix(b"\n").ok_or(NoRecord::Torn("it is cut"))?;
    let line = std::str::from_utf8(line).map_err(|_| NoRecord::Torn("it is no text"))?;
    let (sum, json) = line.split_once(' ').ok_or(NoRecord::Torn("it has no checksum"))?;
    if u32::from_str_radix(sum, 16) != Ok(crc32fast::hash(json.as_bytes())) {
        return Err(NoRecord::Torn("its checksum is wrong"));
    }
    let foreign = |why: String| {
        let version = serde_json::from_str::<serde_json::Value>(json)
            .ok()
            .and_then(|value| Some(crate::excerpt::value(value.get("quell")?.as_str()?)));
        NoRecord::Foreign { why, version }
    };
    match serde_json::from_str(json) {
        Ok(Record::Begin(begin)) if begin.format > super::FORMAT => {
            Err(foreign(format!("its format is {}, and {} is the last that is known", begin.format, super::FORMAT)))
        }
        Ok(record) => Ok(record),
        Err(error) => Err(foreign(crate::excerpt::message(error.to_string()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_was_cut_is_torn_and_a_whole_one_of_another_version_is_not() {
        let line = encode(&Record::Undone { step: 3 }).expect("JSON");
        assert_eq!(decode(line.as_bytes()), Ok(Record::Undone { step: 3 }));
        for length in 0..line.len() {
            assert!(matches!(decode(&line.as_bytes()[..length]), Err(NoRecord::Torn(_))), "{length}");
        }
        let json = r#"{"record":"undone","step":3,"by":"a later version"}"#;
        let line = format!("{:08x} {json}\n", crc32fast::hash(json.as_bytes()));
        assert!(matches!(decode(line.as_bytes()), Err(NoRecord::Foreign { .. })));
    }

    #[test]
    fn records_without_what_came_later_are_read() {
        let old = [r#"{"record":"left","step":3,"why":"busy"}"#, r#"{"record":"undoing","why":"rollback"}"#];
        for json in old {
            let line = format!("{:08x} {json}\n", crc32fast::hash(json.as_bytes()));
            let record = decode(line.as_bytes()).expect("a record");
            assert!(matches!(record, Record::Left { now: None, .. } | Record::Undoing { .. }));
        }
    }
}
