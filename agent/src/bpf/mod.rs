//! The loaded eBPF object: its programs, rings, settings and tables, which all probes share.

pub mod distribution;
mod error;
mod hook;
mod object;
mod record;
mod rings;
mod settings;

pub use error::ProbeError;
pub use hook::Hook;
pub use object::{BpfObject, Declarations, Entries, Maps, ProbeMap, is_permission};
pub use record::{RawStacks, Record};
pub use rings::Rings;
pub use settings::{Scope, Threads, settings};
