//! Plans and verdicts as people read them.

use std::collections::HashMap;
use std::io::{self, Write};

use quell::text::shown;
use quell::tune::knob::{self, Lifetime, Risk};
use quell::tune::{Plan, Step, Target};
use quell::units::{CpuId, CpuSet};

use crate::cli::text::{line, wrapped, wrapped_lines};

/// A plan as a difference: each knob with what it is and what it would be, and why.
pub(super) fn plan(plan: &Plan, out: &mut dyn Write) -> io::Result<()> {
    line(out, format_args!("profile    {}", plan.profile))?;
    for (name, value) in &plan.variables {
        line(out, format_args!("{name:<10} {}", if value.is_empty() { "(none)" } else { value }))?;
    }
    for remark in &plan.remarks {
        writeln!(out, "note       {}", wrapped_lines(remark, 11))?;
    }
    let mut told: Vec<&str> = Vec::new();
    for group in groups(&plan.steps) {
        let step = group[0];
        let targets: Vec<&Target> = group.iter().map(|step| &step.target).collect();
        writeln!(out)?;
        line(out, format_args!("{}{}  [{}]", step.knob, on(&targets), lifetime(step.lifetime)))?;
        line(out, format_args!("  - {}", step.now.brief()))?;
        let wanted =
            knob::by_id(&step.knob).map_or_else(|| step.wanted.to_string(), |knob| knob.in_words(&step.wanted));
        line(out, format_args!("  + {wanted}"))?;
        writeln!(out, "    {}", wrapped(&step.reason, 4))?;
        for process in group.iter().flat_map(|step| &step.processes) {
            writeln!(out, "    process {}", wrapped(&process.to_string(), 12))?;
        }
        if let Some(knob) = knob::by_id(&step.knob) {
            let (word, what) = match knob.spec().risk {
                Risk::Low => continue,
                Risk::Medium(what) => ("risk", what),
                Risk::High(what) => ("HIGH RISK", what),
            };
            // Once in full: a plan may have a dozen of the same.
            let text = if told.contains(&what) { "as above" } else { what };
            told.push(what);
            writeln!(out, "    {word}: {}", wrapped(text, word.len() + 6))?;
        }
    }
    if !plan.skipped.is_empty() {
        writeln!(out, "\nleft out")?;
        let mut lines: Vec<(&str, &str, Vec<&Target>)> = Vec::new();
        let mut place: HashMap<(&str, &str), usize> = HashMap::new();
        for skipped in &plan.skipped {
            let at = *place.entry((skipped.knob, &skipped.why)).or_insert(lines.len());
            match lines.get_mut(at) {
                Some(line) => line.2.extend(&skipped.target),
                None => lines.push((skipped.knob, &skipped.why, skipped.target.iter().collect())),
            }
        }
        for (knob, why, targets) in lines {
            writeln!(out, "  {knob}{}: {}", shown(&on(&targets)), wrapped_lines(why, 4))?;
        }
    }
    writeln!(out, "\n{}", summary(plan))
}

/// How much a plan would change, in a line.
pub(super) fn summary(plan: &Plan) -> String {
    let boot = plan.steps.iter().filter(|step| step.lifetime == Lifetime::NextBoot).count();
    let boot = if boot == 0 { String::new() } else { format!(" ({boot} of them from the next boot on)") };
    format!(
        "{} to change{boot}, {} as wanted already, {} left out",
        plan.steps.len(),
        plan.unchanged.len(),
        plan.skipped.len()
    )
}

/// Steps of which nothing is shown that differs but their targets, in the order of their first: of interrupts a value has what
/// raises it, which is not shown.
fn groups(steps: &[Step]) -> Vec<Vec<&Step>> {
    let mut groups: Vec<Vec<&Step>> = Vec::new();
    let mut place: HashMap<(&str, String, String, &str, &str), usize> = HashMap::new();
    for step in steps {
        let (now, wanted) = (step.now.to_string(), step.wanted.to_string());
        let shown = (step.knob.as_str(), now, wanted, lifetime(step.lifetime), step.reason.as_str());
        let group = *place.entry(shown).or_insert(groups.len());
        match groups.get_mut(group) {
            Some(group) => group.push(step),
            None => groups.push(vec![step]),
        }
    }
    groups
}

/// Targets in words: ` on cpu 0-3,8`; nothing for the host.
pub(super) fn on(targets: &[&Target]) -> String {
    let mut numbered: Vec<(&str, Vec<CpuId>)> = Vec::new();
    let mut named: Vec<&str> = Vec::new();
    for target in targets {
        let (kind, number) = match target {
            Target::Host => continue,
            Target::Cpu(cpu) => ("cpu", cpu.0),
            Target::Node(node) => ("node", node.0),
            Target::Irq(irq) => ("irq", irq.0),
            Target::Nic(name) | Target::Name(name) => {
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
        Lifetime::WhileHeld => "while quell holds it",
        Lifetime::Lasting => "from now on, over boots too",
        Lifetime::NextBoot => "from the next boot on",
    }
}

/// How long ago something was.
pub(super) fn ago(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s ago"),
        120..7_200 => format!("{} min ago", seconds / 60),
        7_200..172_800 => format!("{} h ago", seconds / 3_600),
        _ => format!("{} days ago", seconds / 86_400),
    }
}

/// What was left when something was undone: ` but for 2 values`; nothing for none.
pub(super) fn but_for(left: usize) -> String {
    match left {
        0 => String::new(),
        1 => " but for 1 value".to_owned(),
        left => format!(" but for {left} values"),
    }
}
