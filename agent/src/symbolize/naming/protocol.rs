//! What is asked of the child that names code, and what it answers.

use serde::{Deserialize, Serialize};

use crate::symbolize::unnamed::Unnamed;

/// What names code. The places to name are the message's data, native `u64`s.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Naming {
    /// Kernel addresses, by `/proc/kallsyms`: the message's descriptor.
    Kernel,
    /// Offsets in an ELF file. The descriptor is the socket that the file comes through.
    File,
    /// Addresses of a process, ascending, by its perf map, which comes as a file does.
    PerfMap,
}

/// The answer. When the child is done with the file, too, it sends `()`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Names {
    /// The file's build ID, in hexadecimal.
    pub(crate) build_id: Option<String>,
    /// For each place, the function there and the offset in it.
    pub(crate) names: Vec<Result<(String, u64), Unnamed>>,
}

/// The longest answer, in bytes.
pub(super) const MAX_ANSWER: usize = 64 << 20;

/// Places as the data of a message.
pub(super) fn encode(places: &[u64]) -> Vec<u8> {
    places.iter().flat_map(|place| place.to_ne_bytes()).collect()
}

/// The places in the data of a message.
pub(super) fn decode(data: &[u8]) -> Vec<u64> {
    data.as_chunks().0.iter().map(|chunk| u64::from_ne_bytes(*chunk)).collect()
}
