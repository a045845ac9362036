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
mod modules;
mod names;
mod process_names;
mod select;
mod span;
mod stack_filter;
#[cfg(test)]
mod tests;
mod thread_pools;
mod totals;
mod view;
mod window;

pub use build::build;
pub use estimate::Estimate;
pub use exact::Counted;
pub(crate) use kernel_frames::begins_interrupt;
pub use modules::NamedModule;
pub use select::{IdleThreads, Roots, Selection};
pub use span::Span;
pub use stack_filter::{FunctionPattern, StackFilter};
pub use totals::Totals;
pub use view::{FrameKind, Group, GroupIdx, NamedFrame, Profile, WakeLink, Weighted};
pub use window::Window;
