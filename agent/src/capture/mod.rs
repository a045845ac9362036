//! From rings to a recording.
//!
//! [`Session`] attaches the probes and polls. What comes out of the rings is put [in order](order) and given to the probe that wrote
//! it, which adds samples to the recording. [Rate control](rate) keeps the [cost] within the budget.

mod command;
mod config;
pub mod cost;
pub mod order;
mod process_facts;
pub mod rate;
mod session;

use std::time::Duration;

pub use crate::sys::{Command, GateError, Gated};
pub use command::suspend;
pub use config::{CaptureConfig, CaptureTarget};
pub use session::{CaptureError, Session};

/// How often the rings are read: often enough that the smallest ring holds what comes in between.
pub const POLL: Duration = Duration::from_millis(50);
