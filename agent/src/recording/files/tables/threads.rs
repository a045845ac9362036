//! One row for each thread under one name.

use parquet::errors::ParquetError;

use super::super::check::FileCheck;
use super::super::damage::Damage;
use super::super::limits::{self, TableLimit};
use super::super::table::Table;
use super::super::table_read::TableReader;
use super::super::table_write::write_table;
use super::{References, Texts};
use crate::file::Directory;
use crate::recording::{Recording, Thread, ThreadIdx, ThreadTable};
use crate::units::{Pid, Tid};

pub(in crate::recording::files) const THREADS: Table = Table {
    file: "threads.parquet",
    columns: "message threads {
        required int32 thread_id (INTEGER(32, false));
        required int32 process_id (INTEGER(32, false));
        required int32 pid (INTEGER(32, false));
        required int32 tid (INTEGER(32, false));
        required binary comm (STRING);
        required int32 incarnation (INTEGER(32, false));
    }",
    rising: &["thread_id"],
    unique: &[],
    limit: TableLimit { rows: 4 << 20, rows_per_kib: 1024, bytes: 256 << 20 },
};

pub(in crate::recording::files) fn write(
    recording: &Recording,
    texts: &Texts,
    dir: &Directory,
) -> Result<FileCheck, ParquetError> {
    write_table(dir, &THREADS, recording.threads.rows(), |columns, first, rows| {
        columns.row_numbers("thread_id", first, rows.len())?;
        columns.u32("process_id", rows.iter().map(|row| row.process.row()))?;
        columns.u32("pid", rows.iter().map(|row| row.pid.0))?;
        columns.u32("tid", rows.iter().map(|row| row.tid.0))?;
        columns.text("comm", (first..).take(rows.len()).map(|id| texts.comm(ThreadIdx::new(id))))?;
        columns.u32("incarnation", rows.iter().map(|row| row.incarnation))
    })
}

pub(in crate::recording::files) fn read(
    file: &TableReader<'_>,
    references: &References<'_>,
) -> Result<ThreadTable, Damage> {
    let mut threads = ThreadTable::default();
    for group in file.groups() {
        group.check_row_numbers("thread_id", threads.rows().len())?;
        let (processes, pids, tids) = (group.u32("process_id")?, group.u32("pid")?, group.u32("tid")?);
        // Older versions of quell did not write it.
        let incarnations = group.u32_if_present("incarnation")?;
        for (row, comm) in group.texts("comm")?.into_iter().enumerate() {
            let number = threads.rows().len();
            let process = references.process(processes[row]);
            let process = process.map_err(|why| Damage::Wrong(format!("thread {number}: {why}")))?;
            let comm = file.text(&comm, limits::COMM_BYTES)?;
            let incarnation = incarnations.as_ref().map_or(0, |numbers| numbers[row]);
            threads.push(Thread { process, pid: Pid(pids[row]), tid: Tid(tids[row]), incarnation, comm });
        }
    }
    Ok(threads)
}
