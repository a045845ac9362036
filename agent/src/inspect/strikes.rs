//! Who kept quell waiting, and for how long anyone may.

use std::time::Duration;

use hashbrown::HashMap;

use crate::host::identity;
use crate::units::Pid;

/// Timeouts after which no more requests are sent for the same user, or for the same process of root.
const MAX_STRIKES: u32 = 3;

/// Timeouts of all users after which only root's processes get requests: one attacker may control many user IDs.
const MAX_ALL: u32 = 64;

/// Who answers for a timeout: the user of the process, or, if that is root, the process alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Responsible {
    /// A user.
    User(u32),
    /// A process.
    Process(Pid),
}

impl Responsible {
    /// For a process. To be found out before it is asked: it may be gone when it has not answered.
    pub(crate) fn of(pid: Pid) -> Self {
        match identity(pid) {
            Ok((user, _)) if user != 0 => Self::User(user),
            _ => Self::Process(pid),
        }
    }
}

/// Counts requests without an answer. Each makes the next one's time shorter, so that all together take a bounded time.
#[derive(Debug)]
pub(super) struct Strikes {
    first: Duration,
    least: Duration,
    all: u32,
    by: HashMap<Responsible, u32>,
}

impl Strikes {
    /// The first request may take `first`; each strike halves that, down to `least`.
    pub(super) fn new(first: Duration, least: Duration) -> Self {
        Self { first, least, all: 0, by: HashMap::new() }
    }

    /// How long the next request may take.
    pub(super) fn patience(&self) -> Duration {
        (self.first / (1 << self.all.min(16))).max(self.least)
    }

    /// Counts a request without an answer.
    pub(super) fn strike(&mut self, who: Responsible) {
        self.all += 1;
        *self.by.entry(who).or_default() += 1;
    }

    /// Whether nothing more is asked.
    pub(super) fn is_out(&self, who: Responsible) -> bool {
        let out = self.by.get(&who).is_some_and(|strikes| *strikes >= MAX_STRIKES);
        out || (self.all >= MAX_ALL && matches!(who, Responsible::User(_)))
    }

    /// Requests without an answer so far.
    pub(super) fn all(&self) -> u64 {
        u64::from(self.all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_does_not_answer_is_not_asked_again_and_all_together_take_a_bounded_time() {
        let mut strikes = Strikes::new(Duration::from_millis(256), Duration::from_millis(16));
        let slow = Responsible::User(1);
        assert!(!strikes.is_out(slow));
        let mut waited = Duration::ZERO;
        for _ in 0..MAX_STRIKES {
            waited += strikes.patience();
            strikes.strike(slow);
        }
        assert!(strikes.is_out(slow) && !strikes.is_out(Responsible::User(2)));
        for other in 0..MAX_ALL {
            waited += strikes.patience();
            strikes.strike(Responsible::Process(Pid(other)));
        }
        assert!(strikes.is_out(Responsible::User(2)) && !strikes.is_out(Responsible::Process(Pid(MAX_ALL))));
        assert!(waited < Duration::from_secs(2), "{waited:?}");
    }
}
