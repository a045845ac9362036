//! Captures events into a recording.
//!
//! [`Session`] attaches the probes and reads the ring buffers. Records are [sorted by time](order) and passed to their probe, which adds
//! samples to the recording. [Rate control](rate) keeps the [cost] within the budget.

mod command;
mod config;
pub mod cost;
mod hotplug;
mod matching;
pub mod order;
mod process_facts;
pub mod rate;
mod session;
mod snapshots;
mod steal;

use std::time::Duration;

pub use crate::sys::{Command, CommandError, SuspendedCommand};
pub use command::suspend;
pub use config::{CaptureConfig, CaptureTarget};
pub use matching::Matching;
pub use session::{CaptureError, Session};

/// The interval between reads of the ring buffers: short enough for the smallest ring buffer.
pub const POLL: Duration = Duration::from_millis(50);
