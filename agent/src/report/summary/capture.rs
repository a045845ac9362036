//! The capture: its target, host, losses and cost.

use std::io;

use super::{Page, clean, losses};
use crate::profile::Profile;
use crate::recording::{Meta, Target};
use crate::report::ReportError;
use crate::report::share::unnamed_in_words;
use crate::report::steal::steal_in_words;
use crate::units::Bytes;

/// Writes the target, the host and the length of the capture.
pub(super) fn header(meta: &Meta, page: &mut Page<'_>) -> io::Result<()> {
    let what = match &meta.target {
        Target::All => "all threads".to_owned(),
        Target::Processes(pids) => {
            let pids: Vec<String> = pids.iter().map(ToString::to_string).collect();
            format!("process{} {}", if pids.len() == 1 { "" } else { "es" }, pids.join(", "))
        }
        Target::Cgroup(path) => format!("cgroup {path}"),
        Target::Matching(options) => format!("processes that match {}", options.join(" ")),
        Target::Command(words) => words.join(" "),
    };
    let host = &meta.host;
    page.item("captured", &format!("{} of {}", meta.duration, clean(&what)))?;
    page.item("host", &format!("{}, Linux {} {}, CPUs {}", host.hostname, host.kernel, host.arch, meta.cpus))?;
    if let Some(code) = meta.exit_code.filter(|code| *code != 0) {
        page.item("exit code", &format!("{code} of the command"))?;
    }
    Ok(())
}

/// Writes what a reader must know to trust the figures: losses, cost, budget and remarks.
pub(super) fn footer(profile: &Profile, page: &mut Page<'_>) -> Result<(), ReportError> {
    let meta = &profile.meta;
    idle(meta, page)?;
    steal(meta, page)?;
    losses::all(profile, page)?;
    symbols(profile, page)?;
    cost(meta, page)?;
    budget(meta, page)?;
    for (row, remark) in meta.remarks.iter().enumerate() {
        page.item(if row == 0 { "remarks" } else { "" }, remark)?;
    }
    Ok(())
}

fn idle(meta: &Meta, page: &mut Page<'_>) -> io::Result<()> {
    if meta.idle.is_empty() {
        return Ok(());
    }
    let mean = meta.idle.values().sum::<f64>() / meta.idle.len() as f64;
    let each: Vec<String> = meta.idle.iter().map(|(cpu, share)| format!("CPU {cpu} {:.0} %", 100.0 * share)).collect();
    let text = match each.len() {
        1..=8 => each.join(", "),
        count => format!("{:.1} % over {count} CPUs", 100.0 * mean),
    };
    page.item("idle", &text)
}

fn steal(meta: &Meta, page: &mut Page<'_>) -> io::Result<()> {
    match steal_in_words(meta) {
        Some(steal) => page.item("steal", &steal),
        None => Ok(()),
    }
}

fn symbols(profile: &Profile, page: &mut Page<'_>) -> io::Result<()> {
    match unnamed_in_words(profile) {
        Some(unnamed) => page.item("unnamed", &unnamed),
        None => Ok(()),
    }
}

/// The cost in one line. The page and the JSON data have it for each program.
fn cost(meta: &Meta, page: &mut Page<'_>) -> io::Result<()> {
    let cost = &meta.cost;
    let memory = Bytes(cost.map_memory.0.saturating_add(cost.agent_memory.0));
    page.item(
        "cost",
        &format!(
            "{:.2} % of one CPU, including {} of CPU time in quell itself; {memory} of memory",
            100.0 * cost.cpu_share,
            cost.agent_cpu
        ),
    )
}

/// The budget in one line, with the lowest sampling rate. The page and the JSON data have each change of the rates.
fn budget(meta: &Meta, page: &mut Page<'_>) -> io::Result<()> {
    let governing = &meta.governing;
    let Some(budget) = governing.budget else { return Ok(()) };
    let result = budget_result(budget, governing.over_budget, meta.cost.of_programs(meta.duration));
    let lowest = governing.changes.iter().map(|change| change.scale).fold(1.0, f64::min);
    page.item("budget", &format!("{:.2} % for the probes{result}{}", 100.0 * budget, rate(lowest)))
}

/// The lowest sampling rate in words, if it was not the full rate.
fn rate(lowest: f64) -> String {
    if lowest > 0.99 { String::new() } else { format!("; rate down to 1/{:.0}", 1.0 / lowest.max(1e-9)) }
}

/// Whether the budget was met over the whole capture, at the precision of the printed percentages.
fn budget_result(budget: f64, counting_exceeded: bool, cost: Option<f64>) -> String {
    let hundredths = |share: f64| (10_000.0 * share).round() as u64;
    let exceeded = if counting_exceeded { " (counting alone exceeded it)" } else { "" };
    match cost {
        Some(cost) => {
            let result = if hundredths(cost) > hundredths(budget) { "exceeded" } else { "met" };
            format!(", {result}: {:.2} %{exceeded}", 100.0 * cost)
        }
        None => exceeded.to_owned(),
    }
}
