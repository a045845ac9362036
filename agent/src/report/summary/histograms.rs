//! Distributions: a line for each metric, and for each of its worst scopes. Names are last, so that a long one moves no column.

use super::page::column;
use super::{Page, clean, label};
use crate::profile::Profile;
use crate::recording::{ProbeFacts, Unit};
use crate::report::ReportError;
use crate::report::distribution::{Distribution, distributions};
use crate::report::series::quantity;

/// The number of scopes of each kind in the table: those with the highest 99th percentile.
const WORST: usize = 3;

/// The width of a column of numbers, without the blank before it.
const CELL: usize = 9;

/// The minimum room for names, also beside numbers that are wider than their columns.
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
    page.gap()?;
    page.heading(&format!("{}, distribution", label(&probe.label)), "")?;
    let titles = ["count", "p50", "p90", "p99", "p99.9", "max"].map(|title| format!(" {title:>CELL$}")).concat();
    let before = rows.iter().map(|(_, cells)| cells.chars().count()).max().unwrap_or(0) + 2;
    let names = rows.iter().map(|(name, _)| name.as_str());
    let room = page.room(before).map(|room| room.max(NARROWEST));
    let (names, _) = column(["scope"].into_iter().chain(names), room);
    let numbers = [titles.as_str()].into_iter().chain(rows.iter().map(|(_, cells)| cells.as_str()));
    for (numbers, name) in numbers.zip(names) {
        page.line(&format!("{numbers}  {name}"))?;
    }
    Ok(())
}

fn cells(distribution: &Distribution, unit: Unit) -> String {
    let values = distribution.quantiles.into_iter().chain([distribution.max]).map(|value| quantity(value as f64, unit));
    [distribution.count.to_string()].into_iter().chain(values).map(|cell| format!(" {cell:>CELL$}")).collect()
}
