//! A flame graph as one SVG, drawn by inferno. Widths are time; where a profile holds several metrics, each is a root.

use std::io::Write;

use inferno::flamegraph::color::{MultiPalette, Palette};
use inferno::flamegraph::{Options, TextTruncateDirection, from_lines};

use super::sums::caveats;
use super::{ReportError, Sink, folded};
use crate::profile::{Metric, Profile};
use crate::text;
use crate::units::Bytes;

/// The most bytes of folded stacks in a picture: it is drawn in memory, and no browser opens a larger one.
const MOST: Bytes = Bytes(256 << 20);

/// Writes a flame graph.
pub(super) struct Svg;

impl Sink for Svg {
    fn write(&self, profile: &Profile, out: &mut dyn Write) -> Result<(), ReportError> {
        let mut lines = folded::lines(profile, "svg", MOST)?;
        if lines.is_empty() {
            return Err(encode("there is no sample to draw".to_owned()));
        }
        // As inferno compares them: with their numbers.
        lines.sort_unstable();
        // Names are clean, and inferno escapes markup. Written to memory first: what inferno reports is then its own failure, not that of `out`.
        let mut picture = Vec::new();
        let lines: Vec<_> = lines.iter().map(|line| text::xml(line)).collect();
        from_lines(&mut options(profile), lines.iter().map(AsRef::as_ref), &mut picture)
            .map_err(|error| encode(error.to_string()))?;
        Ok(out.write_all(&picture)?)
    }
}

fn encode(why: String) -> ReportError {
    ReportError::Encode { format: "svg", why }
}

fn options(profile: &Profile) -> Options<'static> {
    let meta = &profile.meta;
    let any =
        |wanted: fn(Metric) -> bool| profile.samples.iter().any(|sample| sample.value > 0.0 && wanted(sample.metric));
    let time = match (any(|metric| metric == Metric::OnCpu), any(|metric| metric != Metric::OnCpu)) {
        (true, false) => "on-CPU time",
        (false, true) => "off-CPU time",
        _ => "on-CPU and off-CPU time",
    };
    let mut options = Options::default();
    options.title = text::xml(&format!("{}: {time}, {}", meta.host.hostname, meta.duration)).into_owned();
    let subtitle = caveats(profile).join("; ");
    options.subtitle = Some(text::xml(&subtitle).into_owned()).filter(|text| !text.is_empty());
    // Kernel functions by their `_[k]`, all else by language; from the name alone, so that a function keeps its colour
    // from one picture to the next.
    options.colors = Palette::Multi(MultiPalette::Java);
    options.deterministic = true;
    options.hash = true;
    options.count_name = "us".to_owned();
    options.factor = 1e-3;
    options.no_sort = true;
    options.text_truncate_direction = TextTruncateDirection::Right;
    options
}
