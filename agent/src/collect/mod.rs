//! From rings to a recording.
//!
//! [`Session`] attaches the probes and polls. What comes out of the [`rings`] is put [in order](order), seen as
//! [events](event) and [joined](join) into samples, whose [stacks] are interned on the way. The [governor] keeps the
//! [cost] within the budget.

mod config;
pub mod cost;
pub mod event;
pub mod governor;
pub mod join;
pub mod order;
mod process_facts;
pub mod rings;
mod session;
mod shares;
pub mod stacks;
pub mod user_walk;

use std::time::Duration;

pub use crate::sys::{Command, GateError, Gated};
#[cfg(test)]
pub(crate) use config::settings;
pub(crate) use config::settings_to_try;
pub use config::{CaptureConfig, CaptureTarget};
pub use governor::{OFFCPU_INTERVAL, SamplingRates};
pub use session::{CaptureError, Session};

/// How often the rings are read: often enough that the smallest ring holds what comes in between.
pub const POLL: Duration = Duration::from_millis(50);
