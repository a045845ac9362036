//! The agent's only `unsafe`: system calls that no crate wraps safely.
#![allow(unsafe_code, reason = "this module exists to hold it, each use with its reason")]

pub(crate) mod bpf;
pub(crate) mod descriptors;
pub(crate) mod ethtool;
mod gate;
pub(crate) mod locked_exec;
pub(crate) mod netlink;
mod perf_period;
pub(crate) mod sched;
pub(crate) mod xattr;

pub use gate::{GateError, Gated};
pub(crate) use perf_period::set_period;
