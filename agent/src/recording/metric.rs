//! What is measured. A probe declares its metrics, and they travel in the recording: reports know no metric by name.

use serde::{Deserialize, Serialize};

/// The unit of a metric's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unit {
    /// Nanoseconds.
    Nanoseconds,
    /// Bytes.
    Bytes,
    /// A number of things.
    Count,
}

impl Unit {
    /// Every unit.
    pub const ALL: [Self; 3] = [Self::Nanoseconds, Self::Bytes, Self::Count];

    /// As recordings, pprof and speedscope write it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Nanoseconds => "nanoseconds",
            Self::Bytes => "bytes",
            Self::Count => "count",
        }
    }
}

/// What a sample of a metric covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MetricKind {
    /// A stretch of time. The value is its length in nanoseconds, and it is drawn over that time.
    Interval,
    /// A moment. It is drawn where it was taken.
    Instant,
}

/// What a probe declares of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MetricSpec {
    /// Unique among all probes; `PROBE` or `PROBE.WHAT`, as in `offcpu.blocked`.
    pub name: &'static str,
    /// What people see beside the probe's label, as in `blocked`.
    pub label: &'static str,
    /// The unit of its values.
    pub unit: Unit,
    /// What a sample covers.
    pub kind: MetricKind,
}

/// A row of [`Meta::metrics`](super::Meta::metrics).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MetricId(pub u16);

impl MetricId {
    /// The metric at this index.
    ///
    /// # Panics
    /// From 2^16 on.
    #[must_use]
    pub fn from_index(index: usize) -> Self {
        Self(u16::try_from(index).expect("fewer than 2^16 metrics"))
    }

    /// Its number, as an index.
    #[must_use]
    pub fn index(self) -> usize {
        self.0.into()
    }
}

/// A metric of a recording.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metric {
    /// See [`MetricSpec::name`].
    pub name: String,
    /// See [`MetricSpec::label`].
    pub label: String,
    /// The name of its probe, which is one of [`Meta::probes`](super::Meta::probes).
    pub probe: String,
    /// The unit of its values.
    pub unit: Unit,
    /// What a sample covers.
    pub kind: MetricKind,
}

/// A probe of a recording.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeFacts {
    /// What `--probe` takes.
    pub name: String,
    /// What people see, as in `Off-CPU`.
    pub label: String,
}

/// The probes and metrics of a recording, as [`Meta`](super::Meta) holds them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Declared {
    /// The probes in the order in which they were declared.
    pub probes: Vec<ProbeFacts>,
    /// Their metrics: those of each probe in its own order, one after the other.
    pub metrics: Vec<Metric>,
}

impl Declared {
    /// Adds a probe, and returns the first of its metrics. The others follow it.
    pub fn add(&mut self, name: &str, label: &str, metrics: &[MetricSpec]) -> MetricId {
        let first = MetricId::from_index(self.metrics.len());
        self.probes.push(ProbeFacts { name: name.to_owned(), label: label.to_owned() });
        self.metrics.extend(metrics.iter().map(|metric| Metric {
            name: metric.name.to_owned(),
            label: metric.label.to_owned(),
            probe: name.to_owned(),
            unit: metric.unit,
            kind: metric.kind,
        }));
        first
    }
}
