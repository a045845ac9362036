//! The only `unsafe` code of the agent: system calls that no crate wraps safely.
#![allow(unsafe_code, reason = "this module exists to hold it, each use with its reason")]

pub(crate) mod array_memory;
pub(crate) mod bpf;
mod close_from;
pub(crate) mod descriptors;
pub(crate) mod ethtool;
mod fd_passing;
mod file_size_signal;
mod fork;
mod gate;
mod heap;
pub(crate) mod inherited;
pub(crate) mod locked_exec;
pub(crate) mod mapped_file;
pub(crate) mod netlink;
pub(crate) mod perf;
pub(crate) mod random;
pub(crate) mod sched;
mod secure_execution;
pub(crate) mod xattr;

pub(crate) use close_from::close_from;
pub(crate) use fd_passing::{MAX_DESCRIPTORS, receive, send};
pub use file_size_signal::catch_file_size_signal;
pub(crate) use fork::{Fork, fork_alone};
pub use gate::{Command, CommandError, SuspendedCommand};
pub(crate) use heap::keep_freed_memory;
pub(crate) use secure_execution::is_secure_execution;
