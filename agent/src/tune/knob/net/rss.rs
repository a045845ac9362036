//! The RSS indirection table: the receive queue of each hash bucket.

use std::str::FromStr;

use super::backend::cards;
use super::card::RssTable;
use crate::host::Host;
use crate::tune::knob::checks::{check_text, nic_name};
use crate::tune::knob::error::KnobError;
use crate::tune::knob::knob::Knob;
use crate::tune::knob::net::tree::equal;
use crate::tune::knob::reading::{Held, Reading};
use crate::tune::knob::spec::{KnobSpec, Risk, Stage};
use crate::tune::value::{KnobTarget, Scope, Value, ValueError, ValueKind};

/// A knob for the RSS indirection table of a card.
struct RssKnob;

static SPEC: KnobSpec = KnobSpec {
    id: "net.rss_table",
    doc: "The receive queues that packets are spread over by hash: `equal 4` for the first four, `queues 2 3` for these in turn, or \
          `table` and the queue of every bucket (`0*64 1*64`). Queues that no bucket names are available to flow rules.",
    source: "Documentation/networking/scaling.rst (RSS); ETHTOOL_SRXFHINDIR, include/uapi/linux/ethtool.h",
    kind: ValueKind::Text,
    scope: Scope::Nic,
    risk: Risk::Medium("packets of a flow may be reordered once"),
    stage: Stage::Placement,
    ..KnobSpec::RUNTIME
};

pub(super) static KNOBS: &[&dyn Knob] = &[&RssKnob];

/// The shortest text that describes a table.
fn table_text(entries: &[u32]) -> String {
    let queues = entries.iter().max().map_or(0, |last| last.saturating_add(1));
    if entries == equal(entries.len(), queues) {
        return format!("equal {queues}");
    }
    // The shortest list of queues whose repetition results in the table.
    for length in 1..=entries.len() / 2 {
        if entries.iter().enumerate().all(|(index, queue)| *queue == entries[index % length]) {
            return format!("queues {}", list(&entries[..length]));
        }
    }
    format!("table {}", runs(entries))
}

/// Run-length encodes numbers: `0*32`. The default tables of many drivers have such runs.
fn runs(numbers: &[u32]) -> String {
    let runs = numbers.chunk_by(|a, b| a == b).map(|run| match run {
        [number, _, ..] => format!("{number}*{}", run.len()),
        _ => list(run),
    });
    runs.collect::<Vec<_>>().join(" ")
}

/// Parses a number, or a run such as `0*32`.
fn parse_run(word: &str) -> Result<Vec<u32>, String> {
    let (number, times) = word.split_once('*').unwrap_or((word, "1"));
    let number = number.parse().map_err(|_| format!("`{word}` is not the number of a queue"))?;
    // Far more entries than any table has.
    let times = times
        .parse()
        .ok()
        .filter(|times| *times <= 1 << 16)
        .ok_or_else(|| format!("`{word}` is not a run of buckets"))?;
    Ok(vec![number; times])
}

fn list(numbers: &[u32]) -> String {
    numbers.iter().map(u32::to_string).collect::<Vec<_>>().join(" ")
}

const FORMS: &str = "`equal 4`, `queues 2 3`, or `table` and a queue for each bucket";

/// A parsed table, independent of the table size of a card.
enum Table {
    Equal(u32),
    Queues(Vec<u32>),
    Buckets(Vec<u32>),
}

impl FromStr for Table {
    type Err = String;

    fn from_str(words: &str) -> Result<Self, String> {
        let (kind, rest) = words.split_once(' ').unwrap_or((words, ""));
        let numbers: Vec<u32> = rest.split_whitespace().map(parse_run).collect::<Result<Vec<_>, _>>()?.concat();
        match (kind, numbers.as_slice()) {
            ("equal", [queues]) if *queues > 0 => Ok(Self::Equal(*queues)),
            ("queues", [_, ..]) => Ok(Self::Queues(numbers)),
            ("table", [_, ..]) => Ok(Self::Buckets(numbers)),
            _ => Err(format!("write {FORMS}")),
        }
    }
}

/// The table of a card that a text describes.
fn table_for(words: &str, card: &RssTable) -> Result<Vec<u32>, String> {
    let size = card.entries.len();
    let entries: Vec<u32> = match words.parse()? {
        Table::Equal(queues) => equal(size, queues),
        Table::Queues(queues) => queues.into_iter().cycle().take(size).collect(),
        Table::Buckets(entries) if entries.len() == size => entries,
        Table::Buckets(entries) => {
            return Err(format!("the table of the card has {size} buckets, not {}", entries.len()));
        }
    };
    match entries.iter().find(|queue| **queue >= card.queues) {
        Some(absent) => Err(format!("there is no queue {absent}: the card has {}", card.queues)),
        None => Ok(entries),
    }
}

impl Knob for RssKnob {
    fn spec(&self) -> &KnobSpec {
        &SPEC
    }

    fn check_value(&self, value: &Value) -> Result<(), ValueError> {
        check_text(value, FORMS, |words| words.parse::<Table>().is_ok())
    }

    fn read(&self, host: &Host, target: &KnobTarget) -> Result<Reading, KnobError> {
        let table = cards(host).rss(nic_name(target)?)?;
        Ok(table.map_or_else(Reading::Absent, |table| Reading::Value(Value::Text(table_text(&table.entries)))))
    }

    fn normalize(&self, host: &Host, target: &KnobTarget, value: &Value) -> Result<Value, KnobError> {
        let impossible = |reason| KnobError::Impossible { value: value.clone(), reason };
        let card = cards(host).rss(nic_name(target)?)?.map_err(impossible)?;
        let entries = table_for(&value.to_string(), &card).map_err(impossible)?;
        Ok(Value::Text(table_text(&entries)))
    }

    fn write(&self, host: &Host, target: &KnobTarget, value: &Value) -> Result<Held, KnobError> {
        let impossible = |reason| KnobError::Impossible { value: value.clone(), reason };
        let (cards, nic) = (cards(host), nic_name(target)?);
        let card = cards.rss(nic)?.map_err(impossible)?;
        let entries = table_for(&value.to_string(), &card).map_err(impossible)?;
        if entries == equal(entries.len(), card.queues) {
            // This is probably the default of the driver. It is reset and not set (IFF_RXFH_CONFIGURED), so that it follows the
            // number of channels again.
            cards.set_rss(nic, &[])?;
            if cards.rss(nic)?.is_ok_and(|table| table.entries == entries) {
                return Ok(Held::Nothing);
            }
        }
        cards.set_rss(nic, &entries).map(|()| Held::Nothing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_written_as_the_shortest_text() {
        let card = RssTable { entries: vec![0; 8], queues: 4 };
        for (given, canonical) in [
            ("equal 4", "equal 4"),
            ("equal 1", "equal 1"),
            ("queues 0 1", "equal 2"),
            ("queues 2 3", "queues 2 3"),
            ("queues 3", "queues 3"),
            ("table 0 1 2 3 0 1 2 3", "equal 4"),
            ("table 0 0 0 0 0 0 0 3", "table 0*7 3"),
            ("table 0*2 1*2 2*2 3*2", "table 0*2 1*2 2*2 3*2"),
        ] {
            let entries = table_for(given, &card).expect(given);
            assert_eq!(table_text(&entries), canonical);
            assert_eq!(table_for(&table_text(&entries), &card).as_ref(), Ok(&entries), "{given}");
        }
        for wrong in ["equal 0", "equal 5", "queues", "table 0 1", "all", "queues a"] {
            assert!(table_for(wrong, &card).is_err(), "{wrong}");
        }
    }
}
