//! The definition of a table: its file and columns, as in a Parquet schema.
//!
//! Names of columns end in their unit. IDs are row numbers starting at 0, so that `stack_id` is both a column and a row number.
//! All amounts are signed integers, so that they can be subtracted in SQL; an amount of more than 2^63 is written as 2^63 - 1.

use super::limits::TableLimit;

/// A table: its file and its columns.
pub(super) struct Table {
    /// The name of the file in the recording.
    pub(super) file: &'static str,
    /// The columns as a Parquet message type.
    pub(super) columns: &'static str,
    /// Columns with slowly increasing values, which are stored as differences.
    pub(super) rising: &'static [&'static str],
    /// Columns with distinct values that cannot be compressed, which are stored without a dictionary.
    pub(super) unique: &'static [&'static str],
    /// The size limit for readers. With the maximum number of rows, reading the table and a report of all rows take about 10
    /// GiB on the development machine.
    pub(super) limit: TableLimit,
}
