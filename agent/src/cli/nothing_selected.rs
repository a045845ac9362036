//! Why a selection of a recording is empty, and what could be selected.

use std::collections::BTreeMap;

use quell::profile::{Profile, Selection, Window, build};
use quell::recording::{Process, ProcessFilter, Recording, Sample};
use quell::text;

/// The error of a selection without samples.
#[derive(Debug, thiserror::Error)]
#[error("the selection is empty: {why}\nhint: {contents}")]
pub(crate) struct NothingSelected {
    why: String,
    contents: String,
}

/// The number of names that a hint lists.
const SHOWN: usize = 10;

/// A filter of a selection: the options that set it, the selection that has only this filter, and what it can choose from.
struct Filter {
    options: &'static str,
    alone: Selection,
    contents: String,
}

/// Checks that something is selected. A recording that is empty itself is not an error.
///
/// # Errors
/// Nothing is selected: says which filter is the reason.
pub(crate) fn check(recording: &Recording, selection: &Selection, profile: &Profile) -> Result<(), NothingSelected> {
    let filters = filters(recording, selection);
    if filters.is_empty() || !is_empty(recording, selection, profile) {
        return Ok(());
    }
    let leaves_nothing = |filter: &&Filter| is_empty(recording, &filter.alone, &build(recording, &filter.alone));
    Err(match filters.iter().find(leaves_nothing) {
        Some(filter) => NothingSelected {
            why: format!("nothing in this recording matches {}", filter.options),
            contents: filter.contents.clone(),
        },
        None => NothingSelected {
            why: "each option matches something, but nothing matches all of them".to_owned(),
            contents: "leave out one of the options".to_owned(),
        },
    })
}

/// Whether a selection has no samples that it could have, and no counted values instead.
fn is_empty(recording: &Recording, selection: &Selection, profile: &Profile) -> bool {
    let is_counted_there = profile.counters.iter().any(|row| row.slice.is_some());
    if is_counted_there || profile.samples.iter().any(|sample| sample.value > 0.0) {
        return false;
    }
    // Other counted values are those of the whole capture. So in a part of it they show nothing, unless there are no samples at all.
    let whole = Selection { window: Window::default(), ..selection.clone() };
    let only_counted = profile.counters.is_empty() && profile.histograms.is_empty();
    only_counted || (selection.window != whole.window && !build(recording, &whole).samples.is_empty())
}

fn filters(recording: &Recording, selection: &Selection) -> Vec<Filter> {
    let none = Selection::default;
    let Selection { probes, pids, tids, comms, processes, stacks, window, .. } = selection.clone();
    let ProcessFilter { executables, cgroups, users } = processes;
    let duration = recording.meta.duration;
    let thread = |sample: &Sample| recording.threads.get(sample.thread);
    let process = |sample: &Sample| recording.processes.get(thread(sample).process);
    let most_frequent = |what: &str, name: &dyn Fn(&Sample) -> String| listed(recording, what, name);
    let mut filters = Vec::new();
    let mut add = |is_set: bool, options, alone, contents: &dyn Fn() -> String| {
        if is_set {
            filters.push(Filter { options, alone, contents: contents() });
        }
    };
    add(!probes.is_empty(), "--probe", Selection { probes, ..none() }, &|| {
        let probes: Vec<_> = recording.meta.probes.iter().map(|probe| text::shown(&probe.name)).collect();
        format!("the recording was made with the probes {}", probes.join(", "))
    });
    add(!pids.is_empty(), "--pid", Selection { pids, ..none() }, &|| {
        most_frequent("the processes", &|sample| thread(sample).pid.to_string())
    });
    add(!tids.is_empty(), "--tid", Selection { tids, ..none() }, &|| {
        most_frequent("the threads", &|sample| thread(sample).tid.to_string())
    });
    add(!comms.is_empty(), "--comm", Selection { comms, ..none() }, &|| {
        most_frequent("threads named", &|sample| thread(sample).comm.clone())
    });
    let alone = |processes| Selection { processes, ..none() };
    let any = ProcessFilter::default;
    add(!executables.is_empty(), "--exe", alone(ProcessFilter { executables, ..any() }), &|| {
        most_frequent("the executables", &|sample| {
            known(process(sample).executable.as_ref().map(|path| path.display().to_string()))
        })
    });
    add(!cgroups.is_empty(), "--cgroup", alone(ProcessFilter { cgroups, ..any() }), &|| {
        most_frequent("the cgroups", &|sample| known(process(sample).cgroup.clone()))
    });
    add(!users.is_empty(), "--user", alone(ProcessFilter { users, ..any() }), &|| {
        most_frequent("the users", &|sample| {
            let Process { user, user_name, .. } = process(sample);
            known(user_name.clone().or_else(|| user.map(|uid| uid.to_string())))
        })
    });
    add(!stacks.takes_all(), "--function and --exclude", Selection { stacks, ..none() }, &|| {
        "a pattern matches the whole name of a function; `*NAME*` matches a part of it".to_owned()
    });
    add(window != Window::default(), "--since and --until", Selection { window, ..none() }, &|| {
        format!("the capture has a length of {duration}")
    });
    filters
}

fn known(text: Option<String>) -> String {
    text.unwrap_or_else(|| "(unknown)".to_owned())
}

/// What a filter can choose from: the values with the most samples.
fn listed(recording: &Recording, what: &str, name: &dyn Fn(&Sample) -> String) -> String {
    let mut samples: BTreeMap<String, usize> = BTreeMap::new();
    for sample in &recording.samples {
        *samples.entry(name(sample)).or_default() += 1;
    }
    let mut names: Vec<(String, usize)> = samples.into_iter().collect();
    names.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let more = if names.len() > SHOWN { format!(" and {} more", names.len() - SHOWN) } else { String::new() };
    let names: Vec<_> = names.iter().take(SHOWN).map(|(name, _)| text::shown(name)).collect();
    format!("the recording contains {what} {}{more}", names.join(", "))
}
