//! Writes a table: converts rows to typed Parquet columns, one row group at a time.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::sync::Arc;

use bytes::Bytes;
use flate2::Crc;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::data_type::{
    BoolType, ByteArray, ByteArrayType, DataType, DoubleType, FixedLenByteArray, FixedLenByteArrayType, Int32Type,
    Int64Type,
};
use parquet::errors::ParquetError;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;
use parquet::schema::types::ColumnPath;

use super::check::FileCheck;
use super::table::Table;
use crate::file::Directory;
use crate::recording::ContentHash;

/// The number of rows in a group: large enough for good compression, and small enough that the columns of a group take little
/// memory compared with the recording.
const GROUP_ROWS: usize = 128 * 1024;

/// Writes `rows` as the file of `table` in `dir`, and syncs it. `group` writes the columns of a row group in the order of the
/// schema; its arguments include the number of the first row of the group.
pub(super) fn write_table<R>(
    dir: &Directory,
    table: &Table,
    rows: &[R],
    mut group: impl FnMut(&mut Columns<'_>, u32, &[R]) -> Result<(), ParquetError>,
) -> Result<FileCheck, ParquetError> {
    let file = dir.create_file(OsStr::new(table.file)).map_err(|error| external(io::Error::from(error)))?;
    let schema = Arc::new(parse_message_type(table.columns)?);
    let mut properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(1)?))
        .set_created_by(concat!("quell ", env!("CARGO_PKG_VERSION")).to_owned())
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_dictionary_enabled(true);
    for column in table.rising {
        let column = ColumnPath::from(*column);
        properties = properties
            .set_column_dictionary_enabled(column.clone(), false)
            .set_column_encoding(column, Encoding::DELTA_BINARY_PACKED);
    }
    for column in table.unique {
        properties = properties.set_column_dictionary_enabled(ColumnPath::from(*column), false);
    }
    let checked = Checked { inner: BufWriter::new(file), crc: Crc::new(), bytes: 0 };
    let mut writer = SerializedFileWriter::new(checked, schema, Arc::new(properties.build()))?;
    let mut first = 0;
    for chunk in rows.chunks(GROUP_ROWS) {
        let mut columns = Columns { group: writer.next_row_group()?, levels: Vec::new() };
        group(&mut columns, first, chunk)?;
        columns.group.close()?;
        first += u32::try_from(chunk.len()).map_err(external)?;
    }
    let mut checked = writer.into_inner()?;
    checked.flush().map_err(external)?;
    checked.inner.get_ref().sync_all().map_err(external)?;
    Ok(FileCheck { bytes: checked.bytes, crc32: checked.crc.sum() })
}

/// The columns of a row group, which are written one after the other.
pub(super) struct Columns<'a> {
    group: SerializedRowGroupWriter<'a, Checked>,
    levels: Vec<i16>,
}

impl Columns<'_> {
    /// Writes a column of unsigned 32-bit numbers. Parquet has no unsigned physical type: the bits are unchanged, and the
    /// schema marks them as unsigned.
    pub(super) fn u32(&mut self, name: &str, values: impl Iterator<Item = u32>) -> Result<(), ParquetError> {
        self.required::<Int32Type>(name, values.map(u32::cast_signed))
    }

    /// Writes row numbers starting at `first`.
    pub(super) fn row_numbers(&mut self, name: &str, first: u32, count: usize) -> Result<(), ParquetError> {
        self.u32(name, (first..).take(count))
    }

    /// Writes a column of unsigned 32-bit numbers with missing values.
    pub(super) fn optional_u32(
        &mut self,
        name: &str,
        values: impl Iterator<Item = Option<u32>>,
    ) -> Result<(), ParquetError> {
        self.optional::<Int32Type>(name, values.map(|value| value.map(u32::cast_signed)))
    }

    /// Writes a column of unsigned 64-bit numbers with missing values; the bits are unchanged.
    pub(super) fn optional_u64(
        &mut self,
        name: &str,
        values: impl Iterator<Item = Option<u64>>,
    ) -> Result<(), ParquetError> {
        self.optional::<Int64Type>(name, values.map(|value| value.map(u64::cast_signed)))
    }

    /// Writes a column of counts or nanoseconds as signed numbers.
    pub(super) fn amount(&mut self, name: &str, values: impl Iterator<Item = u64>) -> Result<(), ParquetError> {
        self.required::<Int64Type>(name, values.map(signed))
    }

    /// Writes a column of counts or nanoseconds with missing values.
    pub(super) fn optional_amount(
        &mut self,
        name: &str,
        values: impl Iterator<Item = Option<u64>>,
    ) -> Result<(), ParquetError> {
        self.optional::<Int64Type>(name, values.map(|value| value.map(signed)))
    }

    /// Writes a column of floating-point numbers.
    pub(super) fn f64(&mut self, name: &str, values: impl Iterator<Item = f64>) -> Result<(), ParquetError> {
        self.required::<DoubleType>(name, values)
    }

    /// Writes a column of booleans.
    pub(super) fn bool(&mut self, name: &str, values: impl Iterator<Item = bool>) -> Result<(), ParquetError> {
        self.required::<BoolType>(name, values)
    }

    /// Writes a column of hashes: `count` hashes of `all`, which contains all hashes consecutively, starting at row `first`.
    pub(super) fn hashes(&mut self, name: &str, all: &Bytes, first: u32, count: usize) -> Result<(), ParquetError> {
        const SIZE: usize = size_of::<ContentHash>();
        let rows = first as usize..first as usize + count;
        let hash = |row: usize| FixedLenByteArray::from(ByteArray::from(all.slice(row * SIZE..(row + 1) * SIZE)));
        self.required::<FixedLenByteArrayType>(name, rows.map(hash))
    }

    /// Writes a column of text. Rows share a text by cloning it, which copies no bytes.
    pub(super) fn text(&mut self, name: &str, values: impl Iterator<Item = ByteArray>) -> Result<(), ParquetError> {
        self.required::<ByteArrayType>(name, values)
    }

    /// Writes a column of text with missing values.
    pub(super) fn optional_text(
        &mut self,
        name: &str,
        values: impl Iterator<Item = Option<ByteArray>>,
    ) -> Result<(), ParquetError> {
        self.optional::<ByteArrayType>(name, values)
    }

    fn required<T: DataType>(&mut self, name: &str, values: impl Iterator<Item = T::T>) -> Result<(), ParquetError> {
        self.write::<T>(name, &values.collect::<Vec<_>>(), false)
    }

    fn optional<T: DataType>(
        &mut self,
        name: &str,
        rows: impl Iterator<Item = Option<T::T>>,
    ) -> Result<(), ParquetError> {
        self.levels.clear();
        let mut values = Vec::new();
        for row in rows {
            self.levels.push(i16::from(row.is_some()));
            values.extend(row);
        }
        self.write::<T>(name, &values, true)
    }

    fn write<T: DataType>(&mut self, name: &str, values: &[T::T], optional: bool) -> Result<(), ParquetError> {
        let mut column = self
            .group
            .next_column()?
            .ok_or_else(|| ParquetError::General(format!("the schema ends before column {name}")))?;
        let writer = column.typed::<T>();
        assert_eq!(writer.get_descriptor().name(), name, "columns are written in the schema's order");
        writer.write_batch(values, optional.then_some(self.levels.as_slice()), None)?;
        column.close()
    }
}

fn signed(amount: u64) -> i64 {
    i64::try_from(amount).unwrap_or(i64::MAX)
}

fn external(error: impl std::error::Error + Send + Sync + 'static) -> ParquetError {
    ParquetError::External(Box::new(error))
}

/// A file that computes its size and checksum while it is written.
struct Checked {
    inner: BufWriter<File>,
    crc: Crc,
    bytes: u64,
}

impl Write for Checked {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(data)?;
        self.crc.update(&data[..written]);
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
