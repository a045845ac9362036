//! The footer of a Parquet file: its columns and their positions.
//!
//! The reader of the parquet crate allocates memory for the sizes that a footer states (such as 2^31 children of a column), and
//! parses nested columns recursively until the stack overflows. Both abort the process (parquet 60.1, schema/types.rs,
//! `schema_from_array_helper`). Recordings are untrusted, and their tables are flat.

use parquet::basic::Type;

use super::damage::Damage;
use super::limits;
use super::thrift::{Malformed, Thrift, Wire};

/// The part of the footer of a table that is needed.
#[derive(Debug, Default)]
pub(super) struct Footer {
    pub(super) columns: Vec<Column>,
    pub(super) groups: Vec<RowGroup>,
}

/// A column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) physical: Type,
    /// Whether values may be missing.
    pub(super) optional: bool,
}

/// A group of rows.
#[derive(Debug, Default)]
pub(super) struct RowGroup {
    pub(super) rows: u64,
    /// The chunks, in the order of the columns.
    pub(super) chunks: Vec<Chunk>,
}

/// The chunk of a column in a row group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Chunk {
    /// The offset in the file, in bytes.
    pub(super) start: u64,
    /// The size in the file, in bytes.
    pub(super) length: u64,
    pub(super) codec: Codec,
}

/// The compression of pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Codec {
    None,
    Zstd,
}

impl Footer {
    /// Reads the footer of a file of `file_bytes` bytes.
    pub(super) fn read(bytes: &[u8], file_bytes: u64) -> Result<Self, Damage> {
        let mut footer = Self::default();
        let mut root_seen = false;
        // FileMetaData of parquet.thrift.
        Thrift::new(bytes)
            .fields(|thrift, id, wire| {
                match (id, wire) {
                    (2, Wire::List) => thrift.list(Wire::Struct, |thrift| {
                        let element = schema_element(thrift)?;
                        match element {
                            _ if !std::mem::replace(&mut root_seen, true) => Ok(()),
                            Some(column) if footer.columns.len() < limits::COLUMNS => {
                                footer.columns.push(column);
                                Ok(())
                            }
                            Some(_) => Err("it has too many columns"),
                            None => Err("it has nested columns, or some of an unknown type"),
                        }
                    })?,
                    (4, Wire::List) => thrift.list(Wire::Struct, |thrift| {
                        footer.groups.push(row_group(thrift)?);
                        Ok(())
                    })?,
                    _ => return Ok(false),
                }
                Ok(true)
            })
            .map_err(|why| format!("its footer is malformed: {why}"))?;
        footer.check(file_bytes)?;
        Ok(footer)
    }

    fn check(&self, file_bytes: u64) -> Result<(), Damage> {
        for group in &self.groups {
            if group.chunks.len() != self.columns.len() {
                return Err("its footer has groups of rows without some columns".into());
            }
            if group.rows > limits::GROUP_ROWS {
                let most = limits::GROUP_ROWS;
                return Err(Damage::Limit(format!("it has {} rows in one group (limit: {most})", group.rows)));
            }
            for chunk in &group.chunks {
                if chunk.start.checked_add(chunk.length).is_none_or(|end| end > file_bytes) {
                    return Err("its footer refers to a position after its end".into());
                }
                if chunk.length > limits::CHUNK_BYTES {
                    let most = limits::CHUNK_BYTES;
                    return Err(Damage::Limit(format!(
                        "it has {} bytes in one column of one group (limit: {most})",
                        chunk.length
                    )));
                }
            }
        }
        Ok(())
    }

    /// The number of rows in all groups.
    pub(super) fn rows(&self) -> u64 {
        // At most 2^20 in each group, and at most as many groups as the footer has bytes.
        self.groups.iter().map(|group| group.rows).sum()
    }
}

/// Reads a leaf column; `None` for a group of columns, and for a type that quell does not write.
fn schema_element(thrift: &mut Thrift<'_>) -> Result<Option<Column>, Malformed> {
    let (mut physical, mut repetition, mut name, mut children) = (None, None, None, 0);
    thrift.fields(|thrift, id, wire| {
        match (id, wire) {
            (1, Wire::Integer) => physical = physical_type(thrift.integer()?),
            (3, Wire::Integer) => repetition = Some(thrift.integer()?),
            (4, Wire::Binary) => name = Some(thrift.binary()?),
            (5, Wire::Integer) => children = thrift.integer()?,
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    let name = name.and_then(|name| std::str::from_utf8(name).ok()).ok_or("a column has no name")?;
    let optional = match repetition {
        Some(0) => false,
        Some(1) => true,
        _ => return Ok(None),
    };
    Ok(physical.filter(|_| children == 0).map(|physical| Column { name: name.to_owned(), physical, optional }))
}

fn physical_type(number: i64) -> Option<Type> {
    Some(match number {
        0 => Type::BOOLEAN,
        1 => Type::INT32,
        2 => Type::INT64,
        3 => Type::INT96,
        4 => Type::FLOAT,
        5 => Type::DOUBLE,
        6 => Type::BYTE_ARRAY,
        7 => Type::FIXED_LEN_BYTE_ARRAY,
        _ => return None,
    })
}

fn row_group(thrift: &mut Thrift<'_>) -> Result<RowGroup, Malformed> {
    let mut group = RowGroup::default();
    thrift.fields(|thrift, id, wire| {
        match (id, wire) {
            (1, Wire::List) => thrift.list(Wire::Struct, |thrift| {
                if group.chunks.len() == limits::COLUMNS {
                    return Err("it has too many columns");
                }
                group.chunks.push(column_chunk(thrift)?);
                Ok(())
            })?,
            (3, Wire::Integer) => group.rows = unsigned(thrift)?,
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    Ok(group)
}

fn column_chunk(thrift: &mut Thrift<'_>) -> Result<Chunk, Malformed> {
    let mut chunk = None;
    thrift.fields(|thrift, id, wire| {
        match (id, wire) {
            (1, Wire::Binary) => return Err("it has columns in another file"),
            (3, Wire::Struct) => chunk = Some(column_meta_data(thrift)?),
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    chunk.ok_or("a column has no position")
}

fn column_meta_data(thrift: &mut Thrift<'_>) -> Result<Chunk, Malformed> {
    let (mut codec, mut length, mut data, mut dictionary) = (None, None, None, None);
    thrift.fields(|thrift, id, wire| {
        match (id, wire) {
            (4, Wire::Integer) => codec = Some(thrift.integer()?),
            (7, Wire::Integer) => length = Some(unsigned(thrift)?),
            (9, Wire::Integer) => data = Some(unsigned(thrift)?),
            (11, Wire::Integer) => dictionary = Some(unsigned(thrift)?),
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    let codec = match codec {
        Some(0) => Codec::None,
        Some(6) => Codec::Zstd,
        _ => return Err("it is compressed otherwise than by zstd"),
    };
    let start = dictionary.or(data).ok_or("a column has no position")?;
    Ok(Chunk { start, length: length.ok_or("a column has no size")?, codec })
}

fn unsigned(thrift: &mut Thrift<'_>) -> Result<u64, Malformed> {
    u64::try_from(thrift.integer()?).map_err(|_| "it holds a negative number where there can be none")
}
