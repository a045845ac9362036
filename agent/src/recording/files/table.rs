//! What a table is: a file and its columns, as Parquet writes schemas.
//!
//! Names of columns end in their unit. Identifiers count rows from 0, so that `stack_id` is both a column and a row number.
//! Every amount is a signed integer, so that SQL may subtract; one of more than 2^63 is written as that.

use super::limits::TableLimit;

/// A table: the file that holds it, and its columns.
pub(super) struct Table {
    /// The file's name in the recording.
    pub(super) file: &'static str,
    /// Its columns as a Parquet message type.
    pub(super) columns: &'static str,
    /// Columns whose values rise slowly: stored as differences.
    pub(super) rising: &'static [&'static str],
    /// Columns whose values are all different and do not compress: stored as they are.
    pub(super) unique: &'static [&'static str],
    /// How large it may be for a reader. The rows are what this machine's reader takes some 10 GiB for, in a report of all
    /// of them.
    pub(super) limit: TableLimit,
}
