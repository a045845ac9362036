//! Limits for reading recordings, which `docs/recording-format.md` documents.
//!
//! A recording may be from an untrusted source. In Parquet, a few bytes can encode any number of rows (a run of equal values), and
//! in zstd any number of bytes. So the size of a file does not bound the memory for reading it: these limits do. Each is several
//! times the need of a large capture.

use std::sync::atomic::{AtomicU64, Ordering};

use super::damage::Damage;

/// The maximum size of `meta.json` in bytes. It grows by about 100 bytes for each change of the sampling rates: this is a day with two a second.
pub(super) const META_BYTES: u64 = 16 << 20;

/// The maximum size of the footer of a table in bytes. It grows by about 3 KiB for each group of 128 Ki rows: this is 1,300 groups.
pub(super) const FOOTER_BYTES: u64 = 4 << 20;

/// The maximum number of columns of a table. The widest table of quell has 20.
pub(super) const COLUMNS: usize = 256;

/// The maximum number of rows of a group, which are decoded together. quell writes 128 Ki.
pub(super) const GROUP_ROWS: u64 = 1 << 20;

/// Bytes of one column of one group in the file, and of one page when decompressed. quell's writer begins a new page,
/// and ends a dictionary, after 1 MiB; a batch of 1,024 of the longest texts makes 12 MiB.
pub(super) const CHUNK_BYTES: u64 = 64 << 20;
/// See [`CHUNK_BYTES`].
pub(super) const PAGE_BYTES: u64 = 16 << 20;

/// The number of rows that every table may have, even if its file is small: short captures compress very well.
pub(super) const FREE_ROWS: u64 = 1 << 16;

/// Bytes that a table may decompress to: so many, and so many for each byte of its file. quell's tables reach a factor of
/// 20. A page counts [`PAGE_COST`] more than it holds, since an empty one takes time too.
pub(super) const FREE_DECODED: u64 = 64 << 20;
/// See [`FREE_DECODED`].
pub(super) const DECODED_PER_BYTE: u64 = 256;
/// See [`FREE_DECODED`].
pub(super) const PAGE_COST: u64 = 1 << 10;

/// Bytes that a table's names may take in memory: so many, and so many for each byte of its file. A row repeats a name in
/// few bytes.
pub(super) const FREE_TEXT: u64 = 16 << 20;
/// See [`FREE_TEXT`].
pub(super) const TEXT_PER_BYTE: u64 = 64;

/// Frames in one stack. quell walks at most 127 in the kernel and 127 in the process; formats that write out each stack
/// take time and room for every frame of it.
pub(super) const STACK_DEPTH: u16 = 512;

/// Bytes of a function's name, of a thread's (15 bytes, of which each may have become a replacement character of three), of a
/// path (`PATH_MAX`, likewise) and of a build ID in hexadecimal. What is longer is cut.
pub(super) const NAME_BYTES: usize = 4 << 10;
/// See [`NAME_BYTES`].
pub(super) const COMM_BYTES: usize = 64;
/// See [`NAME_BYTES`].
pub(super) const PATH_BYTES: usize = 12 << 10;
/// See [`NAME_BYTES`].
pub(super) const BUILD_ID_BYTES: usize = 128;

/// Bytes of a process's command line as JSON. quell keeps 4 KiB of arguments, of which a character may take six bytes as JSON.
/// What is longer is refused, since it would be no JSON when it is cut.
pub(super) const COMMAND_LINE_BYTES: usize = 32 << 10;

/// Bytes of the ID of a container (quell writes 64), and of the key and the value of a label. What is longer is cut.
pub(super) const CONTAINER_BYTES: usize = 128;
/// See [`CONTAINER_BYTES`].
pub(super) const LABEL_KEY_BYTES: usize = 256;
/// See [`CONTAINER_BYTES`].
pub(super) const LABEL_VALUE_BYTES: usize = 4 << 10;

/// The maximum number of functions inlined at a frame.
pub(super) const INLINED_DEPTH: u32 = 64;

/// Probes and metrics of a recording, and bytes of their names and labels. quell has ten probes at most.
pub(super) const PROBES: usize = 64;
/// See [`PROBES`].
pub(super) const METRICS: usize = 1 << 10;
/// See [`PROBES`].
pub(super) const METRIC_NAME_BYTES: usize = 128;

/// Bytes that histograms may take in memory: so many, and so many for each byte of their file. One value makes room for all
/// that are lower.
pub(super) const FREE_HISTOGRAMS: u64 = 64 << 20;
/// See [`FREE_HISTOGRAMS`].
pub(super) const HISTOGRAMS_PER_BYTE: u64 = 256;

/// The lowest probability that a sample may have been taken with. The kernel side states it in units of 2^-32; a lower one
/// would let one sample outweigh a capture, and at last be infinite.
pub(super) const LOWEST_PROBABILITY: f64 = 1.0 / (1_u64 << 40) as f64;

/// The size limit of a table.
#[derive(Clone, Copy, Debug)]
pub(super) struct TableLimit {
    /// The maximum number of rows.
    pub(super) rows: u64,
    /// Rows for each KiB of its file, beyond [`FREE_ROWS`]. What a row takes in memory decides it: some 250 bytes of
    /// memory for each byte of a file at most.
    pub(super) rows_per_kib: u64,
    /// The maximum size of its file in bytes.
    pub(super) bytes: u64,
}

impl TableLimit {
    /// Checks the number of rows that a file of this size states.
    pub(super) fn check_rows(&self, rows: u64, bytes: u64) -> Result<(), Damage> {
        if rows > self.rows {
            return Err(Damage::Limit(format!("it has {rows} rows (limit: {})", self.rows)));
        }
        let most = FREE_ROWS + bytes / 1024 * self.rows_per_kib;
        if rows > most {
            return Err(Damage::Limit(format!(
                "it states {rows} rows in {bytes} bytes, which is implausible (limit: {most})"
            )));
        }
        Ok(())
    }
}

/// The remainder of a limited amount.
#[derive(Debug)]
pub(super) struct Allowance {
    what: &'static str,
    total: u64,
    left: AtomicU64,
}

impl Allowance {
    /// The amount for a file of this size.
    pub(super) fn new(what: &'static str, free: u64, per_byte: u64, bytes: u64) -> Self {
        let total = bytes.saturating_mul(per_byte).saturating_add(free);
        Self { what, total, left: AtomicU64::new(total) }
    }

    /// Subtracts from the amount.
    pub(super) fn spend(&self, amount: u64) -> Result<(), Damage> {
        // One thread reads a table; the page reader only has to be `Send`.
        let left = self.left.load(Ordering::Relaxed);
        let Some(left) = left.checked_sub(amount) else {
            return Err(Damage::Limit(format!("its {} take more than {} bytes", self.what, self.total)));
        };
        self.left.store(left, Ordering::Relaxed);
        Ok(())
    }
}
