//! Recordings: what a capture measured, as data and as files.
//!
//! A [`Recording`] holds what was measured: code locations (named or not yet), sampling probabilities, exact counters and
//! histograms. It is pure data, one file for each of its tables. [`profile`](crate::profile) makes it ready to draw.
//! [`mod@files`] writes it to a directory and reads it back.

mod builder;
mod counter;
mod error;
pub mod example;
pub mod files;
mod frame;
mod hash;
mod histogram;
mod label;
mod losses;
mod meta;
mod metric;
mod module;
mod process;
mod row;
mod sample;
mod stack;
mod thread;

pub use crate::host::HostFacts;
pub use builder::{CodeLocator, RawStacks, RecordingBuilder, StackInterner};
pub use counter::{Counter, Scope, ScopeKind};
pub use error::RecordingError;
pub use files::{Destination, Written, read, write, write_to};
pub use frame::{Frame, FrameId, FrameSource, FrameTable, InlinedFunction, Location, SourceLine, Symbol};
pub use hash::{ContentHash, Hashes};
pub use histogram::{Histogram, MOST_SIGNIFICANT_DIGITS, empty_counts};
pub use label::{Label, LabelSetId, LabelTable};
pub use losses::{Loss, Losses};
pub use meta::{Cost, Governing, Meta, ProbeCost, SCHEMA_VERSION, ScaleChange, SymbolizeStats, Target};
pub use metric::{Declared, Metric, MetricId, MetricKind, MetricSpec, ProbeFacts, Unit};
pub use module::{FileNumbers, Module, ModuleId, ModuleTable};
pub use process::{Process, ProcessIdx, ProcessTable};
pub use sample::{Sample, SampleIdx, Wake};
pub use stack::{StackId, StackNode, StackTable};
pub use thread::{Thread, ThreadIdx, ThreadTable};

/// How the name of a recording ends, without the dot.
pub const ENDING: &str = "quell";

/// A capture as it was measured: nothing weighted, nothing merged.
#[derive(Clone, Debug)]
pub struct Recording {
    /// When, where and how it was made, at what cost, and what was lost.
    pub meta: Meta,
    /// Files with code.
    pub modules: ModuleTable,
    /// Code locations.
    pub frames: FrameTable,
    /// Call stacks.
    pub stacks: StackTable,
    /// Processes.
    pub processes: ProcessTable,
    /// Threads.
    pub threads: ThreadTable,
    /// Sets of labels.
    pub labels: LabelTable,
    /// Samples in the order in which they ended.
    pub samples: Vec<Sample>,
    /// Exact totals.
    pub counters: Vec<Counter>,
    /// Exact distributions.
    pub histograms: Vec<Histogram>,
}

impl Recording {
    /// A recording without samples.
    #[must_use]
    pub fn new(meta: Meta) -> Self {
        Self {
            meta,
            modules: ModuleTable::default(),
            frames: FrameTable::default(),
            stacks: StackTable::default(),
            processes: ProcessTable::default(),
            threads: ThreadTable::default(),
            labels: LabelTable::default(),
            samples: Vec::new(),
            counters: Vec::new(),
            histograms: Vec::new(),
        }
    }
}
