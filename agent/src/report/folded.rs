//! Folded stacks: a line for each stack, outermost frame first, with its value in whole nanoseconds, unless the first frame
//! contains another unit.
//!
//! The format of Brendan Gregg's `stackcollapse` scripts, which `flamegraph.pl`, inferno and speedscope read:
//! `worker;main;read;vfs_read_[k] 1234`. For these tools, use `--countname ns`.
//! Kernel functions end in `_[k]`. If a profile has several metrics, the first frame is the metric: the label of the probe,
//! followed by the label of the metric if the probe has several, such as `On-CPU` and `Off-CPU blocked`. The format cannot
//! contain losses.

use std::collections::BTreeMap;
use std::io::{BufWriter, Write};

use super::sums::{StackSum, by_stack, metric_label, mixes_metrics, stacks, sum_of_stacks, whole};
use super::{ReportError, Sink};
use crate::profile::{FrameKind, NamedFrame, Profile};
use crate::recording::MetricId;
use crate::text;
use crate::units::Bytes;

/// The maximum size of the lines in bytes. They are sorted in memory. A large capture with half a million distinct stacks has 600 MB.
const MOST: Bytes = Bytes(1 << 30);

/// Writes folded stacks.
pub(super) struct Folded;

impl Sink for Folded {
    fn write(&self, profile: &Profile, out: &mut dyn Write) -> Result<(), ReportError> {
        let mut out = BufWriter::new(out);
        for line in lines(profile, &by_stack(profile), "folded", MOST)? {
            writeln!(out, "{line}")?;
        }
        Ok(out.flush()?)
    }
}

/// The lines, sorted by text, each text once; an error if they exceed `most`.
pub(super) fn lines(
    profile: &Profile,
    sums: &[StackSum],
    format: &'static str,
    most: Bytes,
) -> Result<Vec<String>, ReportError> {
    let mixed = mixes_metrics(sums);
    let metrics: Vec<String> = (0..profile.meta.metrics.len())
        .map(|metric| folded_text(&metric_label(profile, MetricId::from_index(metric))))
        .collect();
    let names: Vec<String> = profile.frames.iter().map(folded_name).collect();
    if sum_of_stacks(profile, stacks(sums), |frame| names[frame.index()].len() as u64 + 1) > most.0 {
        return Err(ReportError::TooLarge { format, most: most.to_string() });
    }
    let mut texts: BTreeMap<String, f64> = BTreeMap::new();
    let mut frames = Vec::new();
    for sum in sums {
        frames.clear();
        match sum.stack {
            Some(stack) => frames.extend(profile.stacks.frames(stack).map(|id| names[id.index()].as_str())),
            None => frames.push("[no stack]"),
        }
        if mixed {
            frames.push(&metrics[sum.metric.index()]);
        }
        frames.reverse();
        // Two stacks may have the same text, such as functions with the same name in two modules.
        *texts.entry(frames.join(";")).or_default() += sum.value;
    }
    // Readers add up the values of the lines in 64 bits.
    let most_each = (1 << 62) / (texts.len() as u64).max(1);
    let lines = texts
        .into_iter()
        .map(|(text, value)| (text, whole(value).min(most_each)))
        .filter(|(_, value)| *value > 0)
        .map(|(text, value)| format!("{text} {value}"));
    Ok(lines.collect())
}

/// A name without separators, and without text that has a meaning at the start or end of a line: readers trim lines, skip lines
/// that begin with `# `, and take a second number at the end as the other side of a comparison.
fn folded_name(frame: &NamedFrame) -> String {
    let mut name = folded_text(&frame.name);
    if frame.kind == FrameKind::Kernel {
        name.push_str("_[k]");
    }
    name
}

fn folded_text(text: &str) -> String {
    let mut name = text::shown(text).replace(';', ":");
    if name.is_empty() {
        name.push_str("[unnamed]");
    }
    let is_number = |word: &str| word.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    if let Some(space) = name.rfind(' ').filter(|space| is_number(&name[space + 1..])) {
        name.replace_range(space..=space, "_");
    }
    for start in [" ", "# "] {
        if name.starts_with(start) {
            name.replace_range(start.len() - 1..start.len(), "_");
        }
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_break_its_line() {
        let name = |text: &str, kind| folded_name(&NamedFrame { name: text.to_owned(), module: String::new(), kind });
        assert_eq!(name("<[u8; 4] as Read>::read", FrameKind::User), "<[u8: 4] as Read>::read");
        assert_eq!(name("two\nlines", FrameKind::Label), r"two\u000alines");
        assert_eq!(name(" z", FrameKind::Label), "_z");
        assert_eq!(name("# z", FrameKind::Label), "#_z");
        assert_eq!(name("core 5", FrameKind::Label), "core_5");
        assert_eq!(name("z ", FrameKind::Label), "z_");
        assert_eq!(name("operator new", FrameKind::User), "operator new");
        assert_eq!(name("schedule", FrameKind::Kernel), "schedule_[k]");
        assert_eq!(name("", FrameKind::Label), "[unnamed]");
    }
}
