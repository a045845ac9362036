//! Exact distributions: one row for each range of values that occurred. The rows of a histogram are consecutive, in ascending
//! order of values.

use hdrhistogram::Histogram as Counts;
use parquet::errors::ParquetError;

use super::super::check::FileCheck;
use super::super::damage::Damage;
use super::super::limits::{self, Allowance, TableLimit};
use super::super::table::Table;
use super::super::table_read::TableReader;
use super::super::table_write::write_table;
use super::scope::{self, ScopeColumns};
use super::{References, Texts};
use crate::file::Directory;
use crate::recording::{Histogram, MOST_SIGNIFICANT_DIGITS, Recording, empty_counts};

pub(in crate::recording::files) const HISTOGRAMS: Table = Table {
    file: "histograms.parquet",
    columns: "message histograms {
        required int32 histogram_id (INTEGER(32, false));
        required binary metric (STRING);
        required binary scope (STRING);
        optional int32 cpu (INTEGER(32, false));
        optional binary cgroup (STRING);
        optional int32 thread_id (INTEGER(32, false));
        optional int32 pid (INTEGER(32, false));
        optional int32 tid (INTEGER(32, false));
        optional binary comm (STRING);
        required int32 significant_digits (INTEGER(32, false));
        required int64 value_low;
        required int64 value_high;
        required int64 count;
    }",
    rising: &["histogram_id"],
    unique: &[],
    limit: TableLimit { rows: 16 << 20, rows_per_kib: 2048, bytes: 512 << 20 },
};

/// A range of values.
struct Range<'a> {
    id: u32,
    histogram: &'a Histogram,
    low: u64,
    high: u64,
    count: u64,
}

pub(in crate::recording::files) fn write(
    recording: &Recording,
    texts: &Texts,
    dir: &Directory,
) -> Result<FileCheck, ParquetError> {
    let rows: Vec<Range<'_>> = (0..).zip(&recording.histograms).flat_map(|(id, row)| ranges(id, row)).collect();
    write_table(dir, &HISTOGRAMS, &rows, |columns, _, rows| {
        columns.u32("histogram_id", rows.iter().map(|row| row.id))?;
        columns.text("metric", rows.iter().map(|row| texts.metric(row.histogram.metric)))?;
        scope::write(columns, recording, texts, rows.iter().map(|row| &row.histogram.scope))?;
        columns.u32("significant_digits", rows.iter().map(|row| row.histogram.counts.sigfig().into()))?;
        columns.amount("value_low", rows.iter().map(|row| row.low))?;
        columns.amount("value_high", rows.iter().map(|row| row.high))?;
        columns.amount("count", rows.iter().map(|row| row.count))
    })
}

fn ranges(id: u32, histogram: &Histogram) -> impl Iterator<Item = Range<'_>> {
    let counts = &histogram.counts;
    counts.iter_recorded().map(move |step| {
        let value = step.value_iterated_to();
        let (low, high) = (counts.lowest_equivalent(value), counts.highest_equivalent(value));
        Range { id, histogram, low, high, count: step.count_at_value() }
    })
}

pub(in crate::recording::files) fn read(
    file: &TableReader<'_>,
    references: &References<'_>,
) -> Result<Vec<Histogram>, Damage> {
    let memory = Allowance::new("histograms", limits::FREE_HISTOGRAMS, limits::HISTOGRAMS_PER_BYTE, file.bytes());
    let mut histograms: Vec<Histogram> = Vec::new();
    // The number of the last histogram. Empty histograms have no rows.
    let mut last = None;
    for group in file.groups() {
        let ids = group.u32("histogram_id")?;
        let metrics = group.words("metric", |name| references.metric(name))?;
        let scopes = ScopeColumns::of(&group)?;
        let digits = group.u32("significant_digits")?;
        let (values, counts) = (group.amount("value_low")?, group.amount("count")?);
        for (row, id) in ids.into_iter().enumerate() {
            if last.is_some_and(|last| id < last) {
                return Err(format!("histogram {id} is out of order").into());
            }
            if last.replace(id) != Some(id) {
                let digits = u8::try_from(digits[row]).ok().filter(|digits| *digits <= MOST_SIGNIFICANT_DIGITS);
                let digits =
                    digits.ok_or_else(|| Damage::Limit(format!("histogram {id} has too many significant digits")))?;
                let (metric, scope) = (metrics[row], scopes.scope(file, references, row)?);
                let counts = empty_counts(digits);
                memory.spend(size_of::<Histogram>() as u64 + bytes(&counts))?;
                histograms.push(Histogram { metric, scope, counts });
            }
            let Some(histogram) = histograms.last_mut() else { continue };
            let before = bytes(&histogram.counts);
            let recorded = histogram.counts.record_n(values[row], counts[row]);
            recorded.map_err(|error| format!("histogram {id}: {error}"))?;
            memory.spend(bytes(&histogram.counts) - before)?;
        }
    }
    Ok(histograms)
}

/// The memory of the counts in bytes.
fn bytes(counts: &Counts<u64>) -> u64 {
    (counts.distinct_values() * size_of::<u64>()) as u64
}
