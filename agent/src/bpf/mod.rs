//! The loaded eBPF object, which all probes share: programs, ring buffers, settings and maps. Also the BPF features of the
//! host.

pub mod distribution;
mod error;
mod features;
mod hook;
mod object;
mod record;
mod rings;
mod settings;
mod thread_table;

pub use error::ProbeError;
pub use features::{Features, Helpers, Mechanisms, PerfEvents, Support};
pub use hook::Hook;
pub use object::{BpfObject, Declarations, Entries, Maps, ProbeMap, is_permission};
pub use record::Record;
pub use rings::Rings;
pub use settings::{Sampling, Scope, Threads, settings};
