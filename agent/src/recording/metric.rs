//! Metrics. A probe declares its metrics, and the recording contains them. Reports do not know metrics by name.

use serde::{Deserialize, Serialize};

/// The unit of a metric's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unit {
    /// Time in nanoseconds.
    Nanoseconds,
    /// Memory or data in bytes.
    Bytes,
    /// A number of events or objects.
    Count,
}

impl Unit {
    /// All units.
    pub const ALL: [Self; 3] = [Self::Nanoseconds, Self::Bytes, Self::Count];

    /// The name of the unit in recordings, pprof and speedscope.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Nanoseconds => "nanoseconds",
            Self::Bytes => "bytes",
            Self::Count => "count",
        }
    }
}

/// Whether samples of a metric are intervals or instants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MetricKind {
    /// A time interval. The value is its length in nanoseconds.
    Interval,
    /// A point in time.
    Instant,
}

/// The declaration of a metric by a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MetricSpec {
    /// The name, unique among all probes: `PROBE` or `PROBE.NAME`, such as `offcpu.blocked`.
    pub name: &'static str,
    /// The label in reports, beside the label of the probe, such as `blocked`.
    pub label: &'static str,
    /// The unit of the values.
    pub unit: Unit,
    /// Whether samples are intervals or instants.
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
    /// If `index` is 2^16 or more.
    #[must_use]
    pub fn from_index(index: usize) -> Self {
        Self(u16::try_from(index).expect("fewer than 2^16 metrics"))
    }

    /// The index.
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
    /// The unit of the values.
    pub unit: Unit,
    /// Whether samples are intervals or instants.
    pub kind: MetricKind,
}

impl Metric {
    /// Whether time is sampled at instants, such as CPU time: a sample represents the time around it, which was not observed.
    #[must_use]
    pub fn samples_time(&self) -> bool {
        self.kind == MetricKind::Instant && self.unit == Unit::Nanoseconds
    }
}

/// A probe of a recording.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeFacts {
    /// The name, for `--probe`.
    pub name: String,
    /// The label in reports, such as `Off-CPU`.
    pub label: String,
}

/// The probes and metrics of a recording, for [`Meta`](super::Meta).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Declared {
    /// The probes in the order in which they were declared.
    pub probes: Vec<ProbeFacts>,
    /// The metrics of all probes, in the order of the probes.
    pub metrics: Vec<Metric>,
}

impl Declared {
    /// Adds a probe and returns the ID of its first metric. The others have the following IDs.
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
