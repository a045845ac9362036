//! Plans and times as text.

use std::collections::HashMap;
use std::io::{self, Write};

use quell::text::shown;
use quell::tune::knob::{self, Lifetime, Risk};
use quell::tune::plan::{Plan, Skipped, Step};
use quell::tune::value::KnobTarget;
use quell::units::{CpuId, CpuSet};

use crate::cli::text::{line, wrapped, wrapped_lines};

/// A plan as a difference: each knob with the current and the desired value, and the reason.
pub(super) fn plan(plan: &Plan, out: &mut dyn Write) -> io::Result<()> {
    line(out, format_args!("profile    {}", plan.profile))?;
    for (name, value) in &plan.variables {
        line(out, format_args!("{name:<10} {}", if value.is_empty() { "(none)" } else { value }))?;
    }
    for remark in &plan.remarks {
        writeln!(out, "note       {}", wrapped_lines(remark, 11))?;
    }
    let mut shown_risks: Vec<&str> = Vec::new();
    for group in groups(&plan.steps) {
        let step = group[0];
        let targets: Vec<&KnobTarget> = group.iter().map(|step| &step.target).collect();
        writeln!(out)?;
        line(out, format_args!("{}{}  [{}]", step.knob, on(&targets), lifetime(step.lifetime)))?;
        line(out, format_args!("  - {}", step.current.brief()))?;
        let desired =
            knob::by_id(&step.knob).map_or_else(|| step.desired.to_string(), |knob| knob.describe(&step.desired));
        line(out, format_args!("  + {desired}"))?;
        writeln!(out, "    {}", wrapped(&step.reason, 4))?;
        for process in group.iter().flat_map(|step| &step.processes) {
            writeln!(out, "    process {}", wrapped(&process.to_string(), 12))?;
        }
        if let Some(knob) = knob::by_id(&step.knob) {
            let (label, risk) = match knob.spec().risk {
                Risk::Low => continue,
                Risk::Medium(risk) => ("risk", risk),
                Risk::High(risk) => ("HIGH RISK", risk),
            };
            // In full once: many steps may have the same risk.
            let text = if shown_risks.contains(&risk) { "as above" } else { risk };
            shown_risks.push(risk);
            writeln!(out, "    {label}: {}", wrapped(text, label.len() + 6))?;
        }
    }
    skipped(&plan.skipped, out)?;
    writeln!(out, "\n{}", summary(plan))
}

fn skipped(skipped: &[Skipped], out: &mut dyn Write) -> io::Result<()> {
    if skipped.is_empty() {
        return Ok(());
    }
    writeln!(out, "\nskipped")?;
    let mut lines: Vec<(&str, &str, Vec<&KnobTarget>)> = Vec::new();
    let mut index: HashMap<(&str, &str), usize> = HashMap::new();
    for skipped in skipped {
        let at = *index.entry((skipped.knob, &skipped.reason)).or_insert(lines.len());
        match lines.get_mut(at) {
            Some(line) => line.2.extend(&skipped.target),
            None => lines.push((skipped.knob, &skipped.reason, skipped.target.iter().collect())),
        }
    }
    for (knob, reason, targets) in lines {
        writeln!(out, "  {knob}{}: {}", shown(&on(&targets)), wrapped_lines(reason, 4))?;
    }
    Ok(())
}

/// The size of a plan, in one line.
fn summary(plan: &Plan) -> String {
    let boot = plan.steps.iter().filter(|step| step.lifetime == Lifetime::NextBoot).count();
    let boot = if boot == 0 { String::new() } else { format!(" ({boot} of them at the next boot)") };
    let (steps, unchanged, skipped) = (plan.steps.len(), plan.unchanged.len(), plan.skipped.len());
    format!("{steps} to change{boot}, {unchanged} unchanged, {skipped} skipped")
}

/// Groups steps that differ only in their targets, in the order of the first of each group. Values are compared as they are shown:
/// that of an interrupt also has the device, which is not shown.
fn groups(steps: &[Step]) -> Vec<Vec<&Step>> {
    let mut groups: Vec<Vec<&Step>> = Vec::new();
    let mut index: HashMap<(&str, String, String, &str, &str), usize> = HashMap::new();
    for step in steps {
        let (current, desired) = (step.current.to_string(), step.desired.to_string());
        let shown = (step.knob.as_str(), current, desired, lifetime(step.lifetime), step.reason.as_str());
        let group = *index.entry(shown).or_insert(groups.len());
        match groups.get_mut(group) {
            Some(group) => group.push(step),
            None => groups.push(vec![step]),
        }
    }
    groups
}

/// Targets as text: ` on cpu 0-3,8`; empty for the host.
pub(super) fn on(targets: &[&KnobTarget]) -> String {
    let mut numbered: Vec<(&str, Vec<CpuId>)> = Vec::new();
    let mut named: Vec<&str> = Vec::new();
    for target in targets {
        let (kind, number) = match target {
            KnobTarget::Host => continue,
            KnobTarget::Cpu(cpu) => ("cpu", cpu.0),
            KnobTarget::Node(node) => ("node", node.0),
            KnobTarget::Irq(irq) => ("irq", irq.0),
            KnobTarget::Nic(name) | KnobTarget::Name(name) => {
                named.push(name);
                continue;
            }
        };
        match numbered.iter_mut().find(|(known, _)| *known == kind) {
            Some((_, numbers)) => numbers.push(CpuId(number)),
            None => numbered.push((kind, vec![CpuId(number)])),
        }
    }
    let numbered = numbered.into_iter().map(|(kind, numbers)| format!("{kind} {}", CpuSet::from_iter(numbers)));
    let words: Vec<_> = numbered.chain(named.into_iter().map(str::to_owned)).collect();
    if words.is_empty() { String::new() } else { format!(" on {}", words.join(", ")) }
}

pub(super) fn lifetime(lifetime: Lifetime) -> &'static str {
    match lifetime {
        Lifetime::Runtime => "until the next boot",
        Lifetime::WhileHeld => "while quell holds it open",
        Lifetime::Persistent => "persistent, also after reboots",
        Lifetime::NextBoot => "from the next boot on",
    }
}

/// A duration in the past: `5 min ago`.
pub(super) fn ago(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s ago"),
        120..7_200 => format!("{} min ago", seconds / 60),
        7_200..172_800 => format!("{} h ago", seconds / 3_600),
        _ => format!("{} days ago", seconds / 86_400),
    }
}

/// ` except 2 values`; empty for none.
pub(super) fn except(count: usize) -> String {
    match count {
        0 => String::new(),
        1 => " except 1 value".to_owned(),
        count => format!(" except {count} values"),
    }
}
