//! Recordings on disk: a directory `NAME.quell/` of Parquet tables and `meta.json`.
//!
//! | file | a row is |
//! |---|---|
//! | `samples.parquet` | a sample: metric, time, thread, value and probability |
//! | `stacks.parquet` | a node of the tree of call stacks: a frame and the row of its caller |
//! | `frames.parquet` | a code location, its module, and its name |
//! | `inlined.parquet` | a function that was inlined at a frame |
//! | `processes.parquet` | a process |
//! | `threads.parquet` | a thread under one name |
//! | `labels.parquet` | a key and a value of a set of labels |
//! | `counters.parquet` | a counted total |
//! | `histograms.parquet` | a range of values of a counted distribution |
//!
//! Columns ending in `_id` are row numbers starting at 0, and columns ending in `_ns` are in nanoseconds. `time_ns` is the time
//! from the start of the capture. `value / probability` is the estimate of a sample, in the unit of its metric in `meta.json`:
//!
//! ```sql
//! SELECT comm, metric, sum(value / probability) AS total FROM 'x.quell/samples.parquet' GROUP BY ALL ORDER BY total DESC;
//! ```
//!
//! A recording is written under a hidden random name, synced, and renamed when it is complete. `meta.json` contains the size
//! and checksum of each file, so that a damaged file results in an error and not in wrong figures.

mod check;
mod damage;
mod footer;
#[cfg(test)]
mod hostile;
mod limits;
mod pages;
mod read;
mod replace;
mod source;
mod table;
mod table_read;
mod table_write;
mod tables;
#[cfg(test)]
mod tests;
mod thrift;
mod write;

pub use read::read;
pub use replace::Destination;
pub use write::{Written, write, write_to};

use super::RecordingError;

/// The file with the metadata of a recording.
const META_FILE: &str = "meta.json";
