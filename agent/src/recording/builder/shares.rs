//! A memory limit that is divided among users.

use hashbrown::HashMap;

use crate::host;
use crate::units::Pid;

/// Memory for data whose amount processes control, and which is kept until the end of a capture. It is limited for each user when half
/// of it is used: otherwise one user could use all of it.
#[derive(Debug)]
pub(crate) struct Shares {
    most: u64,
    used: u64,
    /// The users of processes; `None` for processes that had exited.
    users: HashMap<Pid, Option<u32>>,
    by: HashMap<Option<u32>, u64>,
    user_of: fn(Pid) -> Option<u32>,
}

impl Shares {
    /// A limit in bytes.
    pub(crate) fn new(most: u64) -> Self {
        Self { most, used: 0, users: HashMap::new(), by: HashMap::new(), user_of: host::user_of }
    }

    /// Whether a process may use more memory. When half of the limit is used, a user may use at most as much as remains for the
    /// others.
    pub(crate) fn permit(&mut self, pid: Pid) -> bool {
        self.used < self.most / 2 || {
            let user = self.user(pid);
            let own = self.by.get(&user).copied().unwrap_or_default();
            own < self.most.saturating_sub(self.used)
        }
    }

    /// Adds to the memory that a process uses, in bytes.
    pub(crate) fn charge(&mut self, pid: Pid, bytes: u64) {
        self.used += bytes;
        if self.used >= self.most / 2 {
            let user = self.user(pid);
            *self.by.entry(user).or_default() += bytes;
        }
    }

    fn user(&mut self, pid: Pid) -> Option<u32> {
        *self.users.entry(pid).or_insert_with(|| (self.user_of)(pid))
    }

    /// For tests: uses another limit, and one user per hundred processes.
    #[cfg(test)]
    pub(crate) fn of(most: u64) -> Self {
        Self { user_of: |pid| Some(pid.0 / 100), ..Self::new(most) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_who_takes_all_that_can_be_had_leaves_as_much_for_others() {
        const LIMIT: u64 = 1 << 20;
        let mut shares = Shares::of(LIMIT);
        let mut take_all = |pid| {
            let mut taken = 0;
            while shares.permit(Pid(pid)) {
                shares.charge(Pid(pid), 64);
                taken += 64;
            }
            taken
        };
        let first = take_all(1);
        assert!((3 * LIMIT / 4..3 * LIMIT / 4 + 128).contains(&first), "{first}");
        for pid in 2..100 {
            assert_eq!(take_all(pid), 0, "of the same user");
        }
        let second = take_all(100);
        assert!((LIMIT / 8 - 128..LIMIT / 8 + 128).contains(&second), "{second}");
        assert!(shares.used <= LIMIT, "{}", shares.used);
    }
}
