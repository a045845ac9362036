//! Processes that are captured because of what is known about them, now or when they execute a program.
//!
//! The kernel reports each exec, and quell reads the reports every [`POLL`](super::POLL). So of a process that matches once it
//! executes a program, up to the first 50 ms are missing, and more if more than [`AT_ONCE`] programs are executed in this time. A process
//! that comes to match in another way, such as by moving to another cgroup, is not captured. Descendants of captured processes are
//! captured from their first instruction on, whether they match or not.

use std::collections::VecDeque;
use std::fs;

use crate::pattern::{Pattern, any_or_none};
use crate::recording::{Process, ProcessFilter};
use crate::units::Pid;

/// The maximum number of processes that are looked at in each [`POLL`](super::POLL) during a capture: a look takes about 50 us, so
/// this is 2 % of a CPU.
pub(super) const AT_ONCE: usize = 20;

/// The maximum number of waiting processes.
const MAX_WAITING: usize = 16_384;

/// Which processes to capture.
#[derive(Clone, Debug, Default)]
pub struct Matching {
    /// Patterns for the name of a process, which is that of its main thread; empty for all.
    pub names: Vec<Pattern>,
    /// Patterns for other data.
    pub processes: ProcessFilter,
    /// The options that state this, for reports.
    pub options: Vec<String>,
}

impl Matching {
    /// Whether a process with this name is captured. `look` reads its data, and is only called for a name that matches.
    pub(super) fn takes(&self, name: &str, look: impl FnOnce() -> Process) -> bool {
        any_or_none(&self.names, |pattern| pattern.matches(name))
            && (self.processes.takes_all() || self.processes.takes(&look()))
    }
}

/// The name of the main thread of a process; `None` if it has exited.
pub(super) fn name_of(pid: Pid) -> Option<String> {
    let name = fs::read(format!("/proc/{pid}/comm")).ok()?;
    Some(String::from_utf8_lossy(name.strip_suffix(b"\n").unwrap_or(&name)).into_owned())
}

/// Processes that have executed a program, and wait for being looked at.
#[derive(Debug, Default)]
pub(super) struct Executed {
    waiting: VecDeque<Pid>,
    dropped: u64,
}

impl Executed {
    /// Adds a process that has executed a program. It is dropped, and counted, if too many are waiting.
    pub(super) fn push(&mut self, pid: Pid) {
        if self.waiting.len() < MAX_WAITING {
            self.waiting.push_back(pid);
        } else {
            self.dropped += 1;
        }
    }

    /// The number of processes that were dropped.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped
    }

    /// The processes to be looked at now.
    pub(super) fn next(&mut self) -> Vec<Pid> {
        let count = self.waiting.len().min(AT_ONCE);
        self.waiting.drain(..count).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn globs(text: &str) -> Vec<Pattern> {
        vec![Pattern::new(text).expect("a pattern")]
    }

    #[test]
    fn a_process_must_match_by_its_name_and_by_its_data() {
        let redis = || Process { user_name: Some("redis".to_owned()), ..Process::new(Pid(7)) };
        let users = |user| ProcessFilter { users: globs(user), ..ProcessFilter::default() };
        let matching = |names, processes| Matching { names, processes, ..Matching::default() };
        assert!(matching(globs("redis*"), users("redis")).takes("redis-server", redis));
        assert!(!matching(globs("redis*"), users("root")).takes("redis-server", redis));
        let unread = || unreachable!("the name does not match");
        assert!(!matching(globs("postgres"), users("redis")).takes("redis-server", unread));
        let unread = || unreachable!("nothing depends on it");
        assert!(matching(globs("redis*"), ProcessFilter::default()).takes("redis-server", unread));
    }

    #[test]
    fn the_name_of_a_process_is_that_of_its_main_thread() {
        let own = name_of(Pid(std::process::id())).expect("this process");
        assert!(!own.is_empty() && !own.contains('\n'), "{own:?}");
        assert_eq!(name_of(Pid(u32::MAX)), None);
    }

    #[test]
    fn many_execs_are_looked_at_in_their_order_over_time() {
        let mut executed = Executed::default();
        (0..20_000).for_each(|pid| executed.push(Pid(pid)));
        assert_eq!(executed.next(), (0..20).map(Pid).collect::<Vec<_>>());
        assert_eq!(executed.next()[0], Pid(20));
        let rest = std::iter::from_fn(|| Some(executed.next()).filter(|next| !next.is_empty())).flatten().count();
        assert_eq!(rest, MAX_WAITING - 40, "the number that waits is bounded");
        assert_eq!(executed.dropped(), 20_000 - MAX_WAITING as u64, "what was dropped is counted");
    }
}
