//! Exact totals: one or more rows for each metric and scope, such as one for each time slice. Rows with the same metric and scope are
//! added.

use parquet::errors::ParquetError;

use super::super::check::FileCheck;
use super::super::damage::Damage;
use super::super::limits::TableLimit;
use super::super::table::Table;
use super::super::table_read::TableReader;
use super::super::table_write::write_table;
use super::scope::{self, ScopeColumns};
use super::{References, Texts};
use crate::file::Directory;
use crate::recording::{Counter, Recording, Slice};
use crate::units::Nanos;

pub(in crate::recording::files) const COUNTERS: Table = Table {
    file: "counters.parquet",
    columns: "message counters {
        required binary metric (STRING);
        required binary scope (STRING);
        optional int32 cpu (INTEGER(32, false));
        optional binary cgroup (STRING);
        optional int32 thread_id (INTEGER(32, false));
        optional int32 pid (INTEGER(32, false));
        optional int32 tid (INTEGER(32, false));
        optional binary comm (STRING);
        required int64 count;
        required int64 sum;
        optional int64 begin_ns;
        optional int64 end_ns;
    }",
    rising: &[],
    unique: &[],
    limit: TableLimit { rows: 16 << 20, rows_per_kib: 4096, bytes: 512 << 20 },
};

pub(in crate::recording::files) fn write(
    recording: &Recording,
    texts: &Texts,
    dir: &Directory,
) -> Result<FileCheck, ParquetError> {
    write_table(dir, &COUNTERS, &recording.counters, |columns, _, rows| {
        columns.text("metric", rows.iter().map(|row| texts.metric(row.metric)))?;
        scope::write(columns, recording, texts, rows.iter().map(|row| &row.scope))?;
        columns.amount("count", rows.iter().map(|row| row.count))?;
        columns.amount("sum", rows.iter().map(|row| row.sum))?;
        columns.optional_amount("begin_ns", rows.iter().map(|row| Some(row.slice?.begin.0)))?;
        columns.optional_amount("end_ns", rows.iter().map(|row| Some(row.slice?.end.0)))
    })
}

pub(in crate::recording::files) fn read(
    file: &TableReader<'_>,
    references: &References<'_>,
) -> Result<Vec<Counter>, Damage> {
    let mut counters = Vec::with_capacity(file.rows());
    for group in file.groups() {
        let metrics = group.words("metric", |name| references.metric(name))?;
        let (counts, sums) = (group.amount("count")?, group.amount("sum")?);
        let scopes = ScopeColumns::of(&group)?;
        let (begins, ends) = (group.amounts_if_present("begin_ns")?, group.amounts_if_present("end_ns")?);
        let time = |times: &Option<Vec<Option<u64>>>, row: usize| times.as_ref().and_then(|times| times[row]);
        for (row, metric) in metrics.into_iter().enumerate() {
            let scope = scopes.scope(file, references, row)?;
            let slice = slice(time(&begins, row), time(&ends, row), references.meta.duration)?;
            counters.push(Counter { metric, scope, slice, count: counts[row], sum: sums[row] });
        }
    }
    Ok(counters)
}

/// The slice of a row, which lies within the capture. A row of an older version, or of a total that is only known for the whole capture,
/// has none.
fn slice(begin: Option<u64>, end: Option<u64>, capture: Nanos) -> Result<Option<Slice>, Damage> {
    match (begin, end) {
        (None, None) => Ok(None),
        (Some(begin), Some(end)) if begin <= end => {
            Ok(Some(Slice { begin: Nanos(begin).min(capture), end: Nanos(end).min(capture) }))
        }
        (Some(begin), Some(end)) => Err(format!("a total ends at {end} ns, before it begins at {begin} ns").into()),
        (None, Some(_)) | (Some(_), None) => Err("a row has only one of begin_ns and end_ns".into()),
    }
}
