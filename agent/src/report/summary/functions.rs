//! The functions with the largest values of instants, such as CPU time.

use hashbrown::{HashMap, HashSet};

use super::function_estimates::{FunctionEstimate, estimates};
use super::page::column;
use super::{Page, ROWS, counted, label, with_error};
use crate::profile::{Estimate, FrameKind, Profile};
use crate::recording::{FrameId, StackId};
use crate::report::ReportError;
use crate::report::series::Series;

/// The most characters of the name of a module, if names must be shortened.
const MODULE: usize = 24;

/// The least error that is shown, in percent: smaller ones round to 0.0 %.
const LEAST_ERROR: f64 = 0.05;

/// The values of a function: self, and total.
#[derive(Default)]
struct Values {
    own: f64,
    total: f64,
}

/// The functions of a series.
pub(super) struct Functions {
    pub(super) sum: Estimate,
    pub(super) samples: u64,
    pub(super) threads: u64,
    /// The functions with the largest values, in descending order of the value of the function itself.
    pub(super) rows: Vec<(FrameId, FunctionEstimate)>,
}

impl Functions {
    /// The functions of a series, at most `most` of them; `None` if it has no samples.
    pub(super) fn of(profile: &Profile, series: &Series, most: usize) -> Option<Self> {
        let is_of_series = |metric| series.metrics.contains(&metric);
        let samples = || profile.samples.iter().filter(|sample| sample.value > 0.0 && is_of_series(sample.metric));
        let mut sum = Estimate::default();
        samples().for_each(|sample| sum.add(sample));
        if sum.value() == 0.0 {
            return None;
        }
        let mut values = function_values(profile, samples().filter_map(|sample| Some((sample.stack?, sample.value))));
        values.sort_by(|(a, x), (b, y)| {
            y.own
                .total_cmp(&x.own)
                .then(y.total.total_cmp(&x.total))
                .then_with(|| profile.frame(*a).name.cmp(&profile.frame(*b).name))
        });
        let functions: Vec<FrameId> = values.into_iter().take(most).map(|(function, _)| function).collect();
        let estimates = estimates(profile, samples(), &functions);
        let threads = samples().map(|sample| profile.thread(sample.thread).key()).collect::<HashSet<_>>().len() as u64;
        let rows = functions.into_iter().zip(estimates).collect();
        Some(Self { sum, samples: samples().count() as u64, threads, rows })
    }
}

/// Writes the functions of a series, and returns whether it has samples; nothing without samples. Names are last, so that a long one
/// moves no column.
pub(super) fn table(profile: &Profile, series: &Series, page: &mut Page<'_>) -> Result<bool, ReportError> {
    let Some(functions) = Functions::of(profile, series, ROWS) else { return Ok(false) };
    let Functions { sum, samples, threads, rows } = &functions;
    page.gap()?;
    let of = format!("in {} of {}", counted(*samples, "sample"), counted(*threads, "thread"));
    page.heading(&label(&series.label), &format!(": {} {of}", with_error(sum, profile, series.unit)))?;
    let numbers = numbers(profile, &functions);
    let frame = |id: FrameId| profile.frame(id);
    let most = page.room(0).map(|_| MODULE);
    let modules = rows.iter().map(|(id, _)| frame(*id).module.as_str());
    let (modules, module_width) = column(["module"].into_iter().chain(modules), most);
    let before = numbers.first().map_or(0, |titles| titles.chars().count()) + 2 + module_width + 2;
    let names = rows.iter().map(|(id, _)| frame(*id).name.as_str());
    let (names, _) = column(["function"].into_iter().chain(names), page.room(before));
    for (numbers, (module, name)) in numbers.iter().zip(modules.iter().zip(&names)) {
        page.line(&format!("{numbers}  {module:<module_width$}  {name}"))?;
    }
    Ok(true)
}

/// The titles of the columns of numbers, and a line for each function. Shares of the sum, with their standard errors if one of them is not
/// rounded to nothing.
fn numbers(profile: &Profile, Functions { sum, rows, .. }: &Functions) -> Vec<String> {
    let columns = |(_, FunctionEstimate { own, total }): &(FrameId, FunctionEstimate)| {
        [own, total].map(|part| {
            let error = 100.0 * part.error_of_share(sum, &profile.groups);
            (100.0 * part.value() / sum.value(), Some(error).filter(|error| *error >= LEAST_ERROR))
        })
    };
    let rows: Vec<[(f64, Option<f64>); 2]> = rows.iter().map(columns).collect();
    if rows.iter().flatten().all(|(_, error)| error.is_none()) {
        let line = |[(own, _), (total, _)]: &[(f64, _); 2]| format!("{own:>7.1} %{total:>7.1} %");
        return [format!("{:>9}{:>9}", "self", "total")].into_iter().chain(rows.iter().map(line)).collect();
    }
    let cell = |(share, error): &(f64, Option<f64>)| {
        let error = error.map(|error| format!("± {error:.1}")).unwrap_or_default();
        format!("{share:>7.1} % {error:<6}")
    };
    let titles = ["self", "total"].map(|title| format!("{title:>9} {:<6}", "")).concat();
    [titles].into_iter().chain(rows.iter().map(|row| row.each_ref().map(cell).concat())).collect()
}

/// The values of each function with a value. The outermost frames are labels of the process and the thread, which count as a
/// function only if they are the whole stack. The time is linear in the number of nodes and samples, regardless of the depth of the stacks.
fn function_values(profile: &Profile, samples: impl Iterator<Item = (StackId, f64)>) -> Vec<(FrameId, Values)> {
    let nodes = profile.stacks.rows();
    let mut own = vec![0.0; nodes.len()];
    for (stack, value) in samples {
        own[stack.index()] += value;
    }
    // Callers precede their callees in the table.
    let mut below = own.clone();
    for (row, node) in nodes.iter().enumerate().rev() {
        if let Some(parent) = node.parent {
            below[parent.index()] += below[row];
        }
    }
    let mut values: HashMap<FrameId, Values> = HashMap::new();
    for (row, recursive) in recursive_nodes(profile).into_iter().enumerate() {
        let node = nodes[row];
        let label = profile.frame(node.frame).kind == FrameKind::Label;
        let total = if label { own[row] } else { below[row] };
        if total > 0.0 {
            let values = values.entry(node.frame).or_default();
            values.own += own[row];
            values.total += if recursive { 0.0 } else { total };
        }
    }
    values.into_iter().collect()
}

/// For each node, whether one of its callers is the same function, whose total already includes it.
fn recursive_nodes(profile: &Profile) -> Vec<bool> {
    let nodes = profile.stacks.rows();
    let mut first_child = vec![None; nodes.len()];
    let mut next_sibling = vec![None; nodes.len()];
    let mut first_root = None;
    for (row, node) in nodes.iter().enumerate().rev() {
        let first = node.parent.map_or(&mut first_root, |parent| &mut first_child[parent.index()]);
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
        let frame = nodes[row].frame.index();
        recursive[row] = on_path[frame] > 0;
        on_path[frame] += u32::from(!label_root(row));
        // The next node in depth-first order: the first child, or else the next sibling, or else the next sibling of the
        // closest ancestor that has one.
        let mut at = row;
        next = first_child[row].or_else(|| {
            loop {
                on_path[nodes[at].frame.index()] -= u32::from(!label_root(at));
                match (next_sibling[at], nodes[at].parent) {
                    (Some(sibling), _) => return Some(sibling),
                    (None, Some(parent)) => at = parent.index(),
                    (None, None) => return None,
                }
            }
        });
    }
    recursive
}
