//! Distributions: a line for each metric, and for each of its worst scopes.

use super::page::column;
use super::{Page, clean, label};
use crate::profile::Profile;
use crate::recording::{ProbeFacts, Unit};
use crate::report::ReportError;
use crate::report::distribution::{Distribution, distributions};
use crate::report::series::quantity;
use crate::text;

/// The number of scopes of each kind in the table: those with the highest 99th percentile.
const WORST: usize = 3;

/// The width of the columns of numbers.
const NUMBERS: usize = 60;

/// The width of the names, unless one of them is wider.
const NAME: usize = 40;

/// The minimum width of the names.
const NARROWEST: usize = 12;

/// Writes the distributions of the metrics of a probe; nothing if it has none.
pub(super) fn table(profile: &Profile, probe: &ProbeFacts, page: &mut Page<'_>) -> Result<(), ReportError> {
    let all: Vec<_> = distributions(profile)
        .into_iter()
        .filter(|distribution| profile.metric(distribution.metric).probe == probe.name)
        .collect();
    if all.is_empty() {
        return Ok(());
    }
    let mut rows: Vec<(String, String)> = Vec::new();
    for metric in all {
        let facts = profile.metric(metric.metric);
        rows.push((clean(&facts.label), cells(&metric.total, facts.unit)));
        for scopes in metric.by_kind.iter().filter(|scopes| scopes.len() > 1) {
            for scope in scopes.iter().take(WORST) {
                rows.push((format!("  {}", clean(&scope.name)), cells(&scope.distribution, facts.unit)));
            }
        }
    }
    let numbers = rows.iter().map(|(_, cells)| cells.chars().count()).max().unwrap_or(0).max(NUMBERS);
    let room = page.room(numbers).map(|room| room.max(NARROWEST));
    let (names, width) = column(rows.iter().map(|(name, _)| name.as_str()), room);
    let width = room.map_or(NAME, |room| room.min(NAME)).max(width);
    let title = format!("{}, distribution", label(&probe.label));
    let title = if room.is_some() { text::shortened(&title, width).into_owned() } else { title };
    let titles: String =
        ["count", "p50", "p90", "p99", "p99.9", "max"].iter().map(|title| format!("{title:>10}")).collect();
    page.gap()?;
    page.heading(&title, &format!("{:fill$}{titles}", "", fill = width.saturating_sub(title.chars().count())))?;
    for (name, (_, cells)) in names.into_iter().zip(rows) {
        page.line(&format!("{name:<width$}{cells}"))?;
    }
    Ok(())
}

fn cells(distribution: &Distribution, unit: Unit) -> String {
    let values = distribution.quantiles.into_iter().chain([distribution.max]).map(|value| quantity(value as f64, unit));
    [distribution.count.to_string()].into_iter().chain(values).map(|cell| format!(" {cell:>9}")).collect()
}
