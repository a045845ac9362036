//! Selects processes by what is known about them.

use super::Process;
use crate::pattern::{Pattern, any_or_none};

/// Patterns for the data of a process: one of each kind must match. Data that is not known matches nothing.
#[derive(Clone, Debug, Default)]
pub struct ProcessFilter {
    /// Patterns for the path or the file name of the executable; empty for all.
    pub executables: Vec<Pattern>,
    /// Patterns for the cgroup or one that contains it; empty for all.
    pub cgroups: Vec<Pattern>,
    /// Patterns for the name or the UID of the user; empty for all.
    pub users: Vec<Pattern>,
}

impl ProcessFilter {
    /// Whether there are no patterns, so that all processes are selected.
    #[must_use]
    pub fn takes_all(&self) -> bool {
        [&self.executables, &self.cgroups, &self.users].iter().all(|patterns| patterns.is_empty())
    }

    /// Whether a process is selected.
    #[must_use]
    pub fn takes(&self, process: &Process) -> bool {
        let executable = || process.executable.as_ref().map(|path| path.to_string_lossy());
        let uid = || process.user.map(|uid| uid.to_string());
        any_or_none(&self.executables, |pattern| executable().is_some_and(|path| pattern.matches_path(&path)))
            && any_or_none(&self.cgroups, |pattern| {
                process.cgroup.as_ref().is_some_and(|path| pattern.matches_cgroup(path))
            })
            && any_or_none(&self.users, |pattern| {
                process.user_name.as_ref().is_some_and(|name| pattern.matches(name))
                    || uid().is_some_and(|uid| pattern.matches(&uid))
            })
    }
}
