//! The counters and histograms of a selection.

use std::collections::BTreeMap;

use super::select::Selection;
use crate::recording::{Counter, Histogram, MetricId, Recording, Scope};

/// The selected counters. A window does not apply to them: they cover the whole capture. They cover all functions, so that there are
/// none if samples are selected by their stacks.
pub(super) fn counters(recording: &Recording, selection: &Selection) -> Vec<Counter> {
    if !selection.stacks.takes_all() {
        return Vec::new();
    }
    let metrics = selection.metrics(&recording.meta);
    let takes = |row: &&Counter| metrics[row.metric.index()] && takes_scope(recording, selection, &row.scope);
    recording.counters.iter().filter(takes).cloned().collect()
}

/// The selected histograms, added up for each metric and scope, in this order. As with counters, there are none if samples are selected
/// by their stacks.
pub(super) fn histograms(recording: &Recording, selection: &Selection) -> Vec<Histogram> {
    if !selection.stacks.takes_all() {
        return Vec::new();
    }
    let metrics = selection.metrics(&recording.meta);
    let mut sums: BTreeMap<(MetricId, &Scope), Histogram> = BTreeMap::new();
    for row in &recording.histograms {
        if !metrics[row.metric.index()] || !takes_scope(recording, selection, &row.scope) {
            continue;
        }
        match sums.get_mut(&(row.metric, &row.scope)) {
            None => drop(sums.insert((row.metric, &row.scope), row.clone())),
            // A sum takes any value, so that nothing is refused.
            Some(sum) => sum.counts.add(&row.counts).unwrap_or_default(),
        }
    }
    sums.into_values().collect()
}

/// Counters of scopes other than threads are only part of a selection of all threads.
fn takes_scope(recording: &Recording, selection: &Selection, scope: &Scope) -> bool {
    match scope {
        Scope::Thread(thread) => selection.takes_thread(recording, *thread),
        Scope::Host | Scope::Cpu(_) | Scope::Cgroup(_) => selection.takes_all_threads(),
    }
}
