//! Series: metrics of one probe with the same unit, whose values can be added. A graph shows one series.

use crate::recording::{Meta, MetricId, MetricKind, Unit};
use crate::units::{Bytes, Nanos};

/// Metrics of one probe with the same unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Series {
    /// The name in machine-readable formats: the name of the probe, with the unit if the probe has metrics of several units.
    pub(super) name: String,
    /// The label in reports: the label of the probe, with the unit in the same case.
    pub(super) label: String,
    /// The unit of the values.
    pub(super) unit: Unit,
    /// The metrics, in the order of the probe.
    pub(super) metrics: Vec<MetricId>,
    /// Whether the probe has no other metrics.
    pub(super) is_whole_probe: bool,
}

impl Series {
    /// Whether the samples are intervals, such as waits, and not instants.
    pub(super) fn has_intervals(&self, meta: &Meta) -> bool {
        self.metrics.iter().any(|metric| meta.metric(*metric).kind == MetricKind::Interval)
    }
}

/// The series of a recording, in the order of probes, and of the first metric with each unit.
pub(super) fn series(meta: &Meta) -> Vec<Series> {
    let mut all: Vec<Series> = Vec::new();
    for probe in &meta.probes {
        let mut units: Vec<Unit> = Vec::new();
        for (_, metric) in meta.metrics_of(&probe.name) {
            if !units.contains(&metric.unit) {
                units.push(metric.unit);
            }
        }
        let is_whole_probe = units.len() == 1;
        for unit in units {
            let of_unit = meta.metrics_of(&probe.name).filter(|(_, metric)| metric.unit == unit);
            let (name, label) = match is_whole_probe {
                true => (probe.name.clone(), probe.label.clone()),
                false => (format!("{}.{}", probe.name, unit.name()), format!("{} ({})", probe.label, unit.name())),
            };
            all.push(Series { name, label, unit, metrics: of_unit.map(|(id, _)| id).collect(), is_whole_probe });
        }
    }
    all
}

/// The series of each metric.
pub(super) fn series_of_metrics(series: &[Series], meta: &Meta) -> Vec<usize> {
    let mut of_metric = vec![0; meta.metrics.len()];
    for (index, series) in series.iter().enumerate() {
        for metric in &series.metrics {
            of_metric[metric.index()] = index;
        }
    }
    of_metric
}

/// A value with its unit: `1.23 ms`, `4.0 KiB`, `17`.
pub(super) fn quantity(value: f64, unit: Unit) -> String {
    // The conversion saturates.
    let whole = value.round() as u64;
    match unit {
        Unit::Nanoseconds => Nanos(whole).to_string(),
        Unit::Bytes => Bytes(whole).to_string(),
        Unit::Count => whole.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recording::MetricSpec;
    use crate::recording::example::Example;

    #[test]
    fn metrics_of_one_probe_and_unit_are_one_series() {
        let mut example = Example::new();
        let metric = |name, unit| MetricSpec { name, label: name, unit, kind: MetricKind::Instant };
        let (bytes, count) = (Unit::Bytes, Unit::Count);
        example.add_probe("heap", "Heap", &[metric("one", bytes), metric("two", count), metric("three", bytes)]);
        let meta = &example.recording.meta;
        let series = series(meta);
        let told: Vec<(&str, &str, usize)> =
            series.iter().map(|series| (series.name.as_str(), series.label.as_str(), series.metrics.len())).collect();
        assert_eq!(
            told,
            [
                ("cpu", "On-CPU", 1),
                ("offcpu", "Off-CPU", 3),
                ("heap.bytes", "Heap (bytes)", 2),
                ("heap.count", "Heap (count)", 1)
            ]
        );
        assert_eq!(series_of_metrics(&series, meta), [0, 1, 1, 1, 2, 3, 2]);
    }

    #[test]
    fn values_are_shown_with_their_unit() {
        let shown = [Unit::Nanoseconds, Unit::Bytes, Unit::Count].map(|unit| quantity(4_095.6, unit));
        assert_eq!(shown, ["4.10 us", "4.0 KiB", "4096"]);
    }
}
