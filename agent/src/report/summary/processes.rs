//! The processes with the largest values, if there are several.

use hashbrown::{HashMap, HashSet};

use super::page::column;
use super::{Page, ROWS, label};
use crate::profile::Profile;
use crate::recording::{Process, ProcessIdx, ThreadKey, Unit};
use crate::report::ReportError;
use crate::report::series::{Series, quantity};
use crate::text;

/// The number of processes in the table.
const SHOWN: usize = ROWS / 2;

/// The maximum number of columns with times in the table, and their width.
const TIMES: usize = 2;
const TIME: usize = 9;

/// The most characters of the name of a process and of a user, if names must be shortened.
const NAME: usize = 24;
const USER: usize = 8;

/// The width of a container ID, as runtimes print it.
const CONTAINER: usize = 12;

/// What a process used.
#[derive(Default)]
pub(super) struct Used {
    pub(super) threads: HashSet<ThreadKey>,
    /// The time of each series, in nanoseconds.
    pub(super) times: Vec<f64>,
}

/// The processes with times, without sleeps of idle threads if these are folded.
pub(super) struct Processes<'a> {
    /// The series of times that have samples.
    pub(super) series: Vec<&'a Series>,
    /// In descending order of the time of the first series, then of the next one.
    pub(super) rows: Vec<(ProcessIdx, Used)>,
}

impl<'a> Processes<'a> {
    /// The processes of a profile.
    pub(super) fn of(profile: &Profile, all: &'a [Series]) -> Self {
        let has_times = |series: &&Series| {
            let has_samples = profile.samples.iter().any(|sample| series.metrics.contains(&sample.metric));
            series.unit == Unit::Nanoseconds && has_samples
        };
        let series: Vec<&Series> = all.iter().filter(has_times).collect();
        let mut rows: HashMap<ProcessIdx, Used> = HashMap::new();
        for sample in profile.samples.iter().filter(|sample| sample.value > 0.0 && !profile.folds(sample)) {
            if let Some(place) = series.iter().position(|series| series.metrics.contains(&sample.metric)) {
                let thread = profile.thread(sample.thread);
                let used = rows.entry(thread.process).or_default();
                used.times.resize(series.len(), 0.0);
                used.threads.insert(thread.key());
                used.times[place] += sample.value;
            }
        }
        let mut rows: Vec<(ProcessIdx, Used)> = rows.into_iter().collect();
        rows.sort_by(|(a, x), (b, y)| {
            let times = x.times.iter().zip(&y.times).map(|(x, y)| y.total_cmp(x));
            times.reduce(std::cmp::Ordering::then).unwrap_or(std::cmp::Ordering::Equal).then(a.cmp(b))
        });
        Self { series, rows }
    }
}

/// Writes the processes with the largest times; nothing if there is only one.
pub(super) fn table(profile: &Profile, all: &[Series], page: &mut Page<'_>) -> Result<(), ReportError> {
    let Processes { series, mut rows } = Processes::of(profile, all);
    if rows.len() < 2 {
        return Ok(());
    }
    page.gap()?;
    page.heading("Processes", &format!(": {}", rows.len()))?;
    rows.truncate(SHOWN);
    let cells = |title: &str, cell: &dyn Fn(&Process) -> String, most: Option<usize>| {
        let texts = rows.iter().map(|(id, _)| cell(profile.process(*id)));
        let texts: Vec<String> = [title.to_owned()].into_iter().chain(texts).collect();
        column(texts.iter().map(String::as_str), most)
    };
    let titles = series.iter().take(TIMES).map(|series| text::shortened(&label(&series.label), TIME).into_owned());
    let titles: String = titles.map(|title| format!("{title:>TIME$} ")).collect();
    let titles = format!("{titles}{:>7} {:>8}", "threads", "PID");
    let shortens = page.room(0).is_some();
    let (users, user_width) = cells("user", &user, shortens.then_some(USER));
    let (containers, container_width) = cells("container", &container, None);
    let room = page.room(titles.len() + 2 + 2 + user_width + 2 + container_width);
    let names = rows.iter().map(|(id, _)| profile.process_name(*id));
    let (names, name_width) = column(["process"].into_iter().chain(names), room.map(|room| room.min(NAME)));
    let numbers = rows.iter().map(|(id, Used { threads, times })| {
        let time = |time: &f64| if *time > 0.0 { quantity(*time, Unit::Nanoseconds) } else { String::new() };
        let times: String = times.iter().take(TIMES).map(|value| format!("{:>TIME$} ", time(value))).collect();
        format!("{times}{:>7} {:>8}", threads.len(), profile.process(*id).pid)
    });
    let texts = names.iter().zip(&users).zip(&containers);
    for (numbers, ((name, user), container)) in [titles].into_iter().chain(numbers).zip(texts) {
        page.line(&format!("{numbers}  {name:<name_width$}  {user:<user_width$}  {container}"))?;
    }
    Ok(())
}

/// The name of the user of a process, or else its UID; empty if it is unknown.
fn user(process: &Process) -> String {
    process.user_name.clone().or_else(|| Some(process.user?.to_string())).unwrap_or_default()
}

/// The first digits of the container ID.
fn container(process: &Process) -> String {
    process.container.as_deref().unwrap_or_default().chars().take(CONTAINER).collect()
}
