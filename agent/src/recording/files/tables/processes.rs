//! One row for each process.

use parquet::data_type::ByteArray;
use parquet::errors::ParquetError;

use super::super::check::FileCheck;
use super::super::damage::Damage;
use super::super::limits::{self, TableLimit};
use super::super::table::Table;
use super::super::table_read::TableReader;
use super::super::table_write::write_table;
use crate::file::Directory;
use crate::recording::{Process, ProcessTable, Recording};
use crate::units::Pid;

pub(in crate::recording::files) const PROCESSES: Table = Table {
    file: "processes.parquet",
    columns: "message processes {
        required int32 process_id (INTEGER(32, false));
        required int32 pid (INTEGER(32, false));
        optional binary command_line (JSON);
        optional binary executable (STRING);
        optional binary cgroup (STRING);
        optional binary container (STRING);
        optional int32 uid (INTEGER(32, false));
        optional binary user (STRING);
    }",
    rising: &["process_id"],
    unique: &[],
    limit: TableLimit { rows: 4 << 20, rows_per_kib: 1024, bytes: 512 << 20 },
};

pub(in crate::recording::files) fn write(recording: &Recording, dir: &Directory) -> Result<FileCheck, ParquetError> {
    write_table(dir, &PROCESSES, recording.processes.rows(), |columns, first, rows| {
        columns.row_numbers("process_id", first, rows.len())?;
        columns.u32("pid", rows.iter().map(|row| row.pid.0))?;
        let command_lines = rows.iter().map(|row| row.command_line.as_ref().map(json).transpose());
        let command_lines = command_lines.collect::<Result<Vec<_>, _>>()?;
        columns.optional_text("command_line", command_lines.into_iter())?;
        columns.optional_text(
            "executable",
            rows.iter().map(|row| Some(ByteArray::from(&*row.executable.as_ref()?.to_string_lossy()))),
        )?;
        columns.optional_text("cgroup", rows.iter().map(|row| row.cgroup.as_deref().map(ByteArray::from)))?;
        columns.optional_text("container", rows.iter().map(|row| row.container.as_deref().map(ByteArray::from)))?;
        columns.optional_u32("uid", rows.iter().map(|row| row.user))?;
        columns.optional_text("user", rows.iter().map(|row| row.user_name.as_deref().map(ByteArray::from)))
    })
}

/// A list of strings as JSON. A Parquet list would be a nested column, which few readers support.
fn json(words: &Vec<String>) -> Result<ByteArray, ParquetError> {
    let text = serde_json::to_vec(words).map_err(|error| ParquetError::External(Box::new(error)))?;
    Ok(ByteArray::from(text))
}

pub(in crate::recording::files) fn read(file: &TableReader<'_>) -> Result<ProcessTable, Damage> {
    let mut processes = ProcessTable::default();
    for group in file.groups() {
        group.check_row_numbers("process_id", processes.rows().len())?;
        let (pids, users) = (group.u32("pid")?, group.optional_u32("uid")?);
        let command_lines = group.optional_texts("command_line")?;
        let [executables, cgroups, containers] =
            ["executable", "cgroup", "container"].map(|name| group.optional_texts(name));
        let (executables, cgroups, containers) = (executables?, cgroups?, containers?);
        // Older versions of quell did not write it.
        let user_names = group.texts_if_present("user")?;
        for (row, pid) in pids.into_iter().enumerate() {
            let text =
                |column: &[Option<ByteArray>], most| column[row].as_ref().map(|text| file.text(text, most)).transpose();
            processes.push(Process {
                pid: Pid(pid),
                command_line: command_lines[row].as_ref().map(|text| read_json(file, text)).transpose()?,
                executable: text(&executables, limits::PATH_BYTES)?.map(Into::into),
                cgroup: text(&cgroups, limits::PATH_BYTES)?,
                container: text(&containers, limits::CONTAINER_BYTES)?,
                user: users[row],
                user_name: user_names.as_deref().map_or(Ok(None), |names| text(names, limits::USER_NAME_BYTES))?,
            });
        }
    }
    Ok(processes)
}

fn read_json(file: &TableReader<'_>, text: &ByteArray) -> Result<Vec<String>, Damage> {
    if text.len() > limits::COMMAND_LINE_BYTES {
        let most = limits::COMMAND_LINE_BYTES;
        return Err(Damage::Limit(format!("it has a command line of {} bytes (limit: {most})", text.len())));
    }
    let words: Vec<String> = serde_json::from_slice(text.data())
        .map_err(|_| Damage::from("it holds a command line that is not a list of strings"))?;
    file.charge_text(text.len() + words.len() * size_of::<String>())?;
    Ok(words)
}
