//! Selects samples by the functions in their stacks.

use crate::recording::{Frame, Location, Recording, StackId};

/// A selection of samples by the functions in their stacks. The default selects all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StackFilter {
    /// Only samples with one of these functions in their stack; empty for all.
    pub with: Vec<FunctionPattern>,
    /// No samples with one of these functions in their stack.
    pub without: Vec<FunctionPattern>,
}

/// A pattern for the names of functions: `*` stands for any characters, `?` for one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FunctionPattern(Vec<char>);

impl FunctionPattern {
    /// A pattern, from its text.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(text.chars().collect())
    }

    /// Whether the pattern matches the whole name. Takes a time that is at most proportional to the product of both lengths.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        let name: Vec<char> = name.chars().collect();
        let (mut at, mut next) = (0, 0);
        // Where the last `*` was, and how far it reaches in the name.
        let mut star: Option<(usize, usize)> = None;
        while at < name.len() {
            match (self.0.get(next), star) {
                (Some('*'), _) => {
                    star = Some((next, at));
                    next += 1;
                }
                (Some(letter), _) if *letter == '?' || *letter == name[at] => (at, next) = (at + 1, next + 1),
                (_, Some((place, reach))) => {
                    star = Some((place, reach + 1));
                    (at, next) = (reach + 1, place + 1);
                }
                (_, None) => return false,
            }
        }
        self.0[next..].iter().all(|letter| *letter == '*')
    }
}

impl StackFilter {
    /// Whether it selects all samples.
    #[must_use]
    pub fn takes_all(&self) -> bool {
        self.with.is_empty() && self.without.is_empty()
    }

    /// Whether it selects a sample whose stack is not known.
    pub(super) fn takes_without_stack(&self) -> bool {
        self.with.is_empty()
    }

    /// The filter for the stacks of a recording.
    pub(super) fn of(&self, recording: &Recording) -> SelectedStacks {
        if self.takes_all() {
            return SelectedStacks { without_stack: true, stacks: None };
        }
        let has = |frame: &Frame, patterns: &[FunctionPattern]| {
            patterns.iter().any(|pattern| functions(frame).any(|name| pattern.matches(name)))
        };
        let of_frame = |frame: &Frame| (has(frame, &self.with), has(frame, &self.without));
        let frames: Vec<(bool, bool)> = recording.frames.rows().iter().map(of_frame).collect();
        // Callers come first in the table.
        let mut found: Vec<(bool, bool)> = Vec::with_capacity(recording.stacks.rows().len());
        for node in recording.stacks.rows() {
            let caller = node.parent.map_or((false, false), |parent| found[parent.index()]);
            let frame = frames[node.frame.index()];
            found.push((caller.0 || frame.0, caller.1 || frame.1));
        }
        let takes = |(with, without): (bool, bool)| (with || self.with.is_empty()) && !without;
        let stacks = Some(found.into_iter().map(takes).collect());
        SelectedStacks { without_stack: self.takes_without_stack(), stacks }
    }
}

/// The names of the functions of a frame, with those that were inlined there.
fn functions(frame: &Frame) -> impl Iterator<Item = &str> {
    let name = match &frame.location {
        Location::Label(label) => Some(*label),
        Location::NamedLabel(label) => Some(label.as_str()),
        _ => frame.symbol.as_ref().map(|symbol| symbol.name.as_str()),
    };
    name.into_iter().chain(frame.inlined().iter().map(|function| function.name.as_str()))
}

/// The selected stacks of a recording.
pub(super) struct SelectedStacks {
    without_stack: bool,
    /// Whether each stack is selected; `None` for all.
    stacks: Option<Vec<bool>>,
}

impl SelectedStacks {
    /// Whether a sample with this stack is selected.
    pub(super) fn take(&self, stack: Option<StackId>) -> bool {
        match (stack, &self.stacks) {
            (Some(stack), Some(stacks)) => stacks[stack.index()],
            (Some(_), None) => true,
            (None, _) => self.without_stack,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::{Selection, build};
    use crate::recording::Scope;
    use crate::recording::example::{BLOCKED, CPU, Example};

    #[test]
    fn a_pattern_matches_whole_names() {
        let matches = |pattern: &str, name: &str| FunctionPattern::new(pattern).matches(name);
        for (pattern, name) in
            [("main", "main"), ("*", ""), ("*lock*", "mutex_lock"), ("a*b*c", "aXbbYc"), ("?é", "xé")]
        {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [("main", "domain"), ("main", "main2"), ("?", ""), ("a*b", "abc"), ("", "a")] {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
        // Backtracking would never end.
        assert!(!matches(&"*a".repeat(500), &("a".repeat(499) + "b")));
    }

    #[test]
    fn samples_are_selected_by_the_functions_in_their_stacks() {
        let mut example = Example::new();
        let thread = example.thread(1, 1, "t");
        for (path, value) in [("app main read kernel:vfs_read", 1), ("app main write", 2), ("app start", 4)] {
            let stack = example.stack(path);
            example.sample(CPU, thread, stack, value);
        }
        example.counter(BLOCKED, Scope::Thread(thread), 1, 8);
        let sum = |with: &[&str], without: &[&str]| {
            let patterns = |texts: &[&str]| texts.iter().map(|text| FunctionPattern::new(text)).collect();
            let stacks = StackFilter { with: patterns(with), without: patterns(without) };
            let profile = build(&example.recording, &Selection { stacks, ..Selection::default() });
            (profile.samples.iter().map(|sample| sample.value).sum::<f64>(), profile.counters.len())
        };
        assert_eq!(sum(&[], &[]), (15.0, 1));
        // Counted time has no stack, and counters are of all functions.
        assert_eq!(sum(&["main"], &[]), (3.0, 0));
        assert_eq!(sum(&["vfs_*", "start"], &[]), (5.0, 0));
        assert_eq!(sum(&["main"], &["write"]), (1.0, 0));
        assert_eq!(sum(&[], &["main"]), (12.0, 0));
    }
}
