//! The requests to the child that symbolizes code, and its answers.

use serde::{Deserialize, Serialize};

use crate::symbolize::unnamed::Unnamed;

/// The source of names. The locations are the data of the message, as `u64` in native byte order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Naming {
    /// Kernel addresses, by `/proc/kallsyms`, which is the descriptor of the message.
    Kernel,
    /// Offsets in an ELF file. The descriptor of the message is the socket from which the file is received.
    File,
    /// Addresses of a process in ascending order, by its perf map, which is received like an ELF file.
    PerfMap,
}

/// The answer. After the child has closed the file, it sends `()`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Names {
    /// The build ID of the file, in hexadecimal.
    pub(crate) build_id: Option<String>,
    /// For each location, the name of the function and the offset in it.
    pub(crate) names: Vec<Result<(String, u64), Unnamed>>,
}

/// The maximum length of an answer, in bytes.
pub(super) const MAX_ANSWER: usize = 64 << 20;

/// Encodes locations as the data of a message.
pub(super) fn encode(places: &[u64]) -> Vec<u8> {
    places.iter().flat_map(|place| place.to_ne_bytes()).collect()
}

/// Decodes the locations in the data of a message.
pub(super) fn decode(data: &[u8]) -> Vec<u64> {
    data.as_chunks().0.iter().map(|chunk| u64::from_ne_bytes(*chunk)).collect()
}
