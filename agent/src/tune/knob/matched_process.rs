//! Processes that a process rule matches.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::text::shown;
use crate::units::Pid;

/// A process that a process rule matches, as listed in a plan. Its texts are safe to display.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MatchedProcess {
    /// The process ID. Together with the start time it identifies one process of a boot.
    pub pid: Pid,
    /// The start time in clock ticks since boot: field 22 of `/proc/PID/stat`.
    pub start: u64,
    /// The name of the process: `comm`.
    pub name: String,
    /// The real user ID.
    pub uid: u32,
    /// The effective user ID, which differs in a set-user-ID program.
    pub euid: u32,
    /// The names of these users: one name, or two if the IDs differ.
    pub user: String,
    /// The path of the executable; `None` for a kernel thread, or if it cannot be read.
    pub executable: Option<String>,
}

impl MatchedProcess {
    /// The users who control the process: the user who started it, and for a set-user-ID program also the owner of the program.
    #[must_use]
    pub fn users(&self) -> BTreeSet<u32> {
        [self.uid, self.euid].into()
    }

    /// Whether `other` is the same process. Its name and executable may have changed.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        (self.pid, self.start) == (other.pid, other.start)
    }

    /// The processes with a user that no process of `planned` has.
    #[must_use]
    pub fn of_other_users<'a>(processes: &'a [Self], planned: &[Self]) -> Vec<&'a Self> {
        let known: BTreeSet<u32> = planned.iter().flat_map(Self::users).collect();
        processes.iter().filter(|process| !process.users().is_subset(&known)).collect()
    }
}

/// Formats the process as `812 (redis-server) of redis, /usr/bin/redis-server`.
impl fmt::Display for MatchedProcess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The texts of a process on the host were sanitized when they were read, but the texts in a journal were not.
        write!(f, "{} ({}) of {}", self.pid, shown(&self.name), shown(&self.user))?;
        self.executable.as_ref().map_or(Ok(()), |executable| write!(f, ", {}", shown(executable)))
    }
}

/// The maximum number of processes in an error.
const SHOWN: usize = 8;

/// The processes as an error lists them.
pub(super) fn listed<'a>(processes: impl IntoIterator<Item = &'a MatchedProcess>) -> String {
    let all: Vec<&MatchedProcess> = processes.into_iter().collect();
    let shown: Vec<String> = all.iter().take(SHOWN).map(ToString::to_string).collect();
    match all.len().saturating_sub(SHOWN) {
        0 => shown.join("; "),
        more => format!("{}; and {more} more", shown.join("; ")),
    }
}
