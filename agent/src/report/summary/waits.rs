//! The threads, metrics and places with the largest intervals, such as waits.

use std::io::Write;

use hashbrown::{HashMap, HashSet};

use super::{COLUMNS, LABEL, ROWS, clean, counted, error_of_place, fit, with_error};
use crate::profile::{Estimate, FrameKind, Profile, Weighted};
use crate::recording::{FrameId, MetricId};
use crate::report::ReportError;
use crate::report::series::{Series, quantity};
use crate::units::{Pid, Tid};

/// The width of the name of a thread with the number of threads.
const THREAD: usize = 19;

/// The key of a line: a thread, a metric and a place.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Wait {
    thread: String,
    metric: MetricId,
    place: String,
}

/// The value of a line, and its threads.
#[derive(Default)]
struct Row {
    estimate: Estimate,
    threads: HashSet<(Pid, Tid)>,
}

impl Row {
    fn add(&mut self, profile: &Profile, sample: &Weighted) {
        let thread = profile.thread(sample.thread);
        self.threads.insert((thread.pid, thread.tid));
        self.estimate.add(sample);
    }
}

/// Writes the waits of a series, with those of all idle threads in one line; nothing if it has no samples.
pub(super) fn table(profile: &Profile, series: &Series, out: &mut dyn Write) -> Result<(), ReportError> {
    let mut waits: HashMap<Wait, Row> = HashMap::new();
    let mut idle = Row::default();
    let mut sum = Estimate::default();
    let places = Places::of(profile);
    for sample in profile.samples.iter().filter(|sample| sample.value > 0.0 && series.metrics.contains(&sample.metric))
    {
        sum.add(sample);
        if profile.folds(sample) {
            idle.add(profile, sample);
            continue;
        }
        let (thread, place) = places.of_sample(profile, sample);
        waits.entry(Wait { thread, metric: sample.metric, place }).or_default().add(profile, sample);
    }
    if waits.is_empty() && idle.threads.is_empty() {
        return Ok(());
    }
    let mut rows: Vec<(Wait, Row)> = waits.into_iter().collect();
    rows.sort_by(|(a, x), (b, y)| y.estimate.value().total_cmp(&x.estimate.value()).then_with(|| a.cmp(b)));
    let unit = series.unit;
    let total = with_error(&sum, profile, unit);
    writeln!(out, "\n{}: {total}", fit(&clean(&series.label), LABEL))?;
    if !rows.is_empty() {
        writeln!(out, "{:>9}  {:<11}{:<THREAD$} {:<11}where", "time", "std. error", "thread", "metric")?;
    }
    for (Wait { thread, metric, place }, row) in rows.into_iter().take(ROWS) {
        let (value, error) = (quantity(row.estimate.value(), unit), error_of_place(&row.estimate, profile, unit));
        let thread = with_count(&thread, row.threads.len());
        let metric = fit(&clean(&profile.metric(metric).label), 10);
        let place = fit(&place, COLUMNS - 33 - THREAD - 1);
        writeln!(out, "{value:>9}  {error:<11}{thread:<THREAD$} {metric:<11}{place}")?;
    }
    if !idle.threads.is_empty() {
        let value = quantity(idle.estimate.value(), unit);
        let error = error_of_place(&idle.estimate, profile, unit);
        let threads = counted(idle.threads.len() as u64, "idle thread");
        writeln!(out, "{value:>9}  {error:<11}{threads}, waiting for work (report --idle lists them)")?;
    }
    Ok(())
}

/// The name of several threads, with their number.
fn with_count(thread: &str, count: usize) -> String {
    let count = if count > 1 { format!(" x{count}") } else { String::new() };
    format!("{}{count}", fit(thread, THREAD.saturating_sub(count.len()).max(2)))
}

/// The place where a thread waits, for each node of the tree of stacks, computed from its caller.
#[derive(Clone, Copy, Default)]
struct Place {
    /// The outermost frame, if it is a label: the thread.
    root: Option<FrameId>,
    /// The innermost function of the process, and the innermost one outside the C library.
    user: Option<FrameId>,
    own_user: Option<FrameId>,
    /// The innermost function of the kernel, and the innermost one outside the scheduler.
    kernel: Option<FrameId>,
    own_kernel: Option<FrameId>,
}

struct Places(Vec<Place>);

impl Places {
    fn of(profile: &Profile) -> Self {
        let mut places: Vec<Place> = Vec::with_capacity(profile.stacks.rows().len());
        for node in profile.stacks.rows() {
            let mut place = node.parent.map_or_else(Place::default, |parent| places[parent.index()]);
            let frame = profile.frame(node.frame);
            let id = Some(node.frame);
            match frame.kind {
                FrameKind::Label if node.parent.is_none() => place.root = id,
                FrameKind::Label => {}
                FrameKind::User => {
                    place.user = id;
                    place.own_user = if is_c_library(&frame.module) { place.own_user } else { id };
                }
                FrameKind::Kernel => {
                    place.kernel = id;
                    place.own_kernel = if is_scheduler(&frame.name) { place.own_kernel } else { id };
                }
            }
            places.push(place);
        }
        Self(places)
    }

    /// The thread, and the place: the innermost function of its own code, and the kernel function in which it waits.
    fn of_sample(&self, profile: &Profile, sample: &Weighted) -> (String, String) {
        let thread = || clean(&profile.thread(sample.thread).comm);
        let Some(stack) = sample.stack else { return (thread(), "[no stack]".to_owned()) };
        let place = self.0[stack.index()];
        let name = |id: FrameId| clean(&profile.frame(id).name);
        let place_name = match (place.own_user.or(place.user), place.own_kernel.or(place.kernel)) {
            (Some(user), Some(kernel)) => format!("{} > {}", name(user), name(kernel)),
            (Some(one), None) | (None, Some(one)) => name(one),
            (None, None) => name(profile.stacks.get(stack).frame),
        };
        (place.root.map_or_else(thread, name), place_name)
    }
}

/// Libraries whose functions show how a thread waits, but not for what.
fn is_c_library(module: &str) -> bool {
    ["libc.so", "libc-", "libpthread", "ld-linux", "ld-musl", "[vdso]"].iter().any(|start| module.starts_with(start))
}

/// Functions of kernel/sched and kernel/time that are in the stack of every sleep.
fn is_scheduler(function: &str) -> bool {
    let function = function.trim_start_matches('_');
    ["schedule", "preempt_schedule", "io_schedule", "cond_resched", "switch_to", "traceiter_sched", "bpf_"]
        .iter()
        .any(|start| function.starts_with(start))
}
