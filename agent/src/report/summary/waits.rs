//! The threads, metrics and places with the largest intervals, such as waits.

use hashbrown::{HashMap, HashSet};

use super::page::column;
use super::{Page, ROWS, clean, counted, error_of_place, label, with_error};
use crate::profile::{Estimate, FrameKind, Profile, Weighted};
use crate::recording::{FrameId, MetricId, ThreadKey};
use crate::report::ReportError;
use crate::report::libraries::is_c_library;
use crate::report::series::{Series, quantity};

/// The most characters of the name of a thread, if names must be shortened: enough for the longest name with its TID.
const THREAD: usize = 25;

/// The most characters of the label of a metric.
const METRIC: usize = 16;

/// The key of a line: a thread, a metric and a place.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Wait {
    pub(super) thread: String,
    pub(super) metric: MetricId,
    pub(super) place: String,
}

/// The values of a line.
#[derive(Default)]
pub(super) struct Waited {
    pub(super) sum: Estimate,
    /// The threads: the time is the sum of theirs.
    pub(super) threads: HashSet<ThreadKey>,
}

/// The waits of a series.
pub(super) struct Waits {
    pub(super) all: Waited,
    /// In descending order of the time.
    pub(super) rows: Vec<(Wait, Waited)>,
    /// The sleeps of all idle threads, which have no rows.
    pub(super) idle: Waited,
}

impl Waits {
    /// The waits of a series; `None` if it has no samples.
    pub(super) fn of(profile: &Profile, series: &Series) -> Option<Self> {
        let mut waits: HashMap<Wait, Waited> = HashMap::new();
        let (mut all, mut idle) = (Waited::default(), Waited::default());
        let places = Places::of(profile);
        let is_of_series = |metric| series.metrics.contains(&metric);
        for sample in profile.samples.iter().filter(|sample| sample.value > 0.0 && is_of_series(sample.metric)) {
            let waited = if profile.folds(sample) {
                &mut idle
            } else {
                let (thread, place) = places.of_sample(profile, sample);
                waits.entry(Wait { thread, metric: sample.metric, place }).or_default()
            };
            for waited in [waited, &mut all] {
                waited.sum.add(sample);
                waited.threads.insert(profile.thread(sample.thread).key());
            }
        }
        let mut rows: Vec<(Wait, Waited)> = waits.into_iter().collect();
        rows.sort_by(|(a, x), (b, y)| y.sum.value().total_cmp(&x.sum.value()).then_with(|| a.cmp(b)));
        (!all.threads.is_empty()).then_some(Self { all, rows, idle })
    }
}

/// Writes the waits of a series, with those of all idle threads in one line, and returns whether it has samples; nothing without
/// samples.
pub(super) fn table(profile: &Profile, series: &Series, page: &mut Page<'_>) -> Result<bool, ReportError> {
    let Some(Waits { all, mut rows, idle }) = Waits::of(profile, series) else { return Ok(false) };
    rows.truncate(ROWS);
    let unit = series.unit;
    let total = with_error(&all.sum, profile, unit);
    page.gap()?;
    let beside = format!(": {total} of {}", counted(all.threads.len() as u64, "thread"));
    page.heading(&label(&series.label), &beside)?;
    let cells = |title: &'static str, cell: &dyn Fn(&(Wait, Waited)) -> String, most: Option<usize>| {
        let texts: Vec<String> = [title.to_owned()].into_iter().chain(rows.iter().map(cell)).collect();
        column(texts.iter().map(String::as_str), most)
    };
    let shortens = page.room(0).is_some();
    let (threads, thread_width) = cells("thread", &|(wait, _)| wait.thread.clone(), shortens.then_some(THREAD));
    let metric_label = |wait: &Wait| clean(&profile.metric(wait.metric).label);
    let (metrics, metric_width) = cells("metric", &|(wait, _)| metric_label(wait), shortens.then_some(METRIC));
    let room = page.room(9 + 2 + 11 + 7 + 2 + thread_width + 2 + metric_width + 2);
    let (places, _) = cells("where", &|(wait, _)| wait.place.clone(), room);
    let numbers = |Waited { sum, threads }: &Waited| {
        let time = quantity(sum.value(), unit);
        format!("{time:>9}  {:<11}{:>7}", error_of_place(sum, profile, unit), threads.len())
    };
    let titles = format!("{:>9}  {:<11}{:>7}", "time", "std. error", "threads");
    let rows = rows.iter().map(|(_, waited)| numbers(waited));
    let names = threads.iter().zip(&metrics).zip(&places);
    for (numbers, ((thread, metric), place)) in [titles].into_iter().chain(rows).zip(names) {
        page.line(&format!("{numbers}  {thread:<thread_width$}  {metric:<metric_width$}  {place}"))?;
    }
    if !idle.threads.is_empty() {
        let threads = if idle.threads.len() == 1 { "idle thread" } else { "idle threads" };
        page.line(&format!("{}  {threads} (report --idle lists them)", numbers(&idle)))?;
    }
    Ok(true)
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

/// Functions of kernel/sched and kernel/time that are in the stack of every sleep.
fn is_scheduler(function: &str) -> bool {
    let function = function.trim_start_matches('_');
    ["schedule", "preempt_schedule", "io_schedule", "cond_resched", "switch_to", "traceiter_sched", "bpf_"]
        .iter()
        .any(|start| function.starts_with(start))
}
