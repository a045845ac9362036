//! A profile in a few lines of text: what took the time, what was lost, and what it cost.

use std::io::Write;

use hashbrown::HashMap;

use super::ReportError;
use crate::profile::{FrameId, FrameKind, Meta, Metric, Profile, Reason, StackId, Target, Weighted, Window};
use crate::text::{self, Shown};
use crate::units::Nanos;

/// How many lines each table has.
const ROWS: usize = 10;

/// The widest line.
const COLUMNS: usize = 100;

/// The widest function name in the table of functions.
const NAME: usize = 58;

/// Where the text of a line begins that has a title on its left.
const TITLE: usize = 10;

/// Writes a summary of `profile`: at most 100 columns wide, without colours.
///
/// # Errors
/// Whatever `out` refuses.
pub fn summary(profile: &Profile, out: &mut dyn Write) -> Result<(), ReportError> {
    // Each name is cleaned where it stands, so that none breaks its line; this is for the one that was forgotten.
    let out = &mut Shown::new(out);
    header(&profile.meta, out)?;
    if let Some(part) = profile.window.in_words() {
        line("part", &format!("what began {part}, from the start of the capture"), out)?;
    }
    on_cpu(profile, out)?;
    off_cpu(profile, out)?;
    if profile.samples.iter().all(|sample| sample.value == 0.0) {
        writeln!(out, "\nno samples: the threads, probes and times asked for have none in this capture")?;
    }
    writeln!(out)?;
    idle(&profile.meta, out)?;
    losses(&profile.meta, out)?;
    symbols(&profile.meta, out)?;
    cost(&profile.meta, out)?;
    governor(&profile.meta, out)?;
    for (row, remark) in profile.meta.remarks.iter().enumerate() {
        line(if row == 0 { "remarks" } else { "" }, remark, out)?;
    }
    Ok(())
}

fn header(meta: &Meta, out: &mut dyn Write) -> Result<(), ReportError> {
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

/// Time by function: in it, and in it or below.
#[derive(Default)]
struct Times {
    own: f64,
    total: f64,
}

fn on_cpu(profile: &Profile, out: &mut dyn Write) -> Result<(), ReportError> {
    let samples = || profile.samples.iter().filter(|sample| sample.metric == Metric::OnCpu && sample.value > 0.0);
    let total: f64 = samples().map(|sample| sample.value).sum();
    if total == 0.0 {
        return Ok(());
    }
    let mut rows = function_times(profile, samples().filter_map(|sample| Some((sample.stack?, sample.value))));
    rows.sort_by(|(a, x), (b, y)| {
        y.own
            .total_cmp(&x.own)
            .then(y.total.total_cmp(&x.total))
            .then_with(|| profile.frame(*a).name.cmp(&profile.frame(*b).name))
    });
    writeln!(out, "\non CPU: {} in {}", nanos(total), counted(samples().count() as u64, "sample"))?;
    writeln!(out, "{:>9}{:>9}  function", "self", "total")?;
    rows.truncate(ROWS);
    let shown: Vec<String> = rows.iter().map(|(id, _)| fit(&clean(&profile.frame(*id).name), NAME)).collect();
    let width = shown.iter().map(|name| name.chars().count()).max().unwrap_or(0);
    for (name, (id, times)) in shown.into_iter().zip(rows) {
        let module = fit(&clean(&profile.frame(id).module), COLUMNS - 20 - 2 - NAME);
        let row = format!(
            "{:>7.1} %{:>7.1} %  {name:<width$}  {module}",
            100.0 * times.own / total,
            100.0 * times.total / total
        );
        writeln!(out, "{}", row.trim_end())?;
    }
    Ok(())
}

/// The time of each function that has any. The outermost frame is the thread's label, which is no function unless it is all
/// there is. Takes as long as there are nodes and samples, however deep the stacks are.
fn function_times(profile: &Profile, samples: impl Iterator<Item = (StackId, f64)>) -> Vec<(FrameId, Times)> {
    let nodes = profile.stacks.rows();
    let mut own = vec![0.0; nodes.len()];
    for (stack, value) in samples {
        own[stack.0 as usize] += value;
    }
    // Callers come before their callees.
    let mut below = own.clone();
    for (row, node) in nodes.iter().enumerate().rev() {
        if let Some(parent) = node.parent {
            below[parent.0 as usize] += below[row];
        }
    }
    let mut times: HashMap<FrameId, Times> = HashMap::new();
    for (row, recursive) in recursive_nodes(profile).into_iter().enumerate() {
        let node = nodes[row];
        let label = node.parent.is_none() && profile.frame(node.frame).kind == FrameKind::Label;
        let total = if label { own[row] } else { below[row] };
        if total > 0.0 {
            let times = times.entry(node.frame).or_default();
            times.own += own[row];
            times.total += if recursive { 0.0 } else { total };
        }
    }
    times.into_iter().collect()
}

/// For each node whether one of its callers is the same function, which then counts its time already.
fn recursive_nodes(profile: &Profile) -> Vec<bool> {
    let nodes = profile.stacks.rows();
    let mut first_child = vec![None; nodes.len()];
    let mut next_sibling = vec![None; nodes.len()];
    let mut first_root = None;
    for (row, node) in nodes.iter().enumerate().rev() {
        let first = node.parent.map_or(&mut first_root, |parent| &mut first_child[parent.0 as usize]);
        next_sibling[row] = first.replace(row);
    }
    let label_root = |row: usize| {
        let node = nodes[row];
        node.parent.is_none() && profile.frame(node.frame).kind == FrameKind::Label
    };
    let mut recursive = vec![false; nodes.len()];
    let mut on_path = vec![0_u32; profile.frames.len()];
    let mut next = first_root;
    while let Some(row) = next {
        let frame = nodes[row].frame.0 as usize;
        recursive[row] = on_path[frame] > 0;
        on_path[frame] += u32::from(!label_root(row));
        // Down, else sideways, else up until there is a way sideways.
        let mut at = row;
        next = first_child[row].or_else(|| {
            loop {
                on_path[nodes[at].frame.0 as usize] -= u32::from(!label_root(at));
                match (next_sibling[at], nodes[at].parent) {
                    (Some(sibling), _) => return Some(sibling),
                    (None, Some(parent)) => at = parent.0 as usize,
                    (None, None) => return None,
                }
            }
        });
    }
    recursive
}

/// Sleeps that are one line: of one thread, for one reason, in one place.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Wait {
    thread: String,
    reason: Reason,
    place: String,
}

#[derive(Default)]
struct Estimate {
    value: f64,
    variance: f64,
}

fn off_cpu(profile: &Profile, out: &mut dyn Write) -> Result<(), ReportError> {
    let mut waits: HashMap<Wait, Estimate> = HashMap::new();
    let places = Places::of(profile);
    for sample in profile.samples.iter().filter(|sample| sample.value > 0.0) {
        if let Metric::OffCpu(reason) = sample.metric {
            let (thread, place) = places.of_sample(profile, sample);
            let estimate = waits.entry(Wait { thread, reason, place }).or_default();
            estimate.value += sample.value;
            estimate.variance += sample.variance;
        }
    }
    if waits.is_empty() {
        return Ok(());
    }
    let mut rows: Vec<(Wait, Estimate)> = waits.into_iter().collect();
    rows.sort_by(|(a, x), (b, y)| y.value.total_cmp(&x.value).then_with(|| a.cmp(b)));
    let total: f64 = rows.iter().map(|(_, estimate)| estimate.value).sum();
    let variance: f64 = rows.iter().map(|(_, estimate)| estimate.variance).sum();
    writeln!(out, "\noff CPU: {} {}", nanos(total), error(variance))?;
    writeln!(out, "{:>9}  {:<11}{:<17}{:<11}where", "time", "std. error", "thread", "reason")?;
    for (Wait { thread, reason, place }, estimate) in rows.into_iter().take(ROWS) {
        let (value, error) = (nanos(estimate.value), error(estimate.variance));
        let (thread, reason) = (fit(&thread, 15), reason.name());
        writeln!(out, "{value:>9}  {error:<11}{thread:<17}{reason:<11}{}", fit(&place, COLUMNS - 50))?;
    }
    exact(profile, out)
}

/// Totals that were counted, not sampled.
fn exact(profile: &Profile, out: &mut dyn Write) -> Result<(), ReportError> {
    let mut parts = Vec::new();
    for (index, reason) in Reason::ALL.into_iter().enumerate() {
        let count = profile.totals.iter().fold(0_u64, |sum, row| sum.saturating_add(row.count[index]));
        let time = profile.totals.iter().fold(0_u64, |sum, row| sum.saturating_add(row.time[index].0));
        if count > 0 {
            parts.push(format!("{} {} in {}", reason.name(), Nanos(time), counted(count, "sleep")));
        }
    }
    if !parts.is_empty() {
        let whole = if profile.window == Window::default() { "" } else { ", not only the part above" };
        let of = format!("the whole capture{whole}; ended sleeps of the threads selected");
        line("exact", &format!("{} ({of})", parts.join(", ")), out)?;
    }
    Ok(())
}

/// What a stack says of where its thread waits, for each node: found from the callers' down, so that no stack is walked.
#[derive(Clone, Copy, Default)]
struct Place {
    /// The outermost frame, where that is a label: the thread.
    root: Option<FrameId>,
    /// The innermost function of the process, and the innermost one that is its own code.
    user: Option<FrameId>,
    own_user: Option<FrameId>,
    /// The innermost function of the kernel, and the innermost one that is not the scheduler's.
    kernel: Option<FrameId>,
    own_kernel: Option<FrameId>,
}

struct Places(Vec<Place>);

impl Places {
    fn of(profile: &Profile) -> Self {
        let mut places: Vec<Place> = Vec::with_capacity(profile.stacks.rows().len());
        for node in profile.stacks.rows() {
            let mut place = node.parent.map_or_else(Place::default, |parent| places[parent.0 as usize]);
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

    /// The thread, and the innermost function of its own code with the kernel function that it waits in.
    fn of_sample(&self, profile: &Profile, sample: &Weighted) -> (String, String) {
        let thread = || clean(&profile.thread(sample.thread).comm);
        let Some(stack) = sample.stack else { return (thread(), "[stack not walked]".to_owned()) };
        let place = self.0[stack.0 as usize];
        let name = |id: FrameId| clean(&profile.frame(id).name);
        let place_name = match (place.own_user.or(place.user), place.own_kernel.or(place.kernel)) {
            (Some(user), Some(kernel)) => format!("{} > {}", name(user), name(kernel)),
            (Some(one), None) | (None, Some(one)) => name(one),
            (None, None) => name(profile.stacks.get(stack).frame),
        };
        (place.root.map_or_else(thread, name), place_name)
    }
}

/// Libraries whose functions say how a thread waits rather than what for.
fn is_c_library(module: &str) -> bool {
    ["libc.so", "libc-", "libpthread", "ld-linux", "ld-musl", "[vdso]"].iter().any(|start| module.starts_with(start))
}

/// Functions of kernel/sched and kernel/time that every sleep goes through.
fn is_scheduler(function: &str) -> bool {
    let function = function.trim_start_matches('_');
    ["schedule", "preempt_schedule", "io_schedule", "cond_resched", "switch_to", "traceiter_sched", "bpf_"]
        .iter()
        .any(|start| function.starts_with(start))
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
            Some(mean) => format!("{} each", nanos(mean)),
            None => "not measured how long each took".to_owned(),
        };
        line("", &format!("{}, {}: {}, {each}", probe.probe, probe.mechanism, counted(probe.events, "event")), out)?;
    }
    Ok(())
}

fn governor(meta: &Meta, out: &mut dyn Write) -> Result<(), ReportError> {
    /// More than this would bury the rest; the recording has them all.
    const SHOWN: usize = 5;
    let governing = &meta.governing;
    let Some(budget) = governing.budget else { return Ok(()) };
    let kept = kept(budget, governing.over_budget, meta.cost.of_programs(meta.duration));
    let counting =
        nonzero(governing.counting).map_or(String::new(), |share| format!(", {:.2} % for counting", 100.0 * share));
    let text = format!("budget {:.2} % of one CPU for the probes{counting}{kept}", 100.0 * budget);
    line("governor", &text, out)?;
    for change in governing.changes.iter().take(SHOWN) {
        let text = format!("at {}: {} sampling at {}", change.time, clean(&change.probe), part(change.scale));
        line("", &text, out)?;
    }
    let changes = governing.changes.len();
    if changes > SHOWN {
        line("", &format!("and {} more", changes - SHOWN), out)?;
    }
    Ok(())
}

fn nonzero(share: f64) -> Option<f64> {
    (share > 0.0).then_some(share)
}

/// A factor of probabilities: `full rate`, `1/8 of the full rate`.
fn part(scale: f64) -> String {
    if scale > 0.99 { "the full rate".to_owned() } else { format!("1/{:.0} of the full rate", 1.0 / scale.max(1e-9)) }
}

/// Whether a budget was kept over the whole capture, as closely as percentages are shown.
fn kept(budget: f64, over_at_lowest_rates: bool, cost: Option<f64>) -> String {
    let hundredths = |share: f64| (10_000.0 * share).round() as u64;
    match (cost, over_at_lowest_rates) {
        (Some(cost), lowest) if hundredths(cost) > hundredths(budget) => {
            let even = if lowest { " even at the lowest rates" } else { "" };
            format!(", not kept{even}: they cost {:.2} %", 100.0 * cost)
        }
        (Some(cost), true) => {
            format!(", not kept at times even at the lowest rates; they cost {:.2} % in all", 100.0 * cost)
        }
        (Some(cost), false) => format!(", kept: they cost {:.2} %", 100.0 * cost),
        (None, true) => ", not kept even at the lowest rates".to_owned(),
        (None, false) => String::new(),
    }
}

/// A line, or several, with a title on the left.
fn line(title: &str, text: &str, out: &mut dyn Write) -> Result<(), ReportError> {
    let mut row = format!("{title:<TITLE$}");
    let mut column = TITLE;
    for word in text.split_whitespace() {
        let word = &clean(word);
        let length = word.chars().count();
        if column > TITLE && column + 1 + length > COLUMNS {
            writeln!(out, "{row}")?;
            row = " ".repeat(TITLE);
            column = TITLE;
        } else if column > TITLE {
            row.push(' ');
            column += 1;
        }
        row.push_str(word);
        column += length;
    }
    Ok(writeln!(out, "{row}")?)
}

/// As in `1 sleep`, `2 sleeps`.
fn counted(count: u64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

fn nanos(value: f64) -> String {
    Nanos(value.round() as u64).to_string()
}

fn error(variance: f64) -> String {
    if variance == 0.0 { "exact".to_owned() } else { format!("± {}", nanos(variance.sqrt())) }
}

/// A name in one line of visible characters.
fn clean(text: &str) -> String {
    text::shown(text).into_owned()
}

/// At most `width` characters; the end gives way.
fn fit(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    text.chars().take(width - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::{Losses, NamedFrame, ProbeCost, ScaleChange, StackTable, Thread, ThreadIdx, ThreadTotals};
    use crate::units::{Bytes, CpuId, Pid, Tid};

    struct Maker {
        profile: Profile,
    }

    impl Maker {
        fn new() -> Self {
            let thread = |tid, comm: &str| Thread { pid: Pid(7), tid: Tid(tid), comm: comm.to_owned() };
            let profile = Profile {
                meta: Meta::example(),
                window: Window::default(),
                frames: Vec::new(),
                stacks: StackTable::default(),
                threads: vec![thread(7, "server"), thread(8, "writer")],
                samples: Vec::new(),
                totals: Vec::new(),
            };
            Self { profile }
        }

        fn frame(&mut self, name: &str, module: &str, kind: FrameKind) -> FrameId {
            let frame = NamedFrame { name: name.to_owned(), module: module.to_owned(), kind };
            let frames = &mut self.profile.frames;
            let row = frames.iter().position(|known| *known == frame).unwrap_or_else(|| {
                frames.push(frame);
                frames.len() - 1
            });
            FrameId(row as u32)
        }

        /// `stack` is outermost first: user functions, then with a leading `*` kernel functions.
        fn sample(&mut self, thread: u32, stack: &[&str], metric: Metric, millis: u64, error_millis: u64) {
            let root = self.profile.threads[thread as usize].comm.clone();
            let mut ids = vec![self.frame(&root, "", FrameKind::Label)];
            for name in stack {
                ids.push(match name.strip_prefix('*') {
                    Some(name) => self.frame(name, "[kernel]", FrameKind::Kernel),
                    None if name.starts_with('[') => self.frame(name, "", FrameKind::Label),
                    None if name.starts_with("__") => self.frame(name, "libc.so.6", FrameKind::User),
                    None => self.frame(name, "app", FrameKind::User),
                });
            }
            let stack = self.profile.stacks.intern_all(ids);
            let error = error_millis as f64 * 1e6;
            self.profile.samples.push(Weighted {
                time: Nanos(0),
                duration: Nanos(millis * 1_000_000),
                cpu: CpuId(0),
                thread: ThreadIdx(thread),
                stack,
                metric,
                value: millis as f64 * 1e6,
                variance: error * error,
                wake: None,
            });
        }

        fn text(&self) -> String {
            let mut out = Vec::new();
            summary(&self.profile, &mut out).expect("memory takes everything");
            String::from_utf8(out).expect("text")
        }
    }

    fn busy_server() -> Maker {
        let blocked = Metric::OffCpu(Reason::Blocked);
        let mut maker = Maker::new();
        maker.sample(0, &["main", "serve", "compress"], Metric::OnCpu, 300, 0);
        maker.sample(0, &["main", "serve", "compress", "compress"], Metric::OnCpu, 100, 0);
        maker.sample(0, &["main", "serve", "__write", "*ksys_write"], Metric::OnCpu, 90, 0);
        maker.sample(1, &["[stack not walked]"], Metric::OnCpu, 10, 0);
        maker.sample(0, &["main", "serve", "__poll", "*do_sys_poll", "*schedule", "*__schedule"], blocked, 400, 30);
        maker.sample(0, &["main", "serve", "__poll", "*do_sys_poll", "*schedule", "*__schedule"], blocked, 200, 40);
        maker.sample(1, &["main", "flush", "*io_schedule"], Metric::OffCpu(Reason::IoWait), 120, 0);
        maker.sample(1, &["[not sampled]"], Metric::OffCpu(Reason::Preempted), 5, 0);
        let millis = |value: u64| Nanos(value * 1_000_000);
        maker.profile.totals = vec![
            ThreadTotals { thread: ThreadIdx(0), count: [4_211, 0, 0], time: [millis(600), Nanos(0), Nanos(0)] },
            ThreadTotals { thread: ThreadIdx(1), count: [0, 3, 12], time: [Nanos(0), millis(5), millis(120)] },
        ];
        maker
    }

    #[test]
    fn a_busy_server() {
        let mut maker = busy_server();
        let meta = &mut maker.profile.meta;
        meta.idle = [(CpuId(0), 0.12), (CpuId(1), 0.4)].into();
        meta.cost.cpu_share = 0.0083;
        meta.cost.agent_cpu = Nanos(3_100_000);
        meta.cost.map_memory = Bytes(4 << 20);
        meta.cost.agent_memory = Bytes(31 << 20);
        meta.cost.probes = vec![
            ProbeCost {
                probe: "cpu".to_owned(),
                mechanism: "perf_event cpu-clock".to_owned(),
                events: 198,
                nanos_per_event: Some(11_240.0),
            },
            ProbeCost {
                probe: "offcpu".to_owned(),
                mechanism: "tp_btf sched_switch".to_owned(),
                events: 90_210,
                nanos_per_event: None,
            },
        ];
        meta.losses = Losses { ring_full: 3, truncated_user_stacks: 17, ..Losses::default() };
        meta.symbols.named = 900;
        meta.symbols.unnamed = [("no symbols in the file".to_owned(), 12)].into();
        meta.governing.budget = Some(0.01);
        meta.governing.counting = 0.002;
        meta.governing.changes =
            vec![ScaleChange { time: Nanos(250_000_000), probe: "offcpu".to_owned(), scale: 0.125 }];
        meta.remarks = vec!["cpu: no hardware cycle counter, a timer samples instead".to_owned()];
        insta::assert_snapshot!(maker.text());
    }

    #[test]
    fn a_budget_that_was_missed_by_a_little_is_said_so_too() {
        let mut maker = busy_server();
        let meta = &mut maker.profile.meta;
        meta.governing.budget = Some(0.01);
        let mut governor = |events, over_budget| {
            let meta = &mut maker.profile.meta;
            let mechanism = "tp_btf sched_switch".to_owned();
            let nanos_per_event = Some(100.0);
            meta.cost.probes = vec![ProbeCost { probe: "offcpu".to_owned(), mechanism, events, nanos_per_event }];
            meta.governing.over_budget = over_budget;
            let text = maker.text();
            text.lines().find(|line| line.starts_with("governor")).expect("a line").to_owned()
        };
        let begin = "governor  budget 1.00 % of one CPU for the probes";
        assert_eq!(governor(90_000, false), format!("{begin}, kept: they cost 0.90 %; rates changed: 0"));
        assert_eq!(governor(100_040, false), format!("{begin}, kept: they cost 1.00 %; rates changed: 0"));
        assert_eq!(governor(102_000, false), format!("{begin}, not kept: they cost 1.02 %; rates changed: 0"));
        assert!(governor(102_000, true).starts_with(&format!("{begin}, not kept even at the lowest rates: they")));
        assert!(governor(90_000, true).starts_with(&format!("{begin}, not kept at times even at the lowest rates;")));
    }

    #[test]
    fn a_part_of_the_time_does_not_call_itself_the_whole_capture() {
        let mut maker = busy_server();
        assert!(!maker.text().contains("\npart "), "{}", maker.text());
        let millis = |value: u64| Some(Nanos(value * 1_000_000));
        maker.profile.window = Window { since: millis(200), until: millis(500) };
        let text = maker.text();
        assert!(
            text.contains("\npart      what began from 200 ms to 500 ms, from the start of the capture\n"),
            "{text}"
        );
        let exact =
            text.split_once("\nexact ").expect("exact totals").1.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(exact.contains("(the whole capture, not only the part above; ended sleeps of"), "{exact}");
    }

    #[test]
    fn one_of_a_kind_is_in_the_singular() {
        let mut maker = Maker::new();
        maker.sample(0, &["main"], Metric::OnCpu, 10, 0);
        maker.profile.meta.losses = Losses { deep_stacks: 1, ring_full: 2, ..Losses::default() };
        maker.profile.totals =
            vec![ThreadTotals { thread: ThreadIdx(0), count: [1, 0, 0], time: [Nanos(5), Nanos(0), Nanos(0)] }];
        maker.sample(0, &["main"], Metric::OffCpu(Reason::Blocked), 10, 0);
        let text = maker.text();
        for said in ["in 1 sample\n", "1 stack cut at 127 frames\n", "2 samples lost", "in 1 sleep (the"] {
            assert!(text.contains(said), "no `{said}` in {text}");
        }
    }

    #[test]
    fn nothing_at_all() {
        insta::assert_snapshot!(Maker::new().text());
    }

    #[test]
    fn no_line_is_wider_than_100_columns_and_no_control_character_gets_out() {
        let mut maker = busy_server();
        let long = "very::long::".repeat(30);
        maker.sample(0, &[&long, "evil\x1b[31m"], Metric::OnCpu, 5_000, 0);
        maker.sample(0, &[&long, "*do_wait"], Metric::OffCpu(Reason::Blocked), 5_000, 1);
        maker.profile.meta.remarks = vec!["word ".repeat(60)];
        maker.profile.meta.target = Target::Command(vec!["sh".to_owned(), "a ".repeat(80)]);
        let text = maker.text();
        for line in text.lines() {
            assert!(line.chars().count() <= 100, "{line}");
        }
        assert!(text.contains(r"evil\u001b[31m"), "{text}");
        assert!(!text.contains('\x1b'));
    }
}
