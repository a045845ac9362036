//! The data of the summary as JSON, for programs. `docs/json.md` describes the keys.

use std::collections::BTreeMap;
use std::io::Write;

use serde::Serialize;

use super::exact::{Part, Total};
use super::function_estimates::FunctionEstimate;
use super::functions::Functions;
use super::processes::{Processes, Used};
use super::waits::Waits;
use crate::profile::{Estimate, FrameKind, Profile};
use crate::recording::{Cost, Governing, HostFacts, MetricId, ProcessIdx, Target, Unit};
use crate::report::ReportError;
use crate::report::distribution::{Distribution, distributions};
use crate::report::series::{Series, series};
use crate::report::share::unnamed_shares;
use crate::text;
use crate::units::CpuId;

/// The version of the keys. It is increased if a program that reads them would misread the new ones.
const SCHEMA: u32 = 1;

/// The maximum number of processes, and of functions and waits of a series.
const ROWS: usize = 100;

/// The maximum number of scopes of a distribution, for each kind: those with the highest 99th percentile.
const SCOPES: usize = 10;

#[derive(Serialize)]
struct Summary<'a> {
    schema: u32,
    quell: &'a str,
    command_line: &'a [String],
    target: &'a Target,
    host: &'a HostFacts,
    start_realtime_ns: u64,
    duration_ns: u64,
    since_ns: Option<u64>,
    until_ns: Option<u64>,
    series: Vec<SeriesSums<'a>>,
    processes: Vec<ProcessTimes<'a>>,
    counted: Vec<Counted<'a>>,
    distributions: Vec<MetricDistribution<'a>>,
    idle: &'a BTreeMap<CpuId, f64>,
    steal: &'a BTreeMap<CpuId, f64>,
    losses: Vec<Lost>,
    unnamed: Vec<Unnamed>,
    unnamed_locations: &'a BTreeMap<String, u64>,
    cost: &'a Cost,
    governing: &'a Governing,
    remarks: &'a [String],
}

#[derive(Serialize)]
struct SeriesSums<'a> {
    name: String,
    label: String,
    unit: Unit,
    value: f64,
    std_error: f64,
    samples: u64,
    threads: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    functions: Option<Vec<Function<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    waits: Option<Vec<Wait<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    idle: Option<Idle>,
}

#[derive(Serialize)]
struct Function<'a> {
    name: &'a str,
    module: &'a str,
    kind: &'static str,
    #[serde(rename = "self")]
    own: f64,
    self_std_error: f64,
    total: f64,
    total_std_error: f64,
}

#[derive(Serialize)]
struct Wait<'a> {
    thread: String,
    threads: usize,
    metric: &'a str,
    #[serde(rename = "where")]
    place: String,
    value: f64,
    std_error: f64,
}

#[derive(Serialize)]
struct Idle {
    threads: usize,
    value: f64,
    std_error: f64,
}

#[derive(Serialize)]
struct ProcessTimes<'a> {
    pid: u32,
    name: &'a str,
    uid: Option<u32>,
    user: Option<&'a str>,
    container: Option<&'a str>,
    cgroup: Option<&'a str>,
    executable: Option<String>,
    threads: usize,
    times: Vec<Time>,
}

#[derive(Serialize)]
struct Time {
    series: String,
    value: f64,
}

#[derive(Serialize)]
struct Counted<'a> {
    metric: &'a str,
    unit: Unit,
    of: Part,
    count: u64,
    sum: u64,
    uncertainty: u64,
}

#[derive(Serialize)]
struct MetricDistribution<'a> {
    metric: &'a str,
    unit: Unit,
    scopes: Vec<ScopeQuantiles>,
}

#[derive(Serialize)]
struct ScopeQuantiles {
    scope: String,
    count: u64,
    p50: u64,
    p90: u64,
    p99: u64,
    p99_9: u64,
    max: u64,
}

#[derive(Serialize)]
struct Lost {
    what: &'static str,
    count: u64,
    of: Option<u64>,
}

#[derive(Serialize)]
struct Unnamed {
    series: String,
    share: f64,
}

/// Writes the data of the summary as JSON.
///
/// # Errors
/// `out` cannot be written.
pub fn summary_json(profile: &Profile, out: &mut dyn Write) -> Result<(), ReportError> {
    let meta = &profile.meta;
    let all = series(meta);
    let counted = (0..meta.metrics.len()).map(MetricId::from_index).filter_map(|metric| {
        let Total { part, count, sum, uncertainty, .. } = Total::of(profile, metric)?;
        let metric = profile.metric(metric);
        Some(Counted { metric: &metric.name, unit: metric.unit, of: part, count, sum, uncertainty })
    });
    let lost = meta.losses.named().into_iter().filter(|loss| loss.count > 0).map(|loss| Lost {
        what: loss.name,
        count: loss.count,
        of: profile.totals.share_of(&loss).map(|(_, whole)| whole),
    });
    let summary = Summary {
        schema: SCHEMA,
        quell: &meta.quell,
        command_line: &meta.command_line,
        target: &meta.target,
        host: &meta.host,
        start_realtime_ns: meta.start_realtime.0,
        duration_ns: meta.duration.0,
        since_ns: profile.window.since.map(|time| time.0),
        until_ns: profile.window.until.map(|time| time.0),
        series: all.iter().filter_map(|series| sums(profile, series)).collect(),
        processes: processes(profile, &all),
        counted: counted.collect(),
        distributions: quantiles(profile),
        idle: &meta.idle,
        steal: &meta.steal,
        losses: lost.collect(),
        unnamed: unnamed_shares(profile).into_iter().map(|(series, share)| Unnamed { series, share }).collect(),
        unnamed_locations: &meta.symbols.unnamed,
        cost: &meta.cost,
        governing: &meta.governing,
        remarks: &meta.remarks,
    };
    text::to_json(out, &summary)?;
    writeln!(out)?;
    Ok(out.flush()?)
}

fn sums<'a>(profile: &'a Profile, series: &Series) -> Option<SeriesSums<'a>> {
    let with = |sum: &Estimate, samples, threads| SeriesSums {
        name: series.name.clone(),
        label: series.label.clone(),
        unit: series.unit,
        value: sum.value(),
        std_error: sum.error(&profile.groups),
        samples,
        threads,
        functions: None,
        waits: None,
        idle: None,
    };
    if !series.has_intervals(&profile.meta) {
        let Functions { sum, samples, threads, rows } = Functions::of(profile, series, ROWS)?;
        let function = |(id, FunctionEstimate { own, total }): &(_, FunctionEstimate)| {
            let frame = profile.frame(*id);
            let kind = match frame.kind {
                FrameKind::Kernel => "kernel",
                FrameKind::User => "user",
                FrameKind::Label => "label",
            };
            Function {
                name: &frame.name,
                module: &frame.module,
                kind,
                own: own.value(),
                self_std_error: own.error_of_place(&profile.groups),
                total: total.value(),
                total_std_error: total.error_of_place(&profile.groups),
            }
        };
        let functions = Some(rows.iter().map(function).collect());
        return Some(SeriesSums { functions, ..with(&sum, samples, threads) });
    }
    let Waits { all, rows, idle } = Waits::of(profile, series)?;
    let is_of_series = |metric: &MetricId| series.metrics.contains(metric);
    let samples = profile.samples.iter().filter(|sample| sample.value > 0.0 && is_of_series(&sample.metric)).count();
    let waits = rows.into_iter().take(ROWS).map(|(wait, waited)| Wait {
        thread: wait.thread,
        threads: waited.threads.len(),
        metric: &profile.metric(wait.metric).name,
        place: wait.place,
        value: waited.sum.value(),
        std_error: waited.sum.error_of_place(&profile.groups),
    });
    let waits = Some(waits.collect());
    let idle = (!idle.threads.is_empty()).then(|| Idle {
        threads: idle.threads.len(),
        value: idle.sum.value(),
        std_error: idle.sum.error_of_place(&profile.groups),
    });
    Some(SeriesSums { waits, idle, ..with(&all.sum, samples as u64, all.threads.len() as u64) })
}

fn processes<'a>(profile: &'a Profile, all: &[Series]) -> Vec<ProcessTimes<'a>> {
    let Processes { series, rows } = Processes::of(profile, all);
    let times = |used: &Used| {
        let times = series.iter().zip(&used.times).filter(|(_, value)| **value > 0.0);
        times.map(|(series, value)| Time { series: series.name.clone(), value: *value }).collect()
    };
    let row = |(id, used): &(ProcessIdx, Used)| {
        let process = profile.process(*id);
        ProcessTimes {
            pid: process.pid.0,
            name: profile.process_name(*id),
            uid: process.user,
            user: process.user_name.as_deref(),
            container: process.container.as_deref(),
            cgroup: process.cgroup.as_deref(),
            executable: process.executable.as_ref().map(|path| path.to_string_lossy().into_owned()),
            threads: used.threads.len(),
            times: times(used),
        }
    };
    rows.iter().take(ROWS).map(row).collect()
}

fn quantiles(profile: &Profile) -> Vec<MetricDistribution<'_>> {
    let scope = |scope: String, distribution: &Distribution| {
        let Distribution { count, quantiles: [p50, p90, p99, p99_9], max } = *distribution;
        ScopeQuantiles { scope, count, p50, p90, p99, p99_9, max }
    };
    distributions(profile)
        .into_iter()
        .map(|metric| {
            let facts = profile.metric(metric.metric);
            let mut scopes = vec![scope("all".to_owned(), &metric.total)];
            for kind in metric.by_kind.iter().filter(|scopes| scopes.len() > 1) {
                scopes.extend(kind.iter().take(SCOPES).map(|one| scope(one.name.clone(), &one.distribution)));
            }
            MetricDistribution { metric: &facts.name, unit: facts.unit, scopes }
        })
        .collect()
}
