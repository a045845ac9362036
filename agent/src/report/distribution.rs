//! The distributions of a profile's metrics, over all scopes and by scope.

use std::collections::BTreeMap;

use hdrhistogram::Histogram as Counts;

use crate::profile::Profile;
use crate::recording::{Histogram, MetricId, Scope, ScopeKind};

/// The quantiles in reports.
const QUANTILES: [f64; 4] = [0.5, 0.9, 0.99, 0.999];

/// The distribution of a metric.
pub(super) struct MetricDistribution<'a> {
    pub(super) metric: MetricId,
    /// The distribution over the scopes of one kind: scopes of different kinds may include the same events.
    pub(super) total: Distribution,
    /// The counts of `total`.
    pub(super) total_counts: Counts<u64>,
    /// The scopes of each kind, in descending order of the 99th percentile. Kinds without scopes are omitted.
    pub(super) by_kind: Vec<Vec<ScopeDistribution<'a>>>,
}

/// The distribution of a metric in one scope.
pub(super) struct ScopeDistribution<'a> {
    /// The name in reports: `CPU 3`, `cgroup /system.slice`, `worker (17)`.
    pub(super) name: String,
    pub(super) distribution: Distribution,
    pub(super) counts: &'a Counts<u64>,
}

/// Key figures of a distribution, in the unit of its metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Distribution {
    /// The number of events.
    pub(super) count: u64,
    /// The median, and the 90th, 99th and 99.9th percentile.
    pub(super) quantiles: [u64; 4],
    /// The largest value.
    pub(super) max: u64,
}

impl Distribution {
    fn of(counts: &Counts<u64>) -> Self {
        Self {
            count: counts.len(),
            quantiles: QUANTILES.map(|quantile| counts.value_at_quantile(quantile)),
            max: counts.max(),
        }
    }
}

/// The distributions of all metrics that have histograms, in the order of the metrics.
pub(super) fn distributions(profile: &Profile) -> Vec<MetricDistribution<'_>> {
    let mut rows: BTreeMap<MetricId, Vec<&Histogram>> = BTreeMap::new();
    for row in profile.histograms.iter().filter(|row| !row.counts.is_empty()) {
        rows.entry(row.metric).or_default().push(row);
    }
    rows.into_iter().filter_map(|(metric, rows)| of_metric(profile, metric, &rows)).collect()
}

fn of_metric<'a>(profile: &Profile, metric: MetricId, rows: &[&'a Histogram]) -> Option<MetricDistribution<'a>> {
    let of_kind = |kind| rows.iter().filter(move |row| row.scope.kind() == kind).copied();
    let kinds: Vec<ScopeKind> = ScopeKind::ALL.into_iter().filter(|kind| of_kind(*kind).next().is_some()).collect();
    let mut total_counts: Option<Counts<u64>> = None;
    for row in of_kind(*kinds.first()?) {
        match &mut total_counts {
            None => total_counts = Some(row.counts.clone()),
            // The sum accepts any value, so adding does not fail.
            Some(sum) => sum.add(&row.counts).unwrap_or_default(),
        }
    }
    let total_counts = total_counts?;
    let scopes = |kind| {
        let mut scopes: Vec<_> = of_kind(kind).map(|row| of_scope(profile, row)).collect();
        scopes.sort_by_key(|scope| {
            let Distribution { quantiles, max, .. } = scope.distribution;
            std::cmp::Reverse((quantiles[2], max))
        });
        scopes
    };
    let by_kind = kinds.into_iter().map(scopes).collect();
    Some(MetricDistribution { metric, total: Distribution::of(&total_counts), total_counts, by_kind })
}

fn of_scope<'a>(profile: &Profile, row: &'a Histogram) -> ScopeDistribution<'a> {
    let name = match &row.scope {
        Scope::Host => "all".to_owned(),
        Scope::Cpu(cpu) => format!("CPU {cpu}"),
        Scope::Cgroup(path) => format!("cgroup {path}"),
        Scope::Thread(thread) => profile.thread(*thread).label(),
    };
    ScopeDistribution { name, distribution: Distribution::of(&row.counts), counts: &row.counts }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::{Selection, build};
    use crate::recording::example::{BLOCKED, Example};
    use crate::units::CpuId;

    #[test]
    fn scopes_of_one_kind_add_up_and_the_worst_comes_first() {
        let mut example = Example::new();
        example.histogram(BLOCKED, Scope::Cpu(CpuId(0)), &[(10, 99), (1_000, 1)]);
        example.histogram(BLOCKED, Scope::Cpu(CpuId(1)), &[(10, 50), (100, 50)]);
        example.histogram(BLOCKED, Scope::Cgroup("/a".to_owned()), &[(10, 149), (100, 50), (1_000, 1)]);
        let profile = build(&example.recording, &Selection::default());
        let all = distributions(&profile);
        assert_eq!(all.len(), 1);
        // Events are not counted twice, by CPU and by cgroup.
        assert_eq!(all[0].total.count, 200);
        assert_eq!(all[0].total.quantiles[..2], [10, 100]);
        // At two significant digits.
        assert!((1_000..=1_010).contains(&all[0].total.max), "{}", all[0].total.max);
        let names: Vec<Vec<&str>> =
            all[0].by_kind.iter().map(|scopes| scopes.iter().map(|scope| scope.name.as_str()).collect()).collect();
        assert_eq!(names, [vec!["CPU 1", "CPU 0"], vec!["cgroup /a"]]);
    }
}
