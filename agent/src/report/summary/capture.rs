//! What the capture says of itself: when and where it was made, what was lost, and what it cost.

use std::io::Write;

use super::{clean, counted, line};
use crate::recording::{Meta, Target, Unit};
use crate::report::ReportError;
use crate::report::series::quantity;

/// What was captured, where, and for how long.
pub(super) fn header(meta: &Meta, out: &mut dyn Write) -> Result<(), ReportError> {
    let what = match &meta.target {
        Target::All => "every thread".to_owned(),
        Target::Processes(pids) => {
            let pids: Vec<String> = pids.iter().map(ToString::to_string).collect();
            format!("processes {}", pids.join(", "))
        }
        Target::Cgroup(path) => format!("cgroup {path}"),
        Target::Command(words) => words.join(" "),
    };
    let host = &meta.host;
    line("captured", &format!("{} of {}", meta.duration, clean(&what)), out)?;
    line("host", &format!("{}, Linux {} {}, CPUs {}", host.hostname, host.kernel, host.arch, meta.cpus), out)?;
    if let Some(code) = meta.exit_code.filter(|code| *code != 0) {
        line("exit code", &format!("{code} of the command"), out)?;
    }
    Ok(())
}

/// What must be known before the figures are trusted.
pub(super) fn footer(meta: &Meta, out: &mut dyn Write) -> Result<(), ReportError> {
    idle(meta, out)?;
    losses(meta, out)?;
    symbols(meta, out)?;
    cost(meta, out)?;
    budget(meta, out)?;
    for (row, remark) in meta.remarks.iter().enumerate() {
        line(if row == 0 { "remarks" } else { "" }, remark, out)?;
    }
    Ok(())
}

fn idle(meta: &Meta, out: &mut dyn Write) -> Result<(), ReportError> {
    if meta.idle.is_empty() {
        return Ok(());
    }
    let mean = meta.idle.values().sum::<f64>() / meta.idle.len() as f64;
    let each: Vec<String> = meta.idle.iter().map(|(cpu, share)| format!("CPU {cpu} {:.0} %", 100.0 * share)).collect();
    let text = match each.len() {
        1..=8 => each.join(", "),
        count => format!("{:.1} % over {count} CPUs", 100.0 * mean),
    };
    line("idle", &text, out)
}

fn losses(meta: &Meta, out: &mut dyn Write) -> Result<(), ReportError> {
    let lost: Vec<_> = meta.losses.named().into_iter().filter(|loss| loss.count > 0).collect();
    if lost.is_empty() {
        return line("lost", "nothing", out);
    }
    for (row, loss) in lost.into_iter().enumerate() {
        line(if row == 0 { "lost" } else { "" }, &format!("{} {}", loss.count, loss.counted()), out)?;
    }
    Ok(())
}

fn symbols(meta: &Meta, out: &mut dyn Write) -> Result<(), ReportError> {
    let unnamed = meta.symbols.unnamed_in_all();
    if unnamed == 0 {
        return Ok(());
    }
    let reasons: Vec<String> =
        meta.symbols.unnamed.iter().map(|(reason, count)| format!("{count} {}", clean(reason))).collect();
    let all = unnamed.saturating_add(meta.symbols.named);
    line("unnamed", &format!("{unnamed} of {all} code locations: {}", reasons.join(", ")), out)
}

fn cost(meta: &Meta, out: &mut dyn Write) -> Result<(), ReportError> {
    let cost = &meta.cost;
    let all = format!(
        "{:.2} % of one CPU, {} of it in the agent; {} of maps, {} resident",
        100.0 * cost.cpu_share,
        cost.agent_cpu,
        cost.map_memory,
        cost.agent_memory
    );
    line("cost", &all, out)?;
    for probe in &cost.probes {
        let each = match probe.nanos_per_event {
            Some(mean) => format!("{} each", quantity(mean, Unit::Nanoseconds)),
            None => "not measured how long each took".to_owned(),
        };
        line("", &format!("{}, {}: {}, {each}", probe.probe, probe.mechanism, counted(probe.events, "event")), out)?;
    }
    Ok(())
}

fn budget(meta: &Meta, out: &mut dyn Write) -> Result<(), ReportError> {
    /// More than this would bury the rest; the recording has them all.
    const SHOWN: usize = 5;
    let governing = &meta.governing;
    let Some(budget) = governing.budget else { return Ok(()) };
    let kept = kept(budget, governing.over_budget, meta.cost.of_programs(meta.duration));
    let text = format!("{:.2} % of one CPU for the probes{kept}", 100.0 * budget);
    line("budget", &text, out)?;
    for change in governing.changes.iter().take(SHOWN) {
        let text = format!("at {}: {} samples at {}", change.time, clean(&change.probe), rate(change.scale));
        line("", &text, out)?;
    }
    let changes = governing.changes.len();
    if changes > SHOWN {
        line("", &format!("and {} more changes", changes - SHOWN), out)?;
    }
    Ok(())
}

/// A factor of probabilities in words: `the full rate`, `1/8 of the full rate`.
fn rate(scale: f64) -> String {
    if scale > 0.99 { "the full rate".to_owned() } else { format!("1/{:.0} of the full rate", 1.0 / scale.max(1e-9)) }
}

/// Whether a budget was kept over the whole capture, as closely as percentages are shown.
fn kept(budget: f64, counting_exceeded: bool, cost: Option<f64>) -> String {
    let hundredths = |share: f64| (10_000.0 * share).round() as u64;
    let exceeded = if counting_exceeded { "; counting alone exceeded it" } else { "" };
    match cost {
        Some(cost) if hundredths(cost) > hundredths(budget) => {
            format!(", not kept: they cost {:.2} %{exceeded}", 100.0 * cost)
        }
        Some(cost) => format!(", kept: they cost {:.2} %{exceeded}", 100.0 * cost),
        None => exceeded.to_owned(),
    }
}
