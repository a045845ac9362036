//! How much time the mappings of one user's processes may take.

use std::time::{Duration, Instant};

use hashbrown::HashMap;

use crate::inspect::Responsible;
use crate::units::Pid;

/// Time that is had from the beginning: some twenty thousand mappings a process, ten processes.
const AT_ONCE: Duration = Duration::from_millis(500);

/// And of the time that passes one part in so many.
const PART: u32 = 20;

/// What takes less is not counted: nearly every process.
const LEAST: Duration = Duration::from_millis(1);

/// Counts the time that went into processes with very many mappings: the kernel prints a million in a second, and a user may have
/// many such processes, each of which would have to be read anew when it had to be forgotten.
#[derive(Debug)]
pub(super) struct Allowance {
    begin: Instant,
    spent: HashMap<Responsible, Duration>,
    refused: u64,
}

impl Allowance {
    /// From now on.
    pub(super) fn new(begin: Instant) -> Self {
        Self { begin, spent: HashMap::new(), refused: 0 }
    }

    /// Whether a process may be read; where not, that is counted.
    pub(super) fn permits(&mut self, pid: Pid, now: Instant) -> bool {
        let limit = AT_ONCE + now.duration_since(self.begin) / PART;
        // Whose it is takes a system call or three.
        if self.spent.values().all(|spent| *spent < limit) {
            return true;
        }
        let permits = self.spent.get(&Responsible::of(pid)).is_none_or(|spent| *spent < limit);
        self.refused += u64::from(!permits);
        permits
    }

    /// Takes note of what a process took.
    pub(super) fn spend(&mut self, pid: Pid, time: Duration) {
        if time >= LEAST {
            *self.spent.entry(Responsible::of(pid)).or_default() += time;
        }
    }

    /// How often a process was not read.
    pub(super) fn refused(&self) -> u64 {
        self.refused
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_took_too_long_waits_and_nobody_else_does() {
        let begin = Instant::now();
        let mut allowance = Allowance::new(begin);
        // Neither ever is: PID_MAX_LIMIT is 4,194,304. They are nobody's, and so each its own.
        let (slow, other) = (Pid(1 << 23), Pid((1 << 23) + 1));
        allowance.spend(slow, AT_ONCE - LEAST);
        assert!(allowance.permits(slow, begin));
        allowance.spend(slow, LEAST);
        assert!(!allowance.permits(slow, begin) && allowance.permits(other, begin));
        assert!(allowance.permits(slow, begin + 2 * PART * LEAST));
        for _ in 0..10_000 {
            allowance.spend(other, LEAST / 2);
        }
        assert!(allowance.permits(other, begin));
        assert_eq!(allowance.refused(), 1);
    }
}
