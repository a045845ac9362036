//! What a capture found, as data: frames, stacks, threads and samples. Pure: no I/O, no kernel.
//!
//! A [`Recording`] holds what was measured: code locations (named or not yet), sampling probabilities, exact counters.
//! A [`Profile`] is a selection of it made ready to draw: frames are merged by name, off-CPU samples are weighted
//! and calibrated, and each value has its variance.

mod build;
mod calibration;
mod frame;
mod kernel_frames;
mod meta;
mod recording;
mod stack;
mod view;

pub use build::{Selection, build};
pub use frame::{Frame, FrameId, FrameTable, Location, Module, ModuleId, ModuleTable, Symbol};
pub(crate) use kernel_frames::begins_interrupt;
pub use meta::{
    Cost, Governing, HostFacts, Loss, Losses, Meta, ProbeCost, SCHEMA_VERSION, ScaleChange, SymbolizeStats, Target,
};
pub use recording::{
    OffCpu, Reason, Recording, Sample, SampleKind, Thread, ThreadIdx, ThreadTable, ThreadTotals, Wake,
};
pub use stack::{StackId, StackNode, StackTable};
pub use view::{FrameKind, Metric, NamedFrame, Profile, WakeLink, Weighted, Window};
