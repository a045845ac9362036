//! Folded stacks: a line for each metric and stack, `METRIC;THREAD;FRAME;...;FRAME VALUE`.
//!
//! The format of Brendan Gregg's `stackcollapse` scripts, which `flamegraph.pl`, inferno and speedscope read:
//! `On-CPU;worker;main;read;vfs_read_[k] 1234`. All lines have this form, whatever the profile contains:
//!
//! - The first frame is the metric: the label of the probe, followed by the label of the metric if the probe has several, such as
//!   `On-CPU` and `Off-CPU blocked`. A metric that is not a time has its unit: `Heap allocated [bytes]`.
//! - The second frame is the thread: its name, with its TID if threads are separate.
//! - The other frames are functions, outermost first, or a label such as `[no stack]`. Kernel functions end in `_[k]`.
//! - The value is a whole number, in the unit of the metric: nanoseconds for times.
//!
//! The format cannot contain losses.

use std::collections::BTreeMap;
use std::io::{BufWriter, Write};

use super::sums::{by_stack, metric_label, stacks, sum_of_stacks, whole};
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
        for (stack, value) in lines(profile)? {
            writeln!(out, "{stack} {value}")?;
        }
        Ok(out.flush()?)
    }
}

/// The stacks with their values, sorted by text, each text once; an error if they exceed [`MOST`].
fn lines(profile: &Profile) -> Result<impl Iterator<Item = (String, u64)>, ReportError> {
    let sums = by_stack(profile);
    let metrics: Vec<String> = (0..profile.meta.metrics.len())
        .map(|metric| folded_text(&metric_label(profile, MetricId::from_index(metric))))
        .collect();
    let names: Vec<String> = profile.frames.iter().map(folded_name).collect();
    if sum_of_stacks(profile, stacks(&sums), |frame| names[frame.index()].len() as u64 + 1) > MOST.0 {
        return Err(ReportError::TooLarge { format: "folded", most: MOST.to_string() });
    }
    let mut texts: BTreeMap<String, f64> = BTreeMap::new();
    let mut frames = Vec::new();
    for sum in &sums {
        frames.clear();
        match sum.stack {
            Some(stack) => frames.extend(profile.stacks.frames(stack).map(|id| names[id.index()].as_str())),
            None => frames.push("[no stack]"),
        }
        frames.push(&metrics[sum.metric.index()]);
        frames.reverse();
        // Two stacks may have the same text, such as functions with the same name in two modules.
        *texts.entry(frames.join(";")).or_default() += sum.value;
    }
    // Readers add up the values of the lines in 64 bits.
    let most_each = (1 << 62) / (texts.len() as u64).max(1);
    let whole = move |(text, value)| (text, whole(value).min(most_each));
    Ok(texts.into_iter().map(whole).filter(|(_, value)| *value > 0))
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
    use crate::profile::{Selection, build};
    use crate::recording::Sample;
    use crate::recording::example::{BLOCKED, CPU, Example};
    use crate::units::Nanos;

    fn folded(example: &Example) -> String {
        let mut out = Vec::new();
        Folded.write(&build(&example.recording, &Selection::default()), &mut out).expect("memory");
        String::from_utf8(out).expect("UTF-8")
    }

    /// A reader of the lines need not know which metrics there are.
    #[test]
    fn a_line_begins_with_its_metric_and_thread_whatever_other_lines_there_are() {
        let mut example = Example::new();
        let thread = example.thread(7, 7, "server");
        let stack = example.stack("app main");
        example.sample(CPU, thread, stack, 5);
        assert_eq!(folded(&example), "On-CPU;server;main 5\n");
        let without_stack = Sample::new(example.metric(BLOCKED), thread, Nanos(0), 7);
        example.recording.samples.push(without_stack);
        assert_eq!(folded(&example), "Off-CPU blocked;server;[no stack] 7\nOn-CPU;server;main 5\n");
    }

    #[test]
    fn a_name_cannot_break_its_line() {
        let name = |text: &str, kind| {
            folded_name(&NamedFrame { name: text.to_owned(), module: String::new(), kind, has_symbol: true })
        };
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
