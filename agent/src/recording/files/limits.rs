//! Limits for reading recordings, which `docs/recording-format.md` documents.
//!
//! A recording may be from an untrusted source. In Parquet, a few bytes can encode any number of rows (a run of equal values), and
//! in zstd any number of bytes. So the size of a file does not bound the memory for reading it: these limits do. Each is several
//! times the need of a large capture.

use std::sync::atomic::{AtomicU64, Ordering};

use super::damage::Damage;

/// The maximum size of `meta.json` in bytes. It grows by about 100 bytes for each change of the sampling rates, so this is
/// sufficient for a day with two changes per second.
pub(super) const META_BYTES: u64 = 16 << 20;

/// The maximum size of the footer of a table in bytes. It grows by about 3 KiB for each group of 128 Ki rows, so this is
/// sufficient for 1,300 groups.
pub(super) const FOOTER_BYTES: u64 = 4 << 20;

/// The maximum number of columns of a table. The widest table of quell has 20.
pub(super) const COLUMNS: usize = 256;

/// The maximum number of rows of a group, whose rows are decoded together. quell writes 128 Ki.
pub(super) const GROUP_ROWS: u64 = 1 << 20;

/// The maximum size of a column of a group in the file, and of a decompressed page, in bytes. The writer of quell begins a new
/// page, and ends a dictionary, after 1 MiB; a batch of 1,024 of the longest texts takes 12 MiB.
pub(super) const CHUNK_BYTES: u64 = 64 << 20;
/// See [`CHUNK_BYTES`].
pub(super) const PAGE_BYTES: u64 = 16 << 20;

/// The number of rows that every table may have, even if its file is small: short captures compress very well.
pub(super) const FREE_ROWS: u64 = 1 << 16;

/// The maximum decompressed size of a table, in bytes: this amount, plus [`DECODED_PER_BYTE`] for each byte of its file. Tables
/// of quell reach a factor of 20. Each page counts [`PAGE_COST`] more than its size, because an empty page takes time too.
pub(super) const FREE_DECODED: u64 = 64 << 20;
/// See [`FREE_DECODED`].
pub(super) const DECODED_PER_BYTE: u64 = 256;
/// See [`FREE_DECODED`].
pub(super) const PAGE_COST: u64 = 1 << 10;

/// The maximum memory for the names of a table, in bytes: this amount, plus [`TEXT_PER_BYTE`] for each byte of its file. A row
/// can repeat a name in a few bytes.
pub(super) const FREE_TEXT: u64 = 16 << 20;
/// See [`FREE_TEXT`].
pub(super) const TEXT_PER_BYTE: u64 = 64;

/// The maximum number of frames of a stack. quell walks at most 127 frames in the kernel and 127 in the process. Formats that
/// write each stack in full take time and space for each of its frames.
pub(super) const STACK_DEPTH: u16 = 512;

/// The maximum length in bytes of the name of a function, of the name of a thread (15 bytes, each of which may be replaced by a
/// replacement character of three bytes), of a path (`PATH_MAX`, likewise), and of a build ID in hexadecimal. Longer texts are
/// truncated.
pub(super) const NAME_BYTES: usize = 4 << 10;
/// See [`NAME_BYTES`].
pub(super) const COMM_BYTES: usize = 64;
/// See [`NAME_BYTES`].
pub(super) const PATH_BYTES: usize = 12 << 10;
/// See [`NAME_BYTES`].
pub(super) const BUILD_ID_BYTES: usize = 128;

/// The maximum size of the command line of a process as JSON, in bytes. quell records 4 KiB of arguments, of which a character
/// may take six bytes as JSON. A larger one is rejected, because truncated JSON is invalid.
pub(super) const COMMAND_LINE_BYTES: usize = 32 << 10;

/// The maximum length in bytes of a container ID (quell writes 64), of the name of a user, and of the key and value of a label. Longer texts are
/// truncated.
pub(super) const CONTAINER_BYTES: usize = 128;
/// See [`CONTAINER_BYTES`].
pub(super) const USER_NAME_BYTES: usize = 256;
/// See [`CONTAINER_BYTES`].
pub(super) const LABEL_KEY_BYTES: usize = 256;
/// See [`CONTAINER_BYTES`].
pub(super) const LABEL_VALUE_BYTES: usize = 4 << 10;

/// The maximum number of functions inlined at a frame.
pub(super) const INLINED_DEPTH: u32 = 64;

/// The maximum number of probes and of metrics of a recording, and the maximum length of their names and labels in bytes. quell
/// has at most ten probes.
pub(super) const PROBES: usize = 64;
/// See [`PROBES`].
pub(super) const METRICS: usize = 1 << 10;
/// See [`PROBES`].
pub(super) const METRIC_NAME_BYTES: usize = 128;

/// The maximum memory for histograms, in bytes: this amount, plus [`HISTOGRAMS_PER_BYTE`] for each byte of their file. A single
/// value requires memory for all lower values.
pub(super) const FREE_HISTOGRAMS: u64 = 64 << 20;
/// See [`FREE_HISTOGRAMS`].
pub(super) const HISTOGRAMS_PER_BYTE: u64 = 256;

/// The minimum probability of a sample. The programs use units of 2^-32. With a lower probability, one sample could outweigh a
/// whole capture, or have an infinite estimate.
pub(super) const LOWEST_PROBABILITY: f64 = 1.0 / (1_u64 << 40) as f64;

/// The size limit of a table.
#[derive(Clone, Copy, Debug)]
pub(super) struct TableLimit {
    /// The maximum number of rows.
    pub(super) rows: u64,
    /// The maximum number of rows for each KiB of its file, beyond [`FREE_ROWS`]. It depends on the memory for a row, and
    /// results in at most about 250 bytes of memory for each byte of the file.
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
        // A table is read by one thread; it is atomic only because the page reader must be `Send`.
        let left = self.left.load(Ordering::Relaxed);
        let Some(left) = left.checked_sub(amount) else {
            return Err(Damage::Limit(format!("its {} take more than {} bytes", self.what, self.total)));
        };
        self.left.store(left, Ordering::Relaxed);
        Ok(())
    }
}
