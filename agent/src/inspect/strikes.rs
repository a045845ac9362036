//! Counts timeouts by user, and shortens time limits.

use std::time::Duration;

use hashbrown::HashMap;

use crate::host::identity;
use crate::units::Pid;

/// The number of timeouts after which no more requests are sent for a user, or for a process of root.
const MAX_STRIKES: u32 = 3;

/// The number of timeouts of all users after which requests are sent only for processes of root: an attacker may control many user IDs.
const MAX_ALL: u32 = 64;

/// The user or process that a timeout is counted for: the user of the process, or the process itself if its user is root.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Responsible {
    /// A user.
    User(u32),
    /// A process.
    Process(Pid),
}

impl Responsible {
    /// Determines it for a process. Call this before the request, because the process may have exited after a timeout.
    pub(crate) fn of(pid: Pid) -> Self {
        match identity(pid) {
            Ok((user, _)) if user != 0 => Self::User(user),
            _ => Self::Process(pid),
        }
    }
}

/// Counts timeouts. Each shortens the time limit of the next request, so that the total time is bounded.
#[derive(Debug)]
pub(super) struct Strikes {
    first: Duration,
    least: Duration,
    all: u32,
    by: HashMap<Responsible, u32>,
}

impl Strikes {
    /// The first time limit is `first`; each timeout halves it, down to `least`.
    pub(super) fn new(first: Duration, least: Duration) -> Self {
        Self { first, least, all: 0, by: HashMap::new() }
    }

    /// The time limit of the next request.
    pub(super) fn patience(&self) -> Duration {
        (self.first / (1 << self.all.min(16))).max(self.least)
    }

    /// Counts a timeout.
    pub(super) fn strike(&mut self, who: Responsible) {
        self.all += 1;
        *self.by.entry(who).or_default() += 1;
    }

    /// Whether no more requests are sent for this user or process.
    pub(super) fn is_out(&self, who: Responsible) -> bool {
        let out = self.by.get(&who).is_some_and(|strikes| *strikes >= MAX_STRIKES);
        out || (self.all >= MAX_ALL && matches!(who, Responsible::User(_)))
    }

    /// The number of timeouts.
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
