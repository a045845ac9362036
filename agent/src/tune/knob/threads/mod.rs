//! Threads as parts of values: listing them, and setting an attribute of each.

mod affinity;
mod attribute;
mod scheduling;
mod thread;

#[cfg(feature = "fuzzing")]
pub(crate) use thread::fuzz_processes;

pub(super) use affinity::ThreadAffinity;
pub(super) use attribute::{Attribute, get, has, limit_to_parts, read_back, restore, set, survey, write};
pub(super) use scheduling::Scheduling;
pub(super) use thread::{Thread, ThreadList, has_ended, processes, threads_of};
