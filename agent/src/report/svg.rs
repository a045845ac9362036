//! A flame graph as SVG, drawn by inferno. Widths are values of one unit. If a profile has several metrics, each is a root.

use std::io::Write;

use inferno::flamegraph::color::{MultiPalette, Palette};
use inferno::flamegraph::{Options, TextTruncateDirection, from_lines};

use super::series::{Series, series};
use super::sums::{StackSum, by_stack, caveats};
use super::{ReportError, Sink, folded};
use crate::profile::Profile;
use crate::recording::Unit;
use crate::text;
use crate::units::Bytes;

/// The maximum size of folded stacks for a flame graph, in bytes: it is drawn in memory, and browsers cannot open larger ones.
const MOST: Bytes = Bytes(256 << 20);

/// Writes a flame graph.
pub(super) struct Svg;

impl Sink for Svg {
    fn write(&self, profile: &Profile, out: &mut dyn Write) -> Result<(), ReportError> {
        let (unit, sums) = of_one_unit(profile);
        let mut lines = folded::lines(profile, &sums, "svg", MOST)?;
        if lines.is_empty() {
            return Err(encode("the selection has no samples".to_owned()));
        }
        // In the order that inferno uses, which includes the values.
        lines.sort_unstable();
        // Names are escaped, and inferno escapes markup. The result is first written to memory, so that an error of inferno can
        // be distinguished from an error of `out`.
        let mut picture = Vec::new();
        let lines: Vec<_> = lines.iter().map(|line| text::xml(line)).collect();
        from_lines(&mut options(profile, unit, &sums), lines.iter().map(AsRef::as_ref), &mut picture)
            .map_err(|error| encode(error.to_string()))?;
        Ok(out.write_all(&picture)?)
    }
}

fn encode(why: String) -> ReportError {
    ReportError::Encode { format: "svg", why }
}

/// The sums to draw: those of the first unit that has any, since widths of different units are not comparable.
fn of_one_unit(profile: &Profile) -> (Unit, Vec<StackSum>) {
    let mut sums = by_stack(profile);
    let unit_of = |sum: &StackSum| profile.metric(sum.metric).unit;
    let unit = sums.iter().map(unit_of).min().unwrap_or(Unit::Nanoseconds);
    sums.retain(|sum| unit_of(sum) == unit);
    (unit, sums)
}

fn options(profile: &Profile, unit: Unit, sums: &[StackSum]) -> Options<'static> {
    let meta = &profile.meta;
    let is_drawn =
        |series: &&Series| series.unit == unit && sums.iter().any(|sum| series.metrics.contains(&sum.metric));
    let series = series(meta);
    let drawn: Vec<&str> = series.iter().filter(is_drawn).map(|series| series.label.as_str()).collect();
    let mut options = Options::default();
    let title = format!("{}: {}, {}", meta.host.hostname, drawn.join(" and "), meta.duration);
    options.title = text::xml(&title).into_owned();
    let mut caveats = caveats(profile);
    for other in series.iter().filter(|series| series.unit != unit) {
        if profile.samples.iter().any(|sample| sample.value > 0.0 && other.metrics.contains(&sample.metric)) {
            caveats.push(format!("{} has another unit and is not included", other.label));
        }
    }
    options.subtitle = Some(text::xml(&caveats.join("; ")).into_owned()).filter(|text| !text.is_empty());
    // Kernel functions are coloured by the suffix `_[k]`, and others by language. The colour depends only on the name, so that
    // a function has the same colour in all flame graphs.
    options.colors = Palette::Multi(MultiPalette::Java);
    options.deterministic = true;
    options.hash = true;
    (options.count_name, options.factor) = match unit {
        Unit::Nanoseconds => ("us".to_owned(), 1e-3),
        Unit::Bytes => ("bytes".to_owned(), 1.0),
        Unit::Count => ("times".to_owned(), 1.0),
    };
    options.no_sort = true;
    options.text_truncate_direction = TextTruncateDirection::Right;
    options
}
