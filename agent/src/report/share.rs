//! Shares of a whole, and the share of time in functions without a name.

use super::libraries::is_c_library;
use super::series::series;
use crate::profile::{FrameKind, Profile, Weighted};
use crate::recording::MetricKind;
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
/// of it: file stripped)`; `None` if all of the time is in functions with names.
///
/// A sample is counted if its innermost user function or its innermost kernel function has no name; for waits, the innermost user
/// function outside the C library. The reasons are those of code
/// locations in the whole capture, the most frequent first.
pub(super) fn unnamed_in_words(profile: &Profile) -> Option<String> {
    /// The number of reasons that are shown. The recording contains all of them.
    const REASONS: usize = 3;
    let meta = &profile.meta;
    if meta.symbols.unnamed_in_all() == 0 {
        return None;
    }
    let shares = unnamed_shares(profile);
    if shares.iter().all(|(_, share)| *share == 0.0) {
        return None;
    }
    let share = |(label, share): (String, f64)| format!("{} of {}", percent(share), text::shown(&label));
    let shares: Vec<String> = shares.into_iter().map(share).collect();
    let mut reasons: Vec<_> = meta.symbols.unnamed.iter().filter(|(_, count)| **count > 0).collect();
    reasons.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    let reasons: Vec<_> = reasons.into_iter().take(REASONS).map(|(reason, _)| text::shown(reason)).collect();
    Some(format!("no function name for {} (reasons: {})", shares.join(" and "), reasons.join("; ")))
}

/// The label of each series with values, and the share of them that has no function name, from 0 to 1.
pub(super) fn unnamed_shares(profile: &Profile) -> Vec<(String, f64)> {
    let innermost = innermost_functions(profile);
    let is_unnamed = |sample: &Weighted| {
        let kind = profile.metric(sample.metric).kind;
        sample.stack.is_some_and(|stack| innermost[stack.index()].is_unnamed(kind))
    };
    let mut shares = Vec::new();
    for series in series(&profile.meta) {
        let samples = profile.samples.iter().filter(|sample| series.metrics.contains(&sample.metric));
        let (mut all, mut part) = (0.0, 0.0);
        for sample in samples {
            all += sample.value;
            part += if is_unnamed(sample) { sample.value } else { 0.0 };
        }
        if all > 0.0 {
            shares.push((series.label, part / all));
        }
    }
    shares
}

/// Whether the innermost functions of a stack have no name.
#[derive(Clone, Copy, Default)]
struct Innermost {
    user: bool,
    /// Of the user functions outside the C library, if there are any: most waits are in a named function of the C library, whose
    /// caller says what for.
    own_user: Option<bool>,
    kernel: bool,
}

impl Innermost {
    fn is_unnamed(self, kind: MetricKind) -> bool {
        let user = match kind {
            MetricKind::Interval => self.own_user.unwrap_or(self.user),
            MetricKind::Instant => self.user,
        };
        user || self.kernel
    }
}

/// The innermost functions of each node.
fn innermost_functions(profile: &Profile) -> Vec<Innermost> {
    let mut innermost: Vec<Innermost> = Vec::with_capacity(profile.stacks.rows().len());
    for node in profile.stacks.rows() {
        let mut functions = node.parent.map_or_else(Innermost::default, |parent| innermost[parent.index()]);
        let frame = profile.frame(node.frame);
        match frame.kind {
            FrameKind::User => {
                functions.user = !frame.has_symbol;
                if !is_c_library(&frame.module) {
                    functions.own_user = Some(!frame.has_symbol);
                }
            }
            FrameKind::Kernel => functions.kernel = !frame.has_symbol,
            FrameKind::Label => {}
        }
        innermost.push(functions);
    }
    innermost
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
        let poll = example.user_function("libc.so.6", "poll");
        let mut stack = |frames: &[_]| example.recording.stacks.intern_all(frames.iter().copied());
        // A caller without a name does not matter.
        let caller = stack(&[unnamed, main]).expect("a stack");
        let innermost = stack(&[main, unnamed, sleep]).expect("a stack");
        let in_library = stack(&[main, unnamed, poll, sleep]).expect("a stack");
        example.sample(CPU, thread, named, 30);
        example.sample(CPU, thread, in_library, 30);
        example.sample(CPU, thread, caller, 30);
        example.sample(CPU, thread, innermost, 10);
        example.sample(BLOCKED, thread, named, 10);
        example.sample(BLOCKED, thread, in_library, 30);
        let told = |example: &Example| unnamed_in_words(&build(&example.recording, &Selection::default()));
        assert_eq!(told(&example), None);
        let reasons = [("file stripped", 5), ("no file", 9)].map(|(reason, count)| (reason.to_owned(), count));
        example.recording.meta.symbols.unnamed = reasons.into();
        let expected = "no function name for 10.0 % of On-CPU and 75.0 % of Off-CPU (reasons: no file; file stripped)";
        assert_eq!(told(&example).as_deref(), Some(expected));
    }
}
