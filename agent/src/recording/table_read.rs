//! Reading one table: typed columns of one row group at a time, found by name, so that further columns do no harm.

use std::fs::File;
use std::path::Path;

use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::{ByteArray, DataType};
use parquet::file::reader::{FileReader, RowGroupReader, SerializedFileReader};
use parquet::schema::types::SchemaDescriptor;

/// An open table.
pub(super) struct TableReader {
    file: SerializedFileReader<File>,
}

/// Why a table was not read, in words; the caller adds the path.
pub(super) type Damage = String;

impl TableReader {
    pub(super) fn open(path: &Path) -> Result<Self, Damage> {
        let file = File::open(path).map_err(|error| error.to_string())?;
        Ok(Self { file: SerializedFileReader::new(file).map_err(|error| error.to_string())? })
    }

    /// The row groups in order, each with its number of rows.
    pub(super) fn groups(&self) -> impl Iterator<Item = Result<Group<'_>, Damage>> {
        (0..self.file.num_row_groups()).map(|number| {
            let reader = self.file.get_row_group(number).map_err(|error| error.to_string())?;
            let rows = usize::try_from(reader.metadata().num_rows()).map_err(|_| "a negative number of rows")?;
            if u32::try_from(rows).is_err() {
                return Err("more than 2^32 rows in one group".to_owned());
            }
            Ok(Group { schema: self.file.metadata().file_metadata().schema_descr(), reader, rows })
        })
    }
}

/// A row group of an open table.
pub(super) struct Group<'a> {
    schema: &'a SchemaDescriptor,
    reader: Box<dyn RowGroupReader + 'a>,
    rows: usize,
}

impl Group<'_> {
    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    pub(super) fn u32(&self, name: &str) -> Result<Vec<u32>, Damage> {
        Ok(self.required(name, int32)?.into_iter().map(i32::cast_unsigned).collect())
    }

    pub(super) fn optional_u32(&self, name: &str) -> Result<Vec<Option<u32>>, Damage> {
        Ok(self.optional(name, int32)?.into_iter().map(|value| value.map(i32::cast_unsigned)).collect())
    }

    pub(super) fn optional_u64(&self, name: &str) -> Result<Vec<Option<u64>>, Damage> {
        Ok(self.optional(name, int64)?.into_iter().map(|value| value.map(i64::cast_unsigned)).collect())
    }

    pub(super) fn amount(&self, name: &str) -> Result<Vec<u64>, Damage> {
        self.required(name, int64)?.into_iter().map(|value| unsigned(name, value)).collect()
    }

    pub(super) fn optional_amount(&self, name: &str) -> Result<Vec<Option<u64>>, Damage> {
        self.optional(name, int64)?
            .into_iter()
            .map(|value| value.map(|value| unsigned(name, value)).transpose())
            .collect()
    }

    pub(super) fn f64(&self, name: &str) -> Result<Vec<f64>, Damage> {
        self.required(name, |reader| match reader {
            ColumnReader::DoubleColumnReader(reader) => Some(reader),
            _ => None,
        })
    }

    pub(super) fn optional_bool(&self, name: &str) -> Result<Vec<Option<bool>>, Damage> {
        self.optional(name, |reader| match reader {
            ColumnReader::BoolColumnReader(reader) => Some(reader),
            _ => None,
        })
    }

    pub(super) fn text(&self, name: &str) -> Result<Vec<String>, Damage> {
        self.required(name, byte_array)?.iter().map(|value| utf8(name, value).map(str::to_owned)).collect()
    }

    pub(super) fn optional_text(&self, name: &str) -> Result<Vec<Option<String>>, Damage> {
        self.optional_words(name, |text| Some(text.to_owned()))
    }

    /// A column of text of which each value is one of a few words, parsed as it is read.
    pub(super) fn optional_words<T>(
        &self,
        name: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<Vec<Option<T>>, Damage> {
        let parsed = |value: ByteArray| {
            let text = utf8(name, &value)?;
            parse(text).ok_or_else(|| format!("column {name} holds the unknown word `{text}`"))
        };
        self.optional(name, byte_array)?.into_iter().map(|value| value.map(parsed).transpose()).collect()
    }

    fn required<T: DataType>(&self, name: &str, typed: Typed<T>) -> Result<Vec<T::T>, Damage> {
        let mut values = Vec::new();
        let levels = self.read(name, typed, &mut values)?;
        // A column of the same name that may be empty is as good where no value is missing.
        if values.len() != self.rows || levels.iter().any(|level| *level != 0 && *level != 1) {
            return Err(format!("column {name} has {} values in {} rows", values.len(), self.rows));
        }
        Ok(values)
    }

    fn optional<T: DataType>(&self, name: &str, typed: Typed<T>) -> Result<Vec<Option<T::T>>, Damage> {
        let mut values = Vec::new();
        let levels = self.read(name, typed, &mut values)?;
        let mut values = values.into_iter();
        if levels.is_empty() && values.len() == self.rows {
            return Ok(values.map(Some).collect());
        }
        let present = levels.iter().filter(|level| **level == 1).count();
        if levels.len() != self.rows || present != values.len() {
            return Err(format!("column {name} has {} values in {} rows", levels.len(), self.rows));
        }
        Ok(levels.into_iter().map(|level| if level == 1 { values.next() } else { None }).collect())
    }

    fn read<T: DataType>(&self, name: &str, typed: Typed<T>, values: &mut Vec<T::T>) -> Result<Vec<i16>, Damage> {
        let column = (0..self.schema.num_columns())
            .find(|column| self.schema.column(*column).path().parts() == [name])
            .ok_or_else(|| format!("there is no column {name}"))?;
        let reader = self.reader.get_column_reader(column).map_err(|error| format!("column {name}: {error}"))?;
        let mut reader = typed(reader).ok_or_else(|| format!("column {name} has another type"))?;
        let mut levels = Vec::new();
        let mut done = 0;
        while done < self.rows {
            let (rows, ..) = reader
                .read_records(self.rows - done, Some(&mut levels), None, values)
                .map_err(|error| format!("column {name}: {error}"))?;
            if rows == 0 {
                break;
            }
            done += rows;
        }
        Ok(levels)
    }
}

type Typed<T> = fn(ColumnReader) -> Option<ColumnReaderImpl<T>>;

fn int32(reader: ColumnReader) -> Option<ColumnReaderImpl<parquet::data_type::Int32Type>> {
    match reader {
        ColumnReader::Int32ColumnReader(reader) => Some(reader),
        _ => None,
    }
}

fn int64(reader: ColumnReader) -> Option<ColumnReaderImpl<parquet::data_type::Int64Type>> {
    match reader {
        ColumnReader::Int64ColumnReader(reader) => Some(reader),
        _ => None,
    }
}

fn byte_array(reader: ColumnReader) -> Option<ColumnReaderImpl<parquet::data_type::ByteArrayType>> {
    match reader {
        ColumnReader::ByteArrayColumnReader(reader) => Some(reader),
        _ => None,
    }
}

fn utf8<'a>(name: &str, value: &'a ByteArray) -> Result<&'a str, Damage> {
    value.as_utf8().map_err(|_| format!("column {name} holds text that is not UTF-8"))
}

fn unsigned(name: &str, value: i64) -> Result<u64, Damage> {
    u64::try_from(value).map_err(|_| format!("column {name} holds the negative number {value}"))
}
