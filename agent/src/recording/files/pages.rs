//! The pages of one column of one group, decompressed one at a time within limits.
//!
//! The parquet crate decodes the values in the pages. Its own page reader allocates memory for the sizes in a page header (2
//! GiB for a page, 2^31 values for a dictionary) before any limit applies.

use std::sync::{Arc, Mutex};

use bytes::{Buf as _, Bytes};
use parquet::basic::{Encoding, Type};
use parquet::column::page::{Page, PageMetadata, PageReader};
use parquet::errors::ParquetError;

use super::damage::Damage;
use super::footer::{Codec, Column};
use super::limits::{self, Allowance};
use super::thrift::{Malformed, Thrift, Wire};

/// Reads the pages that quell writes: dictionaries, and data pages of version 1.
pub(super) struct Pages {
    rest: Bytes,
    column: Column,
    codec: Codec,
    decompressor: zstd::bulk::Decompressor<'static>,
    allowance: Arc<Allowance>,
    dictionary_seen: bool,
    /// The reason why reading stopped, because [`ParquetError`] does not distinguish a limit from damage.
    stopped: Arc<Mutex<Option<Damage>>>,
}

impl Pages {
    /// Reads the pages of a chunk. `stopped` receives the reason if reading fails.
    pub(super) fn new(
        chunk: Bytes,
        column: Column,
        codec: Codec,
        allowance: Arc<Allowance>,
        stopped: Arc<Mutex<Option<Damage>>>,
    ) -> Result<Self, Damage> {
        let decompressor = zstd::bulk::Decompressor::new().map_err(|error| error.to_string())?;
        Ok(Self { rest: chunk, column, codec, decompressor, allowance, dictionary_seen: false, stopped })
    }

    fn read(&mut self) -> Result<Option<Page>, Damage> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let mut thrift = Thrift::new(&self.rest);
        let header =
            PageHeader::read(&mut thrift).map_err(|why| format!("the header of a page is malformed: {why}"))?;
        let after = self.rest.len() - thrift.left();
        self.rest.advance(after);
        if header.compressed > self.rest.len() {
            return Err("a page is longer than its column".into());
        }
        if header.decompressed as u64 > limits::PAGE_BYTES {
            let most = limits::PAGE_BYTES;
            return Err(Damage::Limit(format!("a page of {} bytes (limit: {most})", header.decompressed)));
        }
        self.allowance.spend(header.compressed as u64 + header.decompressed as u64 + limits::PAGE_COST)?;
        let body = self.rest.split_to(header.compressed);
        let body = self.decompress(body, header.decompressed)?;
        self.page(&header.kind, body).map(Some)
    }

    fn decompress(&mut self, body: Bytes, size: usize) -> Result<Bytes, Damage> {
        let content = match self.codec {
            Codec::None => body,
            Codec::Zstd if size == 0 => Bytes::new(),
            // Writes at most the capacity, regardless of the size in the frame header.
            Codec::Zstd => self.decompressor.decompress(&body, size).map_err(|error| error.to_string())?.into(),
        };
        if content.len() != size {
            return Err(format!("a page has {} bytes, and its header states {size}", content.len()).into());
        }
        Ok(content)
    }

    fn page(&mut self, kind: &PageKind, body: Bytes) -> Result<Page, Damage> {
        match *kind {
            PageKind::Dictionary { values, encoding: Encoding::PLAIN | Encoding::PLAIN_DICTIONARY } => {
                let least = match self.column.physical {
                    Type::INT32 | Type::BYTE_ARRAY => 4,
                    Type::INT64 | Type::DOUBLE => 8,
                    _ => return Err("a dictionary for a type without dictionaries".into()),
                };
                if std::mem::replace(&mut self.dictionary_seen, true) {
                    return Err("a column has two dictionaries".into());
                }
                // The parquet crate allocates memory for this number of values before it reads them.
                if u64::from(values) * least > body.len() as u64 {
                    return Err("a dictionary states more values than it holds".into());
                }
                Ok(Page::DictionaryPage { buf: body, num_values: values, encoding: Encoding::PLAIN, is_sorted: false })
            }
            PageKind::Dictionary { .. } => Err("a dictionary has an unknown encoding".into()),
            PageKind::Data { values, encoding, levels } => {
                self.check_encoding(encoding, levels, &body)?;
                Ok(Page::DataPage {
                    buf: body,
                    num_values: values,
                    encoding,
                    def_level_encoding: levels,
                    rep_level_encoding: Encoding::RLE,
                    statistics: None,
                })
            }
        }
    }

    /// Accepts only the encodings that quell writes. With others, a page may decode to much more than its size
    /// (`DELTA_BYTE_ARRAY`), or cause a panic.
    fn check_encoding(&self, encoding: Encoding, levels: Encoding, body: &Bytes) -> Result<(), Damage> {
        if self.column.optional && levels != Encoding::RLE {
            return Err("missing values have an unknown encoding".into());
        }
        match encoding {
            Encoding::PLAIN => Ok(()),
            Encoding::RLE if self.column.physical == Type::BOOLEAN => Ok(()),
            Encoding::RLE_DICTIONARY | Encoding::PLAIN_DICTIONARY if self.dictionary_seen => Ok(()),
            Encoding::DELTA_BINARY_PACKED if !self.column.optional => check_delta_header(body),
            _ => Err(format!("a page has an unknown encoding, {encoding}").into()),
        }
    }
}

/// Checks the block sizes at the beginning of a `DELTA_BINARY_PACKED` page, because the decoder multiplies them.
fn check_delta_header(body: &[u8]) -> Result<(), Damage> {
    /// The writer uses 128 or 256 values.
    const MOST: u64 = 1 << 16;
    let mut thrift = Thrift::new(body);
    let (block, parts) = (thrift.varint()?, thrift.varint()?);
    if block > MOST || parts > MOST {
        return Err("a page of differences has impossible blocks".into());
    }
    Ok(())
}

impl PageReader for Pages {
    fn get_next_page(&mut self) -> parquet::errors::Result<Option<Page>> {
        self.read().map_err(|damage| {
            let error = ParquetError::General(damage.to_string());
            if let Ok(mut stopped) = self.stopped.lock() {
                *stopped = Some(damage);
            }
            error
        })
    }

    fn peek_next_page(&mut self) -> parquet::errors::Result<Option<PageMetadata>> {
        Err(ParquetError::NYI("pages are read in order".to_owned()))
    }

    fn skip_next_page(&mut self) -> parquet::errors::Result<()> {
        Err(ParquetError::NYI("pages are read in order".to_owned()))
    }
}

impl Iterator for Pages {
    type Item = parquet::errors::Result<Page>;

    fn next(&mut self) -> Option<Self::Item> {
        self.get_next_page().transpose()
    }
}

/// `PageHeader` of parquet.thrift.
#[derive(Debug)]
struct PageHeader {
    /// The size in the file, in bytes.
    compressed: usize,
    /// The decompressed size, in bytes.
    decompressed: usize,
    kind: PageKind,
}

#[derive(Clone, Copy, Debug)]
enum PageKind {
    Dictionary { values: u32, encoding: Encoding },
    Data { values: u32, encoding: Encoding, levels: Encoding },
}

impl PageHeader {
    fn read(thrift: &mut Thrift<'_>) -> Result<Self, Malformed> {
        let (mut kind, mut decompressed, mut compressed) = (None, None, None);
        let (mut data, mut dictionary) = (None, None);
        thrift.fields(|thrift, id, wire| {
            match (id, wire) {
                (1, Wire::Integer) => kind = Some(thrift.integer()?),
                (2, Wire::Integer) => decompressed = usize::try_from(thrift.integer()?).ok(),
                (3, Wire::Integer) => compressed = usize::try_from(thrift.integer()?).ok(),
                (5, Wire::Struct) => data = Some(page_contents(thrift)?),
                (7, Wire::Struct) => dictionary = Some(page_contents(thrift)?),
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        let kind = match (kind, data, dictionary) {
            (Some(0), Some((values, encoding, levels)), _) => PageKind::Data { values, encoding, levels },
            (Some(2), _, Some((values, encoding, _))) => PageKind::Dictionary { values, encoding },
            _ => return Err("it is of a kind that quell does not write"),
        };
        let size = "it has no size, or an impossible one";
        Ok(Self { compressed: compressed.ok_or(size)?, decompressed: decompressed.ok_or(size)?, kind })
    }
}

/// The number of values, their encoding, and the encoding of the definition levels. These fields are the same in
/// `DataPageHeader` and in `DictionaryPageHeader`, which has no levels.
fn page_contents(thrift: &mut Thrift<'_>) -> Result<(u32, Encoding, Encoding), Malformed> {
    let (mut values, mut encoding, mut levels) = (None, None, Some(Encoding::RLE));
    thrift.fields(|thrift, id, wire| {
        match (id, wire) {
            (1, Wire::Integer) => values = u32::try_from(thrift.integer()?).ok(),
            (2, Wire::Integer) => encoding = encoding_of(thrift.integer()?),
            (3, Wire::Integer) => levels = encoding_of(thrift.integer()?),
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    match (values, encoding, levels) {
        (Some(values), Some(encoding), Some(levels)) => Ok((values, encoding, levels)),
        _ => Err("its values have an unknown encoding"),
    }
}

fn encoding_of(number: i64) -> Option<Encoding> {
    Some(match number {
        0 => Encoding::PLAIN,
        2 => Encoding::PLAIN_DICTIONARY,
        3 => Encoding::RLE,
        5 => Encoding::DELTA_BINARY_PACKED,
        8 => Encoding::RLE_DICTIONARY,
        _ => return None,
    })
}
