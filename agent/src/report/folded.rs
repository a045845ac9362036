//! Folded stacks: one line for each stack, outermost frame first, and its time in whole nanoseconds.
//!
//! The form of Brendan Gregg's `stackcollapse` scripts, which `flamegraph.pl`, inferno and speedscope read:
//! `worker;main;read;vfs_read_[k] 1234`. Those tools take the numbers as they are: `--countname ns` makes them say so.
//! Kernel functions end in `_[k]`. Where a profile holds more than one metric, the first frame says which:
//! `on-CPU`, `off-CPU blocked`, `off-CPU preempted`, `off-CPU io-wait`. The form has no room for losses.

use std::collections::BTreeMap;
use std::io::{BufWriter, Write};

use super::sums::{by_stack, metric_label, mixes_metrics, whole_nanos};
use super::{ReportError, Sink};
use crate::profile::{FrameKind, NamedFrame, Profile};

/// Writes folded stacks.
pub(super) struct Folded;

impl Sink for Folded {
    fn write(&self, profile: &Profile, out: &mut dyn Write) -> Result<(), ReportError> {
        let mut out = BufWriter::new(out);
        for line in lines(profile) {
            writeln!(out, "{line}")?;
        }
        Ok(out.flush()?)
    }
}

/// The lines in order of their text, each text once.
pub(super) fn lines(profile: &Profile) -> Vec<String> {
    let sums = by_stack(profile);
    let mixed = mixes_metrics(&sums);
    let names: Vec<String> = profile.frames.iter().map(folded_name).collect();
    let mut texts: BTreeMap<String, f64> = BTreeMap::new();
    let mut frames = Vec::new();
    for sum in &sums {
        frames.clear();
        match sum.stack {
            Some(stack) => frames.extend(profile.stacks.frames(stack).map(|id| names[id.0 as usize].as_str())),
            None => frames.push("[stack not walked]"),
        }
        if mixed {
            frames.push(metric_label(sum.metric));
        }
        frames.reverse();
        // Two stacks may read the same: functions of one name in two modules.
        *texts.entry(frames.join(";")).or_default() += sum.nanos;
    }
    texts
        .into_iter()
        .map(|(text, nanos)| (text, whole_nanos(nanos)))
        .filter(|(_, nanos)| *nanos > 0)
        .map(|(text, nanos)| format!("{text} {nanos}"))
        .collect()
}

/// A name without the characters that mean something between names.
fn folded_name(frame: &NamedFrame) -> String {
    let mut name: String = frame
        .name
        .chars()
        .map(|char| match char {
            ';' => ':',
            char if char.is_control() => ' ',
            char => char,
        })
        .collect();
    if name.is_empty() {
        name.push_str("[unnamed]");
    }
    if frame.kind == FrameKind::Kernel {
        name.push_str("_[k]");
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
        assert_eq!(name("two\nlines", FrameKind::Label), "two lines");
        assert_eq!(name("schedule", FrameKind::Kernel), "schedule_[k]");
        assert_eq!(name("", FrameKind::Label), "[unnamed]");
    }
}
