//! Prepares a recording for reports. Pure: no I/O, no kernel.
//!
//! A [`Profile`] is a selection of a [`Recording`](crate::recording::Recording): frames are merged by name, samples are
//! weighted and calibrated, and each value has a variance.

mod build;
mod calibration;
mod estimate;
mod exact;
mod idle;
mod kernel_frames;
mod names;
mod process_names;
mod select;
#[cfg(test)]
mod tests;
mod thread_pools;
mod view;

pub use build::build;
pub use estimate::Estimate;
pub(crate) use kernel_frames::begins_interrupt;
pub use select::{IdleThreads, Roots, Selection, Window};
pub use view::{FrameKind, Group, GroupIdx, NamedFrame, Profile, WakeLink, Weighted};
