//! The totals of a capture that losses are a part of.

use crate::recording::{Location, Loss, MetricKind, Recording, Whole};

/// Totals of the whole capture, whatever part of it is selected: losses are counted for the whole capture, too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Samples.
    pub samples: u64,
    /// Samples with a stack.
    pub stacks: u64,
    /// Samples with user frames.
    pub user_stacks: u64,
    /// Off-CPU intervals and other samples with a length.
    pub intervals: u64,
}

impl Totals {
    pub(super) fn of(recording: &Recording) -> Self {
        // Callers come first in the table.
        let mut has_user: Vec<bool> = Vec::with_capacity(recording.stacks.rows().len());
        for node in recording.stacks.rows() {
            let location = &recording.frames.get(node.frame).location;
            let is_user = matches!(location, Location::Module { .. } | Location::Unmapped { .. });
            has_user.push(is_user || node.parent.is_some_and(|parent| has_user[parent.index()]));
        }
        let mut totals = Self { samples: recording.samples.len() as u64, ..Self::default() };
        for sample in &recording.samples {
            totals.stacks += u64::from(sample.stack.is_some());
            totals.user_stacks += u64::from(sample.stack.is_some_and(|stack| has_user[stack.index()]));
            totals.intervals += u64::from(recording.meta.metric(sample.metric).kind == MetricKind::Interval);
        }
        totals
    }

    /// The share of a loss, from 0 to 1, and what it is a share of; `None` if that is not known.
    #[must_use]
    pub fn share_of(&self, loss: &Loss) -> Option<(f64, u64)> {
        let whole = match loss.whole? {
            Whole::Samples => self.samples,
            Whole::SamplesAndLost => self.samples.saturating_add(loss.count),
            Whole::Stacks => self.stacks,
            Whole::UserStacks => self.user_stacks,
            Whole::UserStacksAndLost => self.user_stacks.saturating_add(loss.count),
            Whole::IntervalsAndLost => self.intervals.saturating_add(loss.count),
        };
        // A count in a file may be any number.
        (loss.count <= whole && whole > 0).then(|| (loss.count as f64 / whole as f64, whole))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recording::Losses;
    use crate::recording::example::{BLOCKED, CPU, Example};

    #[test]
    fn a_loss_is_a_share_of_what_could_have_been_lost() {
        let mut example = Example::new();
        let thread = example.thread(1, 1, "t");
        let [user, kernel] = ["app main kernel:read", "app kernel:read"].map(|path| example.stack(path));
        for stack in [user, user, kernel] {
            example.sample(CPU, thread, stack, 1);
        }
        example.sample(BLOCKED, thread, user, 1);
        let totals = Totals::of(&example.recording);
        assert_eq!(totals, Totals { samples: 4, stacks: 4, user_stacks: 3, intervals: 1 });
        let losses = Losses { ring_full: 4, truncated_user_stacks: 3, deep_stacks: 5, evicted: 1, ..Losses::default() };
        let share = |name: &str| {
            let loss = losses.named().into_iter().find(|loss| loss.name.contains(name)).expect(name);
            totals.share_of(&loss)
        };
        assert_eq!(share("ring buffer"), Some((0.5, 8)));
        assert_eq!(share("truncated"), Some((1.0, 3)));
        // More than there are samples with a stack.
        assert_eq!(share("127 frames"), None);
        assert_eq!(share("dropped"), None);
    }
}
