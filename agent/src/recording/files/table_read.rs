//! Reads a table: typed columns of one row group at a time, by name, so that unknown columns are ignored.

use std::sync::{Arc, Mutex};

use parquet::basic::Repetition;
use parquet::column::reader::{ColumnReader, ColumnReaderImpl, get_column_reader};
use parquet::data_type::{ByteArray, DataType};
use parquet::schema::types::{ColumnDescriptor, ColumnPath, Type};

use super::damage::Damage;
use super::footer::{Footer, RowGroup};
use super::limits::{self, Allowance, TableLimit};
use super::pages::Pages;
use super::source::Source;

/// The magic number at the start and end of a Parquet file.
const MAGIC: &[u8; 4] = b"PAR1";

/// An open table.
pub(super) struct TableReader<'a> {
    source: &'a Source,
    footer: Footer,
    decoded: Arc<Allowance>,
    text: Allowance,
}

impl<'a> TableReader<'a> {
    /// Reads and checks the footer.
    pub(super) fn open(source: &'a Source, limit: &TableLimit) -> Result<Self, Damage> {
        let read = |start, length| source.read(start, length).map_err(|error| Damage::from(error.to_string()));
        let Some(tail) = source.bytes.checked_sub(8) else { return Err("it is too short for a table".into()) };
        let end = read(tail, 8)?;
        let (length, magic) = end.split_at(4);
        if magic != MAGIC {
            return Err("it is not a Parquet file".into());
        }
        let length = u32::from_le_bytes(length.try_into().map_err(|_| "it is not a Parquet file")?);
        let start = tail.checked_sub(length.into()).ok_or("its footer is longer than the file")?;
        if u64::from(length) > limits::FOOTER_BYTES {
            let most = limits::FOOTER_BYTES;
            return Err(Damage::Limit(format!("its footer has {length} bytes (limit: {most})")));
        }
        let footer = Footer::read(&read(start, length as usize)?, start)?;
        limit.check_rows(footer.rows(), source.bytes)?;
        let allowance = |what, free, per_byte| Allowance::new(what, free, per_byte, source.bytes);
        Ok(Self {
            source,
            footer,
            decoded: Arc::new(allowance("pages", limits::FREE_DECODED, limits::DECODED_PER_BYTE)),
            text: allowance("names", limits::FREE_TEXT, limits::TEXT_PER_BYTE),
        })
    }

    /// The row groups in order.
    pub(super) fn groups(&self) -> impl Iterator<Item = Group<'_>> {
        self.footer.groups.iter().filter(|group| group.rows > 0).map(|group| Group { table: self, group })
    }

    /// The number of rows in all groups.
    pub(super) fn rows(&self) -> usize {
        usize::try_from(self.footer.rows()).unwrap_or(usize::MAX)
    }

    /// The size of the file in bytes.
    pub(super) fn bytes(&self) -> u64 {
        self.source.bytes
    }

    /// Adds the memory for text that is kept, in bytes.
    pub(super) fn charge_text(&self, bytes: usize) -> Result<(), Damage> {
        self.text.spend(bytes as u64)
    }

    /// Copies a text to keep it. A text of more than `most` bytes is truncated and ends in `…`.
    pub(super) fn text(&self, value: &ByteArray, most: usize) -> Result<String, Damage> {
        let whole = value.as_utf8().map_err(|_| "it holds text that is not UTF-8")?;
        let kept = (0..=most.min(whole.len())).rev().find(|at| whole.is_char_boundary(*at)).unwrap_or(0);
        self.text.spend(kept as u64)?;
        let cut = kept < whole.len();
        Ok(if cut { format!("{}…", &whole[..kept]) } else { whole.to_owned() })
    }
}

/// A row group of an open table.
#[derive(Clone, Copy)]
pub(super) struct Group<'a> {
    table: &'a TableReader<'a>,
    group: &'a RowGroup,
}

impl Group<'_> {
    pub(super) fn rows(&self) -> usize {
        usize::try_from(self.group.rows).unwrap_or(usize::MAX)
    }

    /// Checks that the column `name` numbers the rows from `first` on: other tables refer to rows by these numbers.
    pub(super) fn check_row_numbers(&self, name: &str, first: usize) -> Result<(), Damage> {
        let numbers = self.u32(name)?;
        match numbers.iter().zip(first..).find(|(number, row)| **number as usize != *row) {
            Some((number, row)) => Err(format!("row {row} has the {name} {number}: rows were moved or removed").into()),
            None => Ok(()),
        }
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

    pub(super) fn bool(&self, name: &str) -> Result<Vec<bool>, Damage> {
        self.required(name, |reader| match reader {
            ColumnReader::BoolColumnReader(reader) => Some(reader),
            _ => None,
        })
    }

    /// Reads text columns. Values share the bytes of a dictionary until [`TableReader::text`] copies one.
    pub(super) fn texts(&self, name: &str) -> Result<Vec<ByteArray>, Damage> {
        self.required(name, byte_array)
    }

    /// Reads text columns with missing values.
    pub(super) fn optional_texts(&self, name: &str) -> Result<Vec<Option<ByteArray>>, Damage> {
        self.optional(name, byte_array)
    }

    /// Reads text columns that older versions of quell did not write.
    pub(super) fn texts_if_present(&self, name: &str) -> Result<Option<Vec<Option<ByteArray>>>, Damage> {
        self.has(name).then(|| self.optional_texts(name)).transpose()
    }

    /// Reads a column of amounts that older versions of quell did not write.
    pub(super) fn amounts_if_present(&self, name: &str) -> Result<Option<Vec<Option<u64>>>, Damage> {
        self.has(name).then(|| self.optional_amount(name)).transpose()
    }

    /// Reads a column of numbers that older versions of quell did not write.
    pub(super) fn u32_if_present(&self, name: &str) -> Result<Option<Vec<u32>>, Damage> {
        self.has(name).then(|| self.u32(name)).transpose()
    }

    fn has(&self, name: &str) -> bool {
        self.table.footer.columns.iter().any(|column| column.name == name)
    }

    /// A column of text whose values are one of a few words, parsed when it is read.
    pub(super) fn words<T: Copy>(&self, name: &str, parse: impl Fn(&str) -> Option<T>) -> Result<Vec<T>, Damage> {
        let mut words: Vec<T> = Vec::with_capacity(self.rows());
        // Equal values from a dictionary share their bytes; mostly, a value is the same as the previous one.
        let mut last: Option<(ByteArray, T)> = None;
        for value in self.required(name, byte_array)? {
            let word = match &last {
                Some((text, word)) if std::ptr::eq(text.data(), value.data()) => *word,
                _ => {
                    let word = value.as_utf8().ok().and_then(&parse);
                    word.ok_or_else(|| format!("column {name} holds the unknown word {}", quoted(&value)))?
                }
            };
            last = Some((value, word));
            words.push(word);
        }
        Ok(words)
    }

    fn required<T: DataType>(&self, name: &str, typed: Typed<T>) -> Result<Vec<T::T>, Damage> {
        let mut values = Vec::new();
        let levels = self.read(name, typed, &mut values)?;
        // An optional column is accepted if no value is missing.
        if values.len() != self.rows() || levels.iter().any(|level| *level != 0 && *level != 1) {
            return Err(format!("column {name} has {} values in {} rows", values.len(), self.rows()).into());
        }
        Ok(values)
    }

    fn optional<T: DataType>(&self, name: &str, typed: Typed<T>) -> Result<Vec<Option<T::T>>, Damage> {
        let mut values = Vec::new();
        let levels = self.read(name, typed, &mut values)?;
        let mut values = values.into_iter();
        if levels.is_empty() && values.len() == self.rows() {
            return Ok(values.map(Some).collect());
        }
        let present = levels.iter().filter(|level| **level == 1).count();
        if levels.len() != self.rows() || present != values.len() {
            return Err(format!("column {name} has {} values in {} rows", levels.len(), self.rows()).into());
        }
        Ok(levels.into_iter().map(|level| if level == 1 { values.next() } else { None }).collect())
    }

    fn read<T: DataType>(&self, name: &str, typed: Typed<T>, values: &mut Vec<T::T>) -> Result<Vec<i16>, Damage> {
        let stopped = Arc::new(Mutex::new(None));
        let mut levels = Vec::new();
        let read = self.pages(name, &stopped).and_then(|reader| {
            let mut reader = typed(reader).ok_or_else(|| format!("column {name} has another type"))?;
            let mut done = 0;
            while done < self.rows() {
                // At most `limits::GROUP_ROWS`.
                let (rows, ..) = reader
                    .read_records(self.rows() - done, Some(&mut levels), None, values)
                    .map_err(|error| format!("column {name}: {error}"))?;
                if rows == 0 {
                    break;
                }
                done += rows;
            }
            Ok(())
        });
        let limit = stopped.lock().ok().and_then(|mut stopped| stopped.take());
        match (read, limit) {
            (Ok(()), _) => Ok(levels),
            (Err(_), Some(Damage::Limit(why))) => Err(Damage::Limit(format!("column {name}: {why}"))),
            (Err(why), _) => Err(why),
        }
    }

    fn pages(&self, name: &str, stopped: &Arc<Mutex<Option<Damage>>>) -> Result<ColumnReader, Damage> {
        let TableReader { source, footer, decoded, .. } = self.table;
        let (column, chunk) = (footer.columns.iter().zip(&self.group.chunks))
            .find(|(column, _)| column.name == name)
            .ok_or_else(|| format!("there is no column {name}"))?;
        let length = usize::try_from(chunk.length).map_err(|error| error.to_string())?;
        decoded.spend(chunk.length)?;
        let bytes = source.read(chunk.start, length).map_err(|error| format!("column {name}: {error}"))?;
        let repetition = if column.optional { Repetition::OPTIONAL } else { Repetition::REQUIRED };
        let leaf = Type::primitive_type_builder(name, column.physical)
            .with_repetition(repetition)
            .build()
            .map_err(|error| format!("column {name}: {error}"))?;
        let descriptor = ColumnDescriptor::new(Arc::new(leaf), i16::from(column.optional), 0, ColumnPath::from(name));
        let pages = Pages::new(bytes.into(), column.clone(), chunk.codec, Arc::clone(decoded), Arc::clone(stopped))?;
        Ok(get_column_reader(Arc::new(descriptor), Box::new(pages)))
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

/// A value from a file in an error.
pub(super) fn quoted(value: &ByteArray) -> String {
    crate::excerpt::quoted(value.data())
}

fn unsigned(name: &str, value: i64) -> Result<u64, Damage> {
    u64::try_from(value).map_err(|_| format!("column {name} holds the negative number {value}").into())
}
