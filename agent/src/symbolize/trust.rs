//! Which processes are read again after events of mappings were lost.

use super::space::Space;

/// The number of polls between two readings of a process because of lost events: a second.
const REREAD_AFTER: u64 = 20;

/// The number of such readings per poll, which take about 150 us each: below 1 % of a CPU.
const REREADS: u32 = 2;

/// Events can be lost of any process, and all the time. So the processes with samples are read again, each once a second, and few at
/// a time.
#[derive(Debug)]
pub(super) struct Trust {
    /// The number of times that events were lost.
    losses: u64,
    polls: u64,
    /// The number of readings that are left until the next poll.
    left: u32,
}

impl Default for Trust {
    fn default() -> Self {
        Self { losses: 0, polls: 0, left: REREADS }
    }
}

impl Trust {
    /// Events were lost.
    pub(super) fn lose(&mut self) {
        self.losses += 1;
    }

    /// The number of times that events were lost.
    pub(super) fn losses(&self) -> u64 {
        self.losses
    }

    /// Call this regularly: it limits the rate of readings.
    pub(super) fn poll(&mut self) {
        self.polls += 1;
        self.left = REREADS;
    }

    /// Whether a process with a sample is to be read again now.
    pub(super) fn is_to_be_read(&mut self, space: &mut Space) -> bool {
        let is_due = space.losses != self.losses && !space.ended && self.left > 0 && self.polls >= space.reread_at;
        if is_due {
            space.losses = self.losses;
            space.reread_at = self.polls + REREAD_AFTER;
            self.left -= 1;
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::budget::Budget;
    use super::super::mappings::Mappings;
    use super::*;

    fn space() -> Space {
        Space::new(1, Arc::new(Mappings::new(&Budget::default())), true)
    }

    #[test]
    fn after_a_loss_a_process_is_read_again_once_a_second_and_few_at_a_time() {
        let (mut trust, mut space) = (Trust::default(), space());
        assert!(!trust.is_to_be_read(&mut space), "nothing was lost");
        let mut readings = 0;
        for _ in 0..2 * REREAD_AFTER {
            trust.lose();
            readings += (0..10).filter(|_| trust.is_to_be_read(&mut space)).count();
            trust.poll();
        }
        assert_eq!(readings, 2);
        let mut others: Vec<Space> = (0..10).map(|_| self::space()).collect();
        let mut read =
            |trust: &mut Trust| others.iter_mut().filter_map(|space| trust.is_to_be_read(space).then_some(())).count();
        assert_eq!((read(&mut trust), read(&mut trust)), (REREADS as usize, 0));
        trust.poll();
        assert_eq!(read(&mut trust), REREADS as usize);
    }

    #[test]
    fn a_process_that_has_ended_is_not_read_again() {
        let (mut trust, mut space) = (Trust::default(), space());
        space.ended = true;
        trust.lose();
        assert!(!trust.is_to_be_read(&mut space));
    }
}
