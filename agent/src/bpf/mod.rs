//! The loaded eBPF object, which all probes share: programs, ring buffers, settings and maps.

mod error;
mod hook;
mod object;
mod record;
mod rings;
mod settings;

pub use error::ProbeError;
pub use hook::Hook;
pub use object::{BpfObject, Maps, is_permission};
pub use record::{RawStacks, Record};
pub use rings::Rings;
pub use settings::{Scope, Threads, settings};
