//! Recordings: the data of a capture, in memory and on disk.
//!
//! A [`Recording`] contains the measured data: code locations (symbolized or not), samples with probabilities, counters and
//! histograms. Each of its tables has a file. [`profile`](crate::profile) prepares it for reports.
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
mod process_filter;
mod row;
mod sample;
mod stack;
mod thread;

pub use crate::host::HostFacts;
pub(crate) use builder::Shares;
pub use builder::{
    CodeLocator, RawStacks, Reading, RecordingBuilder, SlicedTotal, StackInterner, StackLosses, StealTime, WalkedStack,
};
pub use counter::{Counter, Scope, ScopeKind, Slice};
pub use error::RecordingError;
pub use files::{Destination, Written, read, write, write_to};
pub use frame::{Frame, FrameId, FrameSource, FrameTable, InlinedFunction, Location, SourceLine, Symbol};
pub use hash::{ContentHash, Hashes};
pub use histogram::{Histogram, MOST_SIGNIFICANT_DIGITS, empty_counts};
pub use label::{Label, LabelSetId, LabelTable};
pub use losses::{Loss, Losses, Whole};
pub use meta::{Cost, Governing, Meta, ProbeCost, SCHEMA_VERSION, ScaleChange, SymbolizeStats, Target};
pub use metric::{Declared, Metric, MetricId, MetricKind, MetricSpec, ProbeFacts, Unit};
pub use module::{FileNumbers, Module, ModuleId, ModuleTable};
pub use process::{Process, ProcessIdx, ProcessTable};
pub use process_filter::ProcessFilter;
pub(crate) use row::row_number;
pub use sample::{Sample, SampleIdx, Wake};
pub use stack::{StackId, StackNode, StackTable};
pub use thread::{Thread, ThreadIdx, ThreadKey, ThreadTable};

/// The file extension of recordings, without the dot.
pub const ENDING: &str = "quell";

/// The measured data of a capture, not weighted and not merged.
#[derive(Clone, Debug)]
pub struct Recording {
    /// The time, host and configuration of the capture, its cost and its losses.
    pub meta: Meta,
    /// Files from which code was mapped.
    pub modules: ModuleTable,
    /// Code locations.
    pub frames: FrameTable,
    /// Call stacks.
    pub stacks: StackTable,
    /// The processes of samples and counters.
    pub processes: ProcessTable,
    /// The threads of samples and counters.
    pub threads: ThreadTable,
    /// Sets of labels of samples.
    pub labels: LabelTable,
    /// Samples in the order in which they ended.
    pub samples: Vec<Sample>,
    /// Totals that were counted in the kernel.
    pub counters: Vec<Counter>,
    /// Distributions that were counted in the kernel.
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
