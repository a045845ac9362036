//! One row for each node of the tree of call stacks: a frame, and the row of its caller, which is always an earlier row.

use parquet::errors::ParquetError;

use super::super::check::FileCheck;
use super::super::damage::Damage;
use super::super::limits::{self, TableLimit};
use super::super::table::Table;
use super::super::table_read::TableReader;
use super::super::table_write::write_table;
use crate::file::Directory;
use crate::recording::{ContentHash, FrameId, FrameTable, Recording, StackId, StackTable};

pub(in crate::recording::files) const STACKS: Table = Table {
    file: "stacks.parquet",
    columns: "message stacks {
        required int32 stack_id (INTEGER(32, false));
        required fixed_len_byte_array(16) hash;
        optional int32 parent_id (INTEGER(32, false));
        required int32 frame_id (INTEGER(32, false));
    }",
    rising: &["stack_id"],
    unique: &["hash"],
    limit: TableLimit { rows: 16 << 20, rows_per_kib: 2048, bytes: 512 << 20 },
};

pub(in crate::recording::files) fn write(
    recording: &Recording,
    hashes: Vec<ContentHash>,
    dir: &Directory,
) -> Result<FileCheck, ParquetError> {
    let hashes = bytes::Bytes::from(hashes.into_flattened());
    write_table(dir, &STACKS, recording.stacks.rows(), |columns, first, rows| {
        columns.row_numbers("stack_id", first, rows.len())?;
        columns.hashes("hash", &hashes, first, rows.len())?;
        columns.optional_u32("parent_id", rows.iter().map(|row| Some(row.parent?.row())))?;
        columns.u32("frame_id", rows.iter().map(|row| row.frame.row()))
    })
}

/// The hashes are not read, because they can be computed from the rows.
pub(in crate::recording::files) fn read(file: &TableReader<'_>, frames: &FrameTable) -> Result<StackTable, Damage> {
    let mut stacks = StackTable::default();
    let mut depths: Vec<u16> = Vec::new();
    for group in file.groups() {
        group.check_row_numbers("stack_id", stacks.rows().len())?;
        for (parent, frame) in group.optional_u32("parent_id")?.into_iter().zip(group.u32("frame_id")?) {
            let number = stacks.rows().len();
            if parent.is_some_and(|parent| parent as usize >= number) {
                return Err(format!("stack {number} does not come after its parent").into());
            }
            if frame as usize >= frames.rows().len() {
                return Err(format!("stack {number} names frame {frame}, which does not exist").into());
            }
            let depth = parent.map_or(0, |parent| depths[parent as usize]) + 1;
            if depth > limits::STACK_DEPTH {
                let most = limits::STACK_DEPTH;
                return Err(Damage::Limit(format!("stack {number} has more than {most} frames")));
            }
            depths.push(depth);
            if stacks.intern(parent.map(StackId::new), FrameId::new(frame)).index() != number {
                return Err(format!("stack {number} repeats an earlier one").into());
            }
        }
    }
    Ok(stacks)
}
