//! Totals that were counted in the kernel.

use super::{Page, counted, label};
use crate::profile::{Profile, Window};
use crate::recording::{Counter, MetricId, MetricKind, ScopeKind};
use crate::report::ReportError;
use crate::report::series::{Series, quantity};

/// The kinds of scopes in order of preference. Counters of different kinds may include the same events, so only one kind is added up.
const KINDS: [ScopeKind; 4] = [ScopeKind::Thread, ScopeKind::Cpu, ScopeKind::Host, ScopeKind::Cgroup];

/// Writes the totals of a series; nothing if it has no counters.
pub(super) fn totals(profile: &Profile, series: &Series, page: &mut Page<'_>) -> Result<(), ReportError> {
    let totals: Vec<(MetricId, Total)> =
        series.metrics.iter().filter_map(|metric| Some((*metric, Total::of(profile, *metric)?))).collect();
    let Some((_, first)) = totals.first() else { return Ok(()) };
    let of = match first.kind {
        ScopeKind::Thread => "of the selected threads",
        ScopeKind::Cpu | ScopeKind::Host | ScopeKind::Cgroup => "of all threads",
    };
    let events = if series.has_intervals(&profile.meta) { "only intervals that ended" } else { "events" };
    let part = if profile.window == Window::default() { "" } else { ", not only in the selected part" };
    let mut parts = Vec::new();
    for (metric, total) in &totals {
        let metric = profile.metric(*metric);
        let event = match metric.kind {
            MetricKind::Interval => "interval",
            MetricKind::Instant => "event",
        };
        let (label, sum) = (label(&metric.label), quantity(total.sum as f64, metric.unit));
        parts.push(format!("{label} {sum} in {}", counted(total.count, event)));
    }
    Ok(page.item("counted", &format!("{} (in the whole capture{part}; {events}, {of})", parts.join(", ")))?)
}

/// The counted total of a metric.
pub(super) struct Total {
    pub(super) kind: ScopeKind,
    pub(super) count: u64,
    pub(super) sum: u64,
}

impl Total {
    /// The total; `None` if the metric has no counters.
    pub(super) fn of(profile: &Profile, metric: MetricId) -> Option<Self> {
        let counters = || profile.counters.iter().filter(|row| row.metric == metric && row.count > 0);
        let kind = KINDS.into_iter().find(|kind| counters().any(|row| row.scope.kind() == *kind))?;
        let add = |value: fn(&Counter) -> u64| {
            counters().filter(|row| row.scope.kind() == kind).map(value).fold(0, u64::saturating_add)
        };
        Some(Self { kind, count: add(|row| row.count), sum: add(|row| row.sum) })
    }
}
