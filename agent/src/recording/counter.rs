//! Totals that were counted in the kernel.

use super::{MetricId, ThreadIdx};
use crate::units::{CpuId, Nanos};

/// The scope of a counter or histogram.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// The whole capture.
    Host,
    /// A CPU.
    Cpu(CpuId),
    /// The threads of a cgroup, by its path from the root of the hierarchy, without those of descendant cgroups.
    Cgroup(String),
    /// A thread.
    Thread(ThreadIdx),
}

impl Scope {
    /// The kind of the scope. Scopes of one kind are disjoint, so their counters can be added. Counters of different kinds may
    /// include the same events.
    #[must_use]
    pub fn kind(&self) -> ScopeKind {
        match self {
            Self::Host => ScopeKind::Host,
            Self::Cpu(_) => ScopeKind::Cpu,
            Self::Cgroup(_) => ScopeKind::Cgroup,
            Self::Thread(_) => ScopeKind::Thread,
        }
    }
}

/// The kinds of [`Scope`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ScopeKind {
    /// [`Scope::Host`].
    Host,
    /// [`Scope::Cpu`].
    Cpu,
    /// [`Scope::Cgroup`].
    Cgroup,
    /// [`Scope::Thread`].
    Thread,
}

impl ScopeKind {
    /// All kinds.
    pub const ALL: [Self; 4] = [Self::Host, Self::Cpu, Self::Cgroup, Self::Thread];

    /// The name in recordings.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Cpu => "cpu",
            Self::Cgroup => "cgroup",
            Self::Thread => "thread",
        }
    }
}

/// A part of a capture, in which a total was counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slice {
    /// The start, from the start of the capture; not later than `end`.
    pub begin: Nanos,
    /// The end, from the start of the capture.
    pub end: Nanos,
}

/// A counted total. There may be several of one metric and scope, to be added: those of several slices, and of threads that had the same
/// ID.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counter {
    /// The metric that was counted.
    pub metric: MetricId,
    /// The scope in which it was counted.
    pub scope: Scope,
    /// The part of the capture in which it was counted; `None` if it is only known for the whole capture.
    pub slice: Option<Slice>,
    /// The number of events, sampled or not. An interval belongs to the slice in which it ended. Intervals that had not ended at the
    /// end of the capture are not included.
    pub count: u64,
    /// The sum of their values, in the unit of the metric. An interval is divided among the slices that it lies in.
    pub sum: u64,
}
