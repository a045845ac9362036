//! Limits the time for requests about the processes of one user.

use std::time::{Duration, Instant};

use hashbrown::HashMap;

use super::Responsible;

/// The reciprocal of the share of time for each user.
const PART: u32 = 20;

/// The duration of a normal request; it takes a little more on a busy host.
const USUAL: Duration = Duration::from_micros(250);

/// The charge for a normal request.
const LEAST: Duration = Duration::from_micros(50);

/// The number of entries above which entries with little time are removed: each process of root has an entry.
const MANY: usize = 4_096;

/// Measures the time of requests for each user, even if there are no timeouts: requests about processes with very many
/// mappings or with contended memory locks may take as much time in total, with many short answers.
#[derive(Debug)]
pub(super) struct Allowance {
    begin: Instant,
    /// The initial allowance.
    at_once: Duration,
    spent: HashMap<Responsible, Duration>,
    sweep_at: usize,
    refused: u64,
}

impl Allowance {
    /// Starts all allowances at the time `begin`.
    pub(super) fn new(at_once: Duration, begin: Instant) -> Self {
        Self { begin, at_once, spent: HashMap::new(), sweep_at: MANY, refused: 0 }
    }

    /// Whether a request may be sent. Denied requests are counted.
    pub(super) fn permits(&mut self, who: Responsible, now: Instant) -> bool {
        let limit = self.at_once + now.duration_since(self.begin) / PART;
        let permits = self.spent.get(&who).is_none_or(|spent| *spent < limit);
        self.refused += u64::from(!permits);
        permits
    }

    /// Charges the time of a request.
    pub(super) fn spend(&mut self, who: Responsible, time: Duration) {
        *self.spent.entry(who).or_default() += if time <= USUAL { LEAST } else { time };
        if self.spent.len() > self.sweep_at {
            let much = self.at_once / 100;
            self.spent.retain(|_, spent| *spent > much);
            self.sweep_at = MANY.max(2 * self.spent.len());
        }
    }

    /// The number of denied requests.
    pub(super) fn refused(&self) -> u64 {
        self.refused
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::Pid;

    const AT_ONCE: Duration = Duration::from_millis(500);

    #[test]
    fn who_took_too_long_waits_and_nobody_else_does() {
        let begin = Instant::now();
        let mut allowance = Allowance::new(AT_ONCE, begin);
        let (slow, other) = (Responsible::User(1), Responsible::User(2));
        allowance.spend(slow, AT_ONCE - Duration::from_millis(1));
        assert!(allowance.permits(slow, begin));
        allowance.spend(slow, Duration::from_millis(1));
        assert!(!allowance.permits(slow, begin) && allowance.permits(other, begin));
        assert!(allowance.permits(slow, begin + 2 * PART * Duration::from_millis(1)));
        assert_eq!(allowance.refused(), 1);
    }

    #[test]
    fn many_short_requests_are_charged_too() {
        let begin = Instant::now();
        let mut allowance = Allowance::new(AT_ONCE, begin);
        let who = Responsible::User(1);
        // Two stack reads for each of 2,000 sleeping threads.
        for _ in 0..4_000 {
            allowance.spend(who, USUAL);
        }
        assert!(allowance.permits(who, begin));
        for _ in 0..100_000 {
            allowance.spend(who, Duration::from_micros(10));
        }
        assert!(!allowance.permits(who, begin));
        // The removal of many small entries does not remove this one.
        for number in 0..100_000 {
            allowance.spend(Responsible::Process(Pid(number)), USUAL);
        }
        assert!(!allowance.permits(who, begin));
        assert!(allowance.spent.len() <= MANY, "{}", allowance.spent.len());
    }
}
