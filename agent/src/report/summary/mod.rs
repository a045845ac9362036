//! A short text summary of a profile: the time by function, the losses, and the cost of the capture.

mod capture;
mod exact;
mod functions;
mod histograms;
#[cfg(test)]
mod tests;
mod waits;

use std::io::Write;

use super::ReportError;
use super::series::{quantity, series};
use crate::profile::{Estimate, Profile};
use crate::recording::Unit;
use crate::text::{self, Shown};

/// The maximum number of lines of a table.
const ROWS: usize = 10;

/// The maximum width of a line.
const COLUMNS: usize = 100;

/// The maximum width of the label of a probe or metric.
const LABEL: usize = 40;

/// The column where the text after a title begins.
const TITLE: usize = 10;

/// Writes a summary of `profile`: at most 100 columns wide, without colours.
///
/// # Errors
/// `out` cannot be written.
pub fn summary(profile: &Profile, out: &mut dyn Write) -> Result<(), ReportError> {
    // Each name is escaped where it is printed, so that it cannot break its line. This writer is a safeguard.
    let out = &mut Shown::new(out);
    capture::header(&profile.meta, out)?;
    if let Some(part) = profile.window.in_words() {
        line("part", &format!("{part} after the start of the capture (intervals are divided at its ends)"), out)?;
    }
    let all = series(&profile.meta);
    for probe in &profile.meta.probes {
        let of_probe = |metric| profile.metric(metric).probe == probe.name;
        for series in all.iter().filter(|series| series.metrics.iter().any(|metric| of_probe(*metric))) {
            match series.has_intervals(&profile.meta) {
                true => waits::table(profile, series, out)?,
                false => functions::table(profile, series, out)?,
            }
            exact::totals(profile, series, out)?;
        }
        histograms::table(profile, probe, out)?;
    }
    let is_empty = profile.samples.iter().all(|sample| sample.value == 0.0);
    if is_empty && profile.counters.is_empty() && profile.histograms.is_empty() {
        writeln!(out, "\nno samples: this capture has none for the selected threads, probes and times")?;
    }
    writeln!(out)?;
    capture::footer(&profile.meta, out)
}

/// Writes a wrapped text with a title on the left.
fn line(title: &str, text: &str, out: &mut dyn Write) -> Result<(), ReportError> {
    let words: Vec<&str> = text.split_whitespace().collect();
    Ok(writeln!(out, "{title:<TITLE$}{}", text::wrapped(&words.join(" "), TITLE, COLUMNS))?)
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

/// Truncates `text` to `width` characters.
fn fit(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    text.chars().take(width - 1).chain(['…']).collect()
}
