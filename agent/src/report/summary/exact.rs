//! Totals that were counted in the kernel.

use serde::Serialize;

use super::{Page, counted, label};
use crate::profile::{Counted, Profile, Window};
use crate::recording::{MetricId, MetricKind, ScopeKind};
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
    let is_of_window =
        profile.window != Window::default() && totals.iter().all(|(_, total)| total.part == Part::Window);
    let part = match profile.window == Window::default() {
        true => "in the whole capture",
        false if is_of_window => "in the selected part",
        false => "in the whole capture, not only in the selected part",
    };
    let events = match series.has_intervals(&profile.meta) {
        true if is_of_window => "only intervals that ended during the capture",
        true => "only intervals that ended",
        false => "events",
    };
    let in_words = |(metric, total): &(MetricId, Total)| {
        let metric = profile.metric(*metric);
        let (label, sum) = (label(&metric.label), quantity(total.sum as f64, metric.unit));
        let mut notes = Vec::new();
        if is_visible(total) {
            notes.push(format!("to within {}", quantity(total.uncertainty as f64, metric.unit)));
        }
        // A part may have time of intervals that end later.
        match metric.kind {
            MetricKind::Interval if is_of_window => notes.push(format!("{} ended", counted(total.count, "interval"))),
            MetricKind::Interval => return format!("{label} {sum} in {}", counted(total.count, "interval")),
            MetricKind::Instant if is_of_window => notes.push(counted(total.count, "event")),
            MetricKind::Instant => return format!("{label} {sum} in {}", counted(total.count, "event")),
        }
        format!("{label} {sum} ({})", notes.join(", "))
    };
    let totals = totals.iter().map(in_words).collect::<Vec<_>>().join(", ");
    Ok(page.item("counted", &format!("{totals} ({part}; {events}, {of})"))?)
}

/// Whether the error of a total may change the digits that are shown. As `countedCell` in `counted.js`.
fn is_visible(total: &Total) -> bool {
    total.uncertainty > total.sum / 200
}

/// What a total is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Part {
    /// The selected window.
    Window,
    /// The whole capture: its time is not known.
    Capture,
}

/// The counted total of a metric.
pub(super) struct Total {
    pub(super) kind: ScopeKind,
    pub(super) part: Part,
    pub(super) count: u64,
    /// In the unit of the metric.
    pub(super) sum: u64,
    /// The largest possible error of `sum`.
    pub(super) uncertainty: u64,
}

impl Total {
    /// The total; `None` if the metric has no counters.
    pub(super) fn of(profile: &Profile, metric: MetricId) -> Option<Self> {
        let counters = || profile.counters.iter().filter(|row| row.metric == metric && (row.count > 0 || row.sum > 0));
        let kind = KINDS.into_iter().find(|kind| counters().any(|row| row.scope.kind() == *kind))?;
        let rows = || counters().filter(|row| row.scope.kind() == kind);
        let add = |value: fn(&Counted) -> u64| rows().map(value).fold(0, u64::saturating_add);
        let part = if rows().all(|row| row.slice.is_some()) { Part::Window } else { Part::Capture };
        Some(Self {
            kind,
            part,
            count: add(|row| row.count),
            sum: add(|row| row.sum),
            uncertainty: add(|row| row.uncertainty),
        })
    }
}
