//! Processes that a rule of a profile matches.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::text::shown;
use crate::units::Pid;

/// A process that a rule matches, as the plan names it. Its texts are cleaned: they may be shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MatchedProcess {
    /// Its number. With its start it names one process of a boot.
    pub pid: Pid,
    /// When it started, in clock ticks since boot: field 22 of `/proc/PID/stat`.
    pub start: u64,
    /// What it calls itself.
    pub name: String,
    /// The real user.
    pub uid: u32,
    /// The effective user: another one in a set-id program.
    pub euid: u32,
    /// The names of these users: one, or two where they differ.
    pub user: String,
    /// The path of its executable; `None` for a kernel thread, and where it may not be read.
    pub executable: Option<String>,
}

impl MatchedProcess {
    /// Everybody whose process it is: who started a set-id program decides what it does as well as its owner.
    #[must_use]
    pub fn users(&self) -> BTreeSet<u32> {
        [self.uid, self.euid].into()
    }

    /// Whether `other` is this process, whatever it is called and executes by now.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        (self.pid, self.start) == (other.pid, other.start)
    }

    /// Those of these that have a user whom none of the others has.
    #[must_use]
    pub fn of_other_users<'a>(these: &'a [Self], others: &[Self]) -> Vec<&'a Self> {
        let known: BTreeSet<u32> = others.iter().flat_map(Self::users).collect();
        these.iter().filter(|process| !process.users().is_subset(&known)).collect()
    }
}

/// `812 (redis-server) of redis, /usr/bin/redis-server`.
impl fmt::Display for MatchedProcess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Cleaned when they were read of a process; a journal may have others.
        write!(f, "{} ({}) of {}", self.pid, shown(&self.name), shown(&self.user))?;
        self.executable.as_ref().map_or(Ok(()), |executable| write!(f, ", {}", shown(executable)))
    }
}

/// An error names so many processes.
const SHOWN: usize = 8;

/// Processes as an error names them.
pub(super) fn listed<'a>(processes: impl IntoIterator<Item = &'a MatchedProcess>) -> String {
    let all: Vec<&MatchedProcess> = processes.into_iter().collect();
    let shown: Vec<String> = all.iter().take(SHOWN).map(ToString::to_string).collect();
    match all.len().saturating_sub(SHOWN) {
        0 => shown.join("; "),
        more => format!("{}; and {more} more", shown.join("; ")),
    }
}
