//! One row for each label of each set: a key and its value, ordered by set and key.

use parquet::data_type::ByteArray;
use parquet::errors::ParquetError;

use super::super::check::FileCheck;
use super::super::damage::Damage;
use super::super::limits::{self, TableLimit};
use super::super::table::Table;
use super::super::table_read::TableReader;
use super::super::table_write::write_table;
use crate::file::Directory;
use crate::recording::{Label, LabelSetId, LabelTable, Recording};

pub(in crate::recording::files) const LABELS: Table = Table {
    file: "labels.parquet",
    columns: "message labels {
        required int32 label_set_id (INTEGER(32, false));
        required binary key (STRING);
        required binary value (STRING);
    }",
    rising: &["label_set_id"],
    unique: &[],
    limit: TableLimit { rows: 4 << 20, rows_per_kib: 512, bytes: 256 << 20 },
};

pub(in crate::recording::files) fn write(recording: &Recording, dir: &Directory) -> Result<FileCheck, ParquetError> {
    let rows: Vec<(LabelSetId, &Label)> = recording
        .labels
        .rows()
        .iter()
        .enumerate()
        .flat_map(|(set, labels)| labels.iter().map(move |label| (LabelSetId::from_index(set), label)))
        .collect();
    write_table(dir, &LABELS, &rows, |columns, _, rows| {
        columns.u32("label_set_id", rows.iter().map(|(set, _)| set.row()))?;
        columns.text("key", rows.iter().map(|(_, label)| ByteArray::from(label.key.as_str())))?;
        columns.text("value", rows.iter().map(|(_, label)| ByteArray::from(label.value.as_str())))
    })
}

pub(in crate::recording::files) fn read(file: &TableReader<'_>) -> Result<LabelTable, Damage> {
    let mut table = LabelTable::default();
    let mut set: Vec<Label> = Vec::new();
    for group in file.groups() {
        let (ids, keys, values) = (group.u32("label_set_id")?, group.texts("key")?, group.texts("value")?);
        for ((id, key), value) in ids.into_iter().zip(keys).zip(values) {
            let current = table.rows().len();
            if id as usize == current + 1 && !set.is_empty() {
                add(&mut table, std::mem::take(&mut set))?;
            } else if id as usize != current {
                return Err(format!("label set {id} is out of order").into());
            }
            let label = Label {
                key: file.text(&key, limits::LABEL_KEY_BYTES)?,
                value: file.text(&value, limits::LABEL_VALUE_BYTES)?,
            };
            if set.last().is_some_and(|last| last.key >= label.key) {
                return Err(format!("the keys of label set {id} are out of order").into());
            }
            set.push(label);
        }
    }
    if !set.is_empty() {
        add(&mut table, set)?;
    }
    Ok(table)
}

fn add(table: &mut LabelTable, set: Vec<Label>) -> Result<(), Damage> {
    let number = table.rows().len();
    match table.intern(set) {
        Some(id) if id.index() == number => Ok(()),
        _ => Err(format!("label set {number} repeats an earlier one").into()),
    }
}
