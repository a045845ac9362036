//! Exact totals, counted in the kernel.

use super::{MetricId, ThreadIdx};
use crate::units::CpuId;

/// What a counter or a histogram is of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// Everything that was captured.
    Host,
    /// A CPU.
    Cpu(CpuId),
    /// The threads of a cgroup, by its path from the root of the hierarchy; those of cgroups below it are not included.
    Cgroup(String),
    /// A thread.
    Thread(ThreadIdx),
}

impl Scope {
    /// The kind of the scope. The scopes of one kind are disjoint, so that their counters add up; those of different kinds may be
    /// the same events counted twice.
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
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::Host, Self::Cpu, Self::Cgroup, Self::Thread];

    /// As it is written in recordings.
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

/// An exact total over the whole capture. Several of one metric and scope add up: a thread ID may have been reused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counter {
    /// What was counted.
    pub metric: MetricId,
    /// Where.
    pub scope: Scope,
    /// How many events there were, sampled or not. Intervals that had not ended are not included.
    pub count: u64,
    /// The sum of their values, in the unit of the metric.
    pub sum: u64,
}
