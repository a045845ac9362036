//! Prepares a recording for reports. Pure: no I/O, no kernel.
//!
//! A [`Profile`] is a selection of a [`Recording`](crate::recording::Recording): frames are merged by name, samples are
//! weighted and calibrated, and each value has a variance.

mod build;
mod calibration;
mod estimate;
mod exact;
mod kernel_frames;
mod names;
mod select;
mod span;
#[cfg(test)]
mod tests;
mod view;
mod window;

pub use build::build;
pub use estimate::Estimate;
pub(crate) use kernel_frames::begins_interrupt;
pub use select::Selection;
pub use span::Span;
pub use view::{FrameKind, Group, GroupIdx, NamedFrame, Profile, WakeLink, Weighted};
pub use window::Window;
