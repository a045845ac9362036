//! Distributions: a line for each metric, and for each of its worst scopes.

use std::io::Write;

use super::{COLUMNS, clean, fit};
use crate::profile::Profile;
use crate::recording::{ProbeFacts, Unit};
use crate::report::ReportError;
use crate::report::distribution::{Distribution, distributions};
use crate::report::series::quantity;

/// The number of scopes of each kind in the table: those with the highest 99th percentile.
const WORST: usize = 3;

/// The maximum width of the name of a metric or scope.
const NAME: usize = 40;

/// Writes the distributions of the metrics of a probe; nothing if it has none.
pub(super) fn table(profile: &Profile, probe: &ProbeFacts, out: &mut dyn Write) -> Result<(), ReportError> {
    let all: Vec<_> = distributions(profile)
        .into_iter()
        .filter(|distribution| profile.metric(distribution.metric).probe == probe.name)
        .collect();
    if all.is_empty() {
        return Ok(());
    }
    let title = format!("{}, distribution", fit(&clean(&probe.label), NAME - 14));
    writeln!(
        out,
        "\n{title:<NAME$}{:>10}{:>10}{:>10}{:>10}{:>10}{:>10}",
        "count", "p50", "p90", "p99", "p99.9", "max"
    )?;
    for metric in all {
        let facts = profile.metric(metric.metric);
        row(&clean(&facts.label), &metric.total, facts.unit, out)?;
        for scopes in metric.by_kind.iter().filter(|scopes| scopes.len() > 1) {
            for scope in scopes.iter().take(WORST) {
                row(&format!("  {}", clean(&scope.name)), &scope.distribution, facts.unit, out)?;
            }
        }
    }
    Ok(())
}

fn row(name: &str, distribution: &Distribution, unit: Unit, out: &mut dyn Write) -> Result<(), ReportError> {
    let values = distribution.quantiles.into_iter().chain([distribution.max]).map(|value| quantity(value as f64, unit));
    let cells: String =
        [distribution.count.to_string()].into_iter().chain(values).map(|cell| format!(" {cell:>9}")).collect();
    Ok(writeln!(out, "{}", fit(&format!("{:<NAME$}{cells}", fit(name, NAME)), COLUMNS))?)
}
