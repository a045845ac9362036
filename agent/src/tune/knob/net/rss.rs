//! Which receive queue a hashed packet goes to.

use std::str::FromStr;

use super::cards::{RssTable, cards};
use super::tree::equal;
use super::{nic, nics};
use crate::host::Host;
use crate::tune::knob::{Held, Knob, KnobError, KnobSpec, Lifetime, Reading, Risk, Stage, check_text};
use crate::tune::{Kind, Scope, Target, Value, ValueError};

/// The RSS indirection table.
struct Rss;

static SPEC: KnobSpec = KnobSpec {
    id: "net.rss_table",
    doc: "Which receive queues packets are spread over by hash: `equal 4` for the first four, `queues 2 3` for these in turn, or \
          `table` and the queue of every bucket (`0*64 1*64`). Queues that no bucket names are free for flows that rules steer there.",
    source: "Documentation/networking/scaling.rst (RSS); ETHTOOL_SRXFHINDIR, include/uapi/linux/ethtool.h",
    kind: Kind::Text,
    scope: Scope::Nic,
    lifetime: Lifetime::Runtime,
    risk: Risk::Medium("packets of a flow may be out of order once"),
    stage: Stage::Placement,
    ..KnobSpec::RUNTIME
};

pub(super) static KNOBS: &[&dyn Knob] = &[&Rss];

/// A table in its shortest words.
fn words(entries: &[u32]) -> String {
    let most = entries.iter().max().map_or(0, |most| most.saturating_add(1));
    if entries == equal(entries.len(), most) {
        return format!("equal {most}");
    }
    // The shortest list that, in turn, makes the table.
    for length in 1..=entries.len() / 2 {
        if entries.iter().enumerate().all(|(index, queue)| *queue == entries[index % length]) {
            return format!("queues {}", list(&entries[..length]));
        }
    }
    format!("table {}", runs(entries))
}

/// Equal numbers in a row as `0*32`: many drivers' own tables are such.
fn runs(numbers: &[u32]) -> String {
    let runs = numbers.chunk_by(|a, b| a == b).map(|run| match run {
        [number, _, ..] => format!("{number}*{}", run.len()),
        _ => list(run),
    });
    runs.collect::<Vec<_>>().join(" ")
}

/// A number, or so many of it.
fn run(word: &str) -> Result<Vec<u32>, String> {
    let (number, times) = word.split_once('*').unwrap_or((word, "1"));
    let number = number.parse().map_err(|_| format!("`{word}` is no number of a queue"))?;
    // No table is larger than this by far.
    let times =
        times.parse().ok().filter(|times| *times <= 1 << 16).ok_or_else(|| format!("`{word}` is no run of buckets"))?;
    Ok(vec![number; times])
}

fn list(numbers: &[u32]) -> String {
    numbers.iter().map(u32::to_string).collect::<Vec<_>>().join(" ")
}

const FORMS: &str = "`equal 4`, `queues 2 3`, or `table` and a queue for each bucket";

/// What words say of a table, whatever card it is for.
enum Table {
    Equal(u32),
    Queues(Vec<u32>),
    Each(Vec<u32>),
}

impl FromStr for Table {
    type Err = String;

    fn from_str(words: &str) -> Result<Self, String> {
        let (kind, rest) = words.split_once(' ').unwrap_or((words, ""));
        let numbers: Vec<u32> = rest.split_whitespace().map(run).collect::<Result<Vec<_>, _>>()?.concat();
        match (kind, numbers.as_slice()) {
            ("equal", [queues]) if *queues > 0 => Ok(Self::Equal(*queues)),
            ("queues", [_, ..]) => Ok(Self::Queues(numbers)),
            ("table", [_, ..]) => Ok(Self::Each(numbers)),
            _ => Err(format!("write {FORMS}")),
        }
    }
}

/// The table that words mean for a card.
fn table(words: &str, card: &RssTable) -> Result<Vec<u32>, String> {
    let size = card.entries.len();
    let entries: Vec<u32> = match words.parse()? {
        Table::Equal(queues) => equal(size, queues),
        Table::Queues(queues) => queues.into_iter().cycle().take(size).collect(),
        Table::Each(entries) if entries.len() == size => entries,
        Table::Each(entries) => return Err(format!("the card's table has {size} buckets, not {}", entries.len())),
    };
    match entries.iter().find(|queue| **queue >= card.queues) {
        Some(absent) => Err(format!("there is no queue {absent}: the card has {}", card.queues)),
        None => Ok(entries),
    }
}

impl Knob for Rss {
    fn spec(&self) -> &KnobSpec {
        &SPEC
    }

    fn check(&self, value: &Value) -> Result<(), ValueError> {
        check_text(value, FORMS, |words| words.parse::<Table>().is_ok())
    }

    fn targets(&self, host: &Host) -> Vec<Target> {
        nics(host)
    }

    fn read(&self, host: &Host, target: &Target) -> Result<Reading, KnobError> {
        let found = cards(host).rss(nic(target)?)?;
        Ok(found.map_or_else(Reading::Absent, |table| Reading::Value(Value::Text(words(&table.entries)))))
    }

    fn normalize(&self, host: &Host, target: &Target, value: &Value) -> Result<Value, KnobError> {
        let impossible = |why| KnobError::Impossible { value: value.clone(), why };
        let card = cards(host).rss(nic(target)?)?.map_err(impossible)?;
        let entries = table(&value.to_string(), &card).map_err(impossible)?;
        Ok(Value::Text(words(&entries)))
    }

    fn write(&self, host: &Host, target: &Target, value: &Value) -> Result<Held, KnobError> {
        let impossible = |why| KnobError::Impossible { value: value.clone(), why };
        let (cards, nic) = (cards(host), nic(target)?);
        let card = cards.rss(nic)?.map_err(impossible)?;
        let entries = table(&value.to_string(), &card).map_err(impossible)?;
        if entries == equal(entries.len(), card.queues) {
            // The driver's own, as far as this can tell: as if nobody had set it (IFF_RXFH_CONFIGURED), so that it follows the
            // number of channels again.
            cards.set_rss(nic, &[])?;
            if cards.rss(nic)?.is_ok_and(|now| now.entries == entries) {
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
    fn a_table_reads_back_as_the_shortest_words_for_it() {
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
            let entries = table(given, &card).expect(given);
            assert_eq!(words(&entries), canonical);
            assert_eq!(table(&words(&entries), &card).as_ref(), Ok(&entries), "{given}");
        }
        for wrong in ["equal 0", "equal 5", "queues", "table 0 1", "all", "queues a"] {
            assert!(table(wrong, &card).is_err(), "{wrong}");
        }
    }
}
