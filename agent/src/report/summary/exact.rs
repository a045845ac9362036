//! Totals that were counted in the kernel.

use std::io::Write;

use super::{LABEL, clean, counted, fit, line};
use crate::profile::{Profile, Window};
use crate::recording::{Counter, MetricId, MetricKind, ScopeKind};
use crate::report::ReportError;
use crate::report::series::{Series, quantity};

/// The kinds of scopes in order of preference. Counters of different kinds may include the same events, so only one kind is added up.
const KINDS: [ScopeKind; 4] = [ScopeKind::Thread, ScopeKind::Cpu, ScopeKind::Host, ScopeKind::Cgroup];

/// Writes the totals of a series; nothing if it has no counters.
pub(super) fn totals(profile: &Profile, series: &Series, out: &mut dyn Write) -> Result<(), ReportError> {
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
        let (label, sum) = (fit(&clean(&metric.label), LABEL), quantity(total.sum as f64, metric.unit));
        parts.push(format!("{label} {sum} in {}", counted(total.count, event)));
    }
    line("counted", &format!("{} (in the whole capture{part}; {events}, {of})", parts.join(", ")), out)
}

/// The counted total of a metric.
struct Total {
    kind: ScopeKind,
    count: u64,
    sum: u64,
}

impl Total {
    fn of(profile: &Profile, metric: MetricId) -> Option<Self> {
        let counters = || profile.counters.iter().filter(|row| row.metric == metric && row.count > 0);
        let kind = KINDS.into_iter().find(|kind| counters().any(|row| row.scope.kind() == *kind))?;
        let add = |value: fn(&Counter) -> u64| {
            counters().filter(|row| row.scope.kind() == kind).map(value).fold(0, u64::saturating_add)
        };
        Some(Self { kind, count: add(|row| row.count), sum: add(|row| row.sum) })
    }
}
