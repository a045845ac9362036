//! The processes with the largest values, if there are several.

use std::io::Write;

use hashbrown::{HashMap, HashSet};

use super::{clean, fit, line};
use crate::profile::Profile;
use crate::recording::{Process, ProcessIdx, Unit};
use crate::report::ReportError;
use crate::report::series::{Series, quantity};
use crate::units::Tid;

/// The number of processes in the table.
const SHOWN: usize = 5;

/// The maximum number of columns with times.
const TIMES: usize = 3;

/// The maximum widths of the name of a process and of a user, and the width of a container ID, as runtimes print it.
const NAME: usize = 24;
const USER: usize = 15;
const CONTAINER: usize = 12;

/// What a process used.
#[derive(Default)]
struct Row {
    threads: HashSet<Tid>,
    times: [f64; TIMES],
}

/// Writes the processes with the largest times; nothing if there is only one. Idle sleeps are not included if they are folded.
pub(super) fn table(profile: &Profile, all: &[Series], out: &mut dyn Write) -> Result<(), ReportError> {
    let timed = |series: &&Series| {
        let has_samples = profile.samples.iter().any(|sample| series.metrics.contains(&sample.metric));
        series.unit == Unit::Nanoseconds && has_samples
    };
    let columns: Vec<&Series> = all.iter().filter(timed).take(TIMES).collect();
    let mut rows: HashMap<ProcessIdx, Row> = HashMap::new();
    for sample in profile.samples.iter().filter(|sample| sample.value > 0.0 && !profile.folds(sample)) {
        let column = columns.iter().position(|series| series.metrics.contains(&sample.metric));
        if let Some(column) = column {
            let thread = profile.thread(sample.thread);
            let row = rows.entry(thread.process).or_default();
            row.threads.insert(thread.tid);
            row.times[column] += sample.value;
        }
    }
    if rows.len() < 2 {
        return Ok(());
    }
    let mut rows: Vec<(ProcessIdx, Row)> = rows.into_iter().collect();
    rows.sort_by(|(a, x), (b, y)| {
        let times = x.times.iter().zip(&y.times).map(|(x, y)| y.total_cmp(x));
        times.reduce(std::cmp::Ordering::then).unwrap_or(std::cmp::Ordering::Equal).then(a.cmp(b))
    });
    write!(out, "\n{:<NAME$} {:>8}  {:<USER$} {:<CONTAINER$} {:>7}", "process", "PID", "user", "container", "threads")?;
    for series in &columns {
        write!(out, " {:>9}", fit(&clean(&series.label), 9))?;
    }
    writeln!(out)?;
    let more = rows.len().saturating_sub(SHOWN);
    for (id, row) in rows.iter().take(SHOWN) {
        let process = profile.process(*id);
        let name = fit(&clean(profile.process_name(*id)), NAME);
        let (user, container) = (fit(&clean(&user(process)), USER), container(process));
        write!(
            out,
            "{name:<NAME$} {:>8}  {user:<USER$} {container:<CONTAINER$} {:>7}",
            process.pid,
            row.threads.len()
        )?;
        for time in row.times.iter().take(columns.len()) {
            let time = if *time > 0.0 { quantity(*time, Unit::Nanoseconds) } else { String::new() };
            write!(out, " {time:>9}")?;
        }
        writeln!(out)?;
    }
    if more > 0 {
        line("", &format!("and {more} more"), out)?;
    }
    Ok(())
}

/// The name of the user of a process, or else its UID; empty if it is unknown.
fn user(process: &Process) -> String {
    process.user_name.clone().or_else(|| Some(process.user?.to_string())).unwrap_or_default()
}

/// The first digits of the container ID.
fn container(process: &Process) -> String {
    clean(process.container.as_deref().unwrap_or_default()).chars().take(CONTAINER).collect()
}
