//! A short text summary of a profile: the time by function, the losses, and the cost of the capture.

mod capture;
mod exact;
mod function_estimates;
mod functions;
mod histograms;
mod json;
mod losses;
mod page;
mod processes;
#[cfg(test)]
mod tests;
mod waits;

use std::io::Write;

pub use json::summary_json;
use page::Page;
pub use page::{Style, Width};

use super::ReportError;
use super::series::{quantity, series};
use crate::profile::{Estimate, Profile};
use crate::recording::Unit;
use crate::text;

/// The maximum number of lines of a table.
const ROWS: usize = 10;

/// The maximum width of the label of a probe or metric.
const LABEL: usize = 40;

/// The column where the text after a title begins.
const TITLE: usize = 10;

/// Writes a summary of `profile`.
///
/// # Errors
/// `out` cannot be written.
pub fn summary(profile: &Profile, width: Width, style: Style, out: &mut dyn Write) -> Result<(), ReportError> {
    let page = &mut Page::new(out, width, style);
    capture::header(&profile.meta, page)?;
    if let Some(part) = profile.window.in_words() {
        page.item("part", &format!("{part} after the start of the capture (intervals are divided at its ends)"))?;
    }
    let all = series(&profile.meta);
    processes::table(profile, &all, page)?;
    for probe in &profile.meta.probes {
        let of_probe = |metric| profile.metric(metric).probe == probe.name;
        for series in all.iter().filter(|series| series.metrics.iter().any(|metric| of_probe(*metric))) {
            let has_samples = match series.has_intervals(&profile.meta) {
                true => waits::table(profile, series, page)?,
                false => functions::table(profile, series, page)?,
            };
            exact::totals(profile, series, page)?;
            if has_samples {
                losses::beside_figures(profile, page)?;
            }
        }
        histograms::table(profile, probe, page)?;
    }
    let is_empty = profile.samples.iter().all(|sample| sample.value == 0.0);
    if is_empty && profile.counters.is_empty() && profile.histograms.is_empty() {
        page.gap()?;
        page.line("no samples: this capture has none for the selected threads, probes and times")?;
    }
    page.gap()?;
    capture::footer(profile, page)
}

/// A count with its noun: `1 sample`, `2 samples`.
fn counted(count: u64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// The standard error of the samples at a place.
fn error_of_place(sum: &Estimate, profile: &Profile, unit: Unit) -> String {
    match sum.error_of_place(&profile.groups) {
        0.0 => "counted".to_owned(),
        error => format!("± {}", quantity(error, unit)),
    }
}

/// A sum, with its standard error if it has one.
fn with_error(sum: &Estimate, profile: &Profile, unit: Unit) -> String {
    let value = quantity(sum.value(), unit);
    let error = match profile.window.in_words() {
        None => sum.error(&profile.groups),
        Some(_) => sum.error_of_place(&profile.groups),
    };
    match error {
        0.0 => value,
        error => format!("{value} ± {}", quantity(error, unit)),
    }
}

/// A name in one line of visible characters.
fn clean(text: &str) -> String {
    text::shown(text).into_owned()
}

/// The label of a probe or metric.
fn label(text: &str) -> String {
    text::shortened(&text::shown(text), LABEL).into_owned()
}
