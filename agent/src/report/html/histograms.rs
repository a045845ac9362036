//! Distributions as bars, four for each power of two, which are few enough to draw.

use serde::Serialize;

use hdrhistogram::Histogram as Counts;

use crate::profile::Profile;
use crate::report::distribution::{Distribution, ScopeDistribution, distributions};

/// The maximum number of scopes of one kind for each metric in a page: those with the highest 99th percentile.
const MOST_SCOPES: usize = 64;

/// The distribution of a metric.
#[derive(Serialize)]
pub(super) struct MetricBars {
    metric: u16,
    total: Bars,
    /// The bars of each scope, ordered by kind.
    scopes: Vec<Bars>,
    /// The number of omitted scopes.
    left_out: usize,
}

/// A distribution.
#[derive(Serialize)]
struct Bars {
    name: String,
    count: u64,
    /// The median, and the 90th, 99th and 99.9th percentile.
    quantiles: [u64; 4],
    max: u64,
    /// The number of each bar that is not empty, and its count. `histograms.js` converts bar numbers to values.
    bars: Vec<(u32, u64)>,
}

impl Bars {
    fn of(name: String, distribution: Distribution, counts: &Counts<u64>) -> Self {
        let Distribution { count, quantiles, max } = distribution;
        let mut bars: Vec<(u32, u64)> = Vec::new();
        for step in counts.iter_recorded() {
            let number = bar(step.value_iterated_to());
            match bars.last_mut().filter(|(last, _)| *last == number) {
                Some((_, sum)) => *sum = sum.saturating_add(step.count_at_value()),
                None => bars.push((number, step.count_at_value())),
            }
        }
        Self { name, count, quantiles, max, bars }
    }
}

/// The distributions of all metrics that have histograms.
pub(super) fn bars(profile: &Profile) -> Vec<MetricBars> {
    let of_scope = |scope: &ScopeDistribution<'_>| Bars::of(scope.name.clone(), scope.distribution, scope.counts);
    distributions(profile)
        .into_iter()
        .map(|of_metric| MetricBars {
            metric: of_metric.metric.0,
            total: Bars::of("all".to_owned(), of_metric.total, &of_metric.total_counts),
            scopes: of_metric.by_kind.iter().flat_map(|kind| kind.iter().take(MOST_SCOPES)).map(of_scope).collect(),
            left_out: of_metric.by_kind.iter().map(|kind| kind.len().saturating_sub(MOST_SCOPES)).sum(),
        })
        .collect()
}

/// The number of the bar that contains a value: 0 for 0, and then four for each power of two.
fn bar(value: u64) -> u32 {
    let Some(power) = value.checked_ilog2() else { return 0 };
    let quarter = if power >= 2 { value >> (power - 2) & 3 } else { (value << (2 - power)) & 3 };
    1 + 4 * power + quarter as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_four_bars_for_each_power_of_two() {
        let numbers = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 16].map(bar);
        assert_eq!(numbers, [0, 1, 5, 7, 9, 10, 11, 12, 13, 13, 14, 17]);
        assert_eq!(bar(u64::MAX), 256);
    }
}
