//! Shares of a whole, and the share of time in functions without a name.

use super::series::series;
use crate::profile::{FrameKind, Profile};
use crate::recording::StackId;
use crate::text;

/// A share as a percentage: `12.3 %`, and never `0.0 %` or `100.0 %` for a share that is not 0 or 1.
pub(super) fn percent(share: f64) -> String {
    match 100.0 * share {
        0.0 => "0 %".to_owned(),
        100.0 => "100 %".to_owned(),
        small if small < 0.1 => "< 0.1 %".to_owned(),
        large if large > 99.9 => "> 99.9 %".to_owned(),
        percent => format!("{percent:.1} %"),
    }
}

/// How much of the time has no function name, and why, such as `3.2 % of On-CPU and < 0.1 % of Off-CPU have no function name (most
/// of it: file stripped)`; `None` if all functions have names.
///
/// A sample is counted if its innermost user function or its innermost kernel function has no name. The reasons are those of code
/// locations in the whole capture, the most frequent first.
pub(super) fn unnamed_in_words(profile: &Profile) -> Option<String> {
    /// The number of reasons that are shown. The recording contains all of them.
    const REASONS: usize = 3;
    let meta = &profile.meta;
    if meta.symbols.unnamed_in_all() == 0 {
        return None;
    }
    let share = |(label, share): (String, f64)| format!("{} of {}", percent(share), text::shown(&label));
    let shares: Vec<String> = unnamed_shares(profile).into_iter().map(share).collect();
    if shares.is_empty() {
        return None;
    }
    let mut reasons: Vec<_> = meta.symbols.unnamed.iter().filter(|(_, count)| **count > 0).collect();
    reasons.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    let reasons: Vec<_> = reasons.into_iter().take(REASONS).map(|(reason, _)| text::shown(reason)).collect();
    Some(format!("no function name for {} (reasons: {})", shares.join(" and "), reasons.join("; ")))
}

/// The label of each series with values, and the share of them that has no function name, from 0 to 1.
pub(super) fn unnamed_shares(profile: &Profile) -> Vec<(String, f64)> {
    let unnamed = unnamed_stacks(profile);
    let is_unnamed = |stack: Option<StackId>| stack.is_some_and(|stack| unnamed[stack.index()]);
    let mut shares = Vec::new();
    for series in series(&profile.meta) {
        let samples = profile.samples.iter().filter(|sample| series.metrics.contains(&sample.metric));
        let (mut all, mut part) = (0.0, 0.0);
        for sample in samples {
            all += sample.value;
            part += if is_unnamed(sample.stack) { sample.value } else { 0.0 };
        }
        if all > 0.0 {
            shares.push((series.label, part / all));
        }
    }
    shares
}

/// For each node, whether the innermost user function or the innermost kernel function of the stack has no name.
fn unnamed_stacks(profile: &Profile) -> Vec<bool> {
    let mut innermost: Vec<[bool; 2]> = Vec::with_capacity(profile.stacks.rows().len());
    for node in profile.stacks.rows() {
        let [mut user, mut kernel] = node.parent.map_or([false; 2], |parent| innermost[parent.index()]);
        let frame = profile.frame(node.frame);
        match frame.kind {
            FrameKind::User => user = !frame.has_symbol,
            FrameKind::Kernel => kernel = !frame.has_symbol,
            FrameKind::Label => {}
        }
        innermost.push([user, kernel]);
    }
    innermost.into_iter().map(|[user, kernel]| user || kernel).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::{Selection, build};
    use crate::recording::example::{BLOCKED, CPU, Example};
    use crate::recording::{Frame, Location};

    #[test]
    fn a_share_is_not_rounded_to_nothing_or_all() {
        let shown = [0.0, 1e-6, 0.0321, 0.99999, 1.0].map(percent);
        assert_eq!(shown, ["0 %", "< 0.1 %", "3.2 %", "> 99.9 %", "100 %"]);
    }

    #[test]
    fn time_is_unnamed_if_the_function_in_which_it_passed_has_no_name() {
        let mut example = Example::new();
        let thread = example.thread(1, 1, "t");
        let named = example.stack("app main work kernel:sleep");
        let module = example.module("app");
        let unnamed = example.recording.frames.push(Frame::new(Location::Module { module, offset: 99 }));
        let [main, sleep] = [example.user_function("app", "main"), example.kernel_function("sleep")];
        let mut stack = |frames: &[_]| example.recording.stacks.intern_all(frames.iter().copied());
        // A caller without a name does not matter.
        let caller = stack(&[unnamed, main]).expect("a stack");
        let innermost = stack(&[main, unnamed, sleep]).expect("a stack");
        example.sample(CPU, thread, named, 60);
        example.sample(CPU, thread, caller, 30);
        example.sample(CPU, thread, innermost, 10);
        example.sample(BLOCKED, thread, named, 1);
        let told = |example: &Example| unnamed_in_words(&build(&example.recording, &Selection::default()));
        assert_eq!(told(&example), None);
        let reasons = [("file stripped", 5), ("no file", 9)].map(|(reason, count)| (reason.to_owned(), count));
        example.recording.meta.symbols.unnamed = reasons.into();
        let expected = "no function name for 10.0 % of On-CPU and 0 % of Off-CPU (reasons: no file; file stripped)";
        assert_eq!(told(&example).as_deref(), Some(expected));
    }
}
