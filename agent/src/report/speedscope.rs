//! The format of speedscope: a `sampled` profile for each probe and unit, with one table of frames.
//!
//! <https://www.speedscope.app/file-format-schema.json>. Each sample is a stack with its total time, since
//! values are estimates without an order in time. If a profile has several metrics, the metric is the root. Idle threads are left out
//! as in the page.

use std::io::{BufWriter, Write};

use hashbrown::HashMap;
use serde::Serialize;

use super::folding::FoldedIdle;
use super::series::{Series, series, series_of_metrics};
use super::sums::{StackSum, caveats, drawn_by_stack, mixes_metrics, stacks, sum_of_stacks, whole};
use super::{ReportError, Sink};
use crate::profile::Profile;
use crate::recording::Unit;
use crate::text;

/// The maximum number of frames of all stacks together: 512 MiB of memory while they are written, and about 400 MB of JSON.
pub(super) const MOST_FRAMES: u64 = 64 << 20;

/// Writes a speedscope file.
pub(super) struct Speedscope;

impl Sink for Speedscope {
    fn write(&self, profile: &Profile, out: &mut dyn Write) -> Result<(), ReportError> {
        let sums = drawn_by_stack(profile);
        if sum_of_stacks(profile, stacks(&sums), |_| 1) > MOST_FRAMES {
            return Err(ReportError::TooLarge { format: "speedscope", most: format!("{MOST_FRAMES} frames") });
        }
        let series = series(&profile.meta);
        let series_of = series_of_metrics(&series, &profile.meta);
        let idle_of = |series: &Series| FoldedIdle::of(profile, series.unit, |metric| series.metrics.contains(&metric));
        let idle: Vec<Option<FoldedIdle>> = series.iter().map(idle_of).collect();
        let idle_labels: Vec<String> =
            idle.iter().map(|idle| idle.as_ref().map_or_else(String::new, FoldedIdle::label)).collect();
        let mut frames = Frames::new(profile);
        let mut profiles = Vec::new();
        for (index, series) in series.iter().enumerate() {
            let sums: Vec<StackSum> =
                sums.iter().filter(|sum| series_of[sum.metric.index()] == index).copied().collect();
            if !sums.is_empty() {
                profiles.push(sampled(profile, series, &sums, &mut frames));
            } else if let Some(idle) = &idle[index] {
                // Nothing else is left, and a file without profiles cannot be opened.
                profiles.push(of_samples(
                    series,
                    vec![vec![frames.label(&idle_labels[index])]],
                    vec![whole(idle.value)],
                ));
            }
        }
        let mut name = vec![profile.meta.host.hostname.clone(), profile.meta.duration.to_string()];
        name.extend(idle.iter().flatten().map(FoldedIdle::caveat));
        name.extend(caveats(profile));
        let file = File {
            schema: "https://www.speedscope.app/file-format-schema.json",
            exporter: concat!("quell ", env!("CARGO_PKG_VERSION")),
            name: name.join("; "),
            active_profile_index: 0,
            shared: Shared { frames: frames.rows },
            profiles,
        };
        let mut out = BufWriter::new(out);
        text::to_json(&mut out, &file)?;
        writeln!(out)?;
        Ok(out.flush()?)
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct File<'a> {
    #[serde(rename = "$schema")]
    schema: &'static str,
    exporter: &'static str,
    name: String,
    active_profile_index: usize,
    shared: Shared<'a>,
    profiles: Vec<Sampled>,
}

#[derive(Serialize)]
struct Shared<'a> {
    frames: Vec<SharedFrame<'a>>,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize)]
struct SharedFrame<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    file: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase", tag = "type", rename = "sampled")]
struct Sampled {
    name: String,
    unit: &'static str,
    start_value: u64,
    end_value: u64,
    samples: Vec<Vec<usize>>,
    weights: Vec<u64>,
}

fn sampled<'a>(profile: &'a Profile, series: &Series, sums: &[StackSum], frames: &mut Frames<'a>) -> Sampled {
    let mixed = mixes_metrics(sums);
    let mut samples = Vec::with_capacity(sums.len());
    let mut weights = Vec::with_capacity(sums.len());
    for sum in sums {
        let mut stack: Vec<usize> = match sum.stack {
            Some(stack) => profile.stacks.frames(stack).map(|id| frames.of(id.index())).collect(),
            None => vec![frames.label("[no stack]")],
        };
        if mixed {
            stack.push(frames.label(&profile.metric(sum.metric).label));
        }
        stack.reverse();
        samples.push(stack);
        weights.push(whole(sum.value));
    }
    of_samples(series, samples, weights)
}

fn of_samples(series: &Series, samples: Vec<Vec<usize>>, weights: Vec<u64>) -> Sampled {
    Sampled {
        name: series.label.clone(),
        unit: match series.unit {
            Unit::Nanoseconds => "nanoseconds",
            Unit::Bytes => "bytes",
            Unit::Count => "none",
        },
        start_value: 0,
        end_value: weights.iter().fold(0, |sum, weight| sum.saturating_add(*weight)),
        samples,
        weights,
    }
}

/// The frames that are used, in the order of their first use.
struct Frames<'a> {
    profile: &'a Profile,
    rows: Vec<SharedFrame<'a>>,
    of: Vec<Option<usize>>,
    index: HashMap<SharedFrame<'a>, usize>,
}

impl<'a> Frames<'a> {
    fn new(profile: &'a Profile) -> Self {
        Self { profile, rows: Vec::new(), of: vec![None; profile.frames.len()], index: HashMap::new() }
    }

    fn of(&mut self, frame: usize) -> usize {
        if let Some(known) = self.of[frame] {
            return known;
        }
        let named = &self.profile.frames[frame];
        let row = self.intern(SharedFrame { name: &named.name, file: &named.module });
        self.of[frame] = Some(row);
        row
    }

    fn label(&mut self, name: &'a str) -> usize {
        self.intern(SharedFrame { name, file: "" })
    }

    fn intern(&mut self, frame: SharedFrame<'a>) -> usize {
        *self.index.entry(frame).or_insert_with(|| {
            self.rows.push(frame);
            self.rows.len() - 1
        })
    }
}
