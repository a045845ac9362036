//! Limits for profiles. Without them, the author of a profile could make planning take hours, or exhaust the memory.

use std::cell::Cell;

/// The number of files, including included ones; a file counts each time it is included.
pub(super) const MAX_FILES: usize = 64;
/// The size of all files together, in bytes.
pub(super) const MAX_TEXT: usize = 4 << 20;
/// The number of `[[set]]` tables in all files.
pub(super) const MAX_SETTINGS: usize = 10_000;
/// The number of variables in all files.
pub(super) const MAX_VARIABLES: usize = 1_000;
/// The nesting depth of variables that use other variables.
pub(in crate::tune) const MAX_DEPTH: usize = 32;
/// The size of a text after its variables are expanded, in bytes.
pub(in crate::tune) const MAX_EXPANDED: usize = 64 << 10;
/// The size of all expanded texts together, in bytes.
pub(in crate::tune) const MAX_EXPANDED_TOTAL: usize = 1 << 20;
/// The number of words in one `on`.
pub(in crate::tune) const MAX_WORDS: usize = 256;
/// The number of process rules. Each of them searches all processes.
pub(in crate::tune) const MAX_RULES: usize = 256;
/// The size of the desired values of all targets with their reasons, in bytes.
pub(in crate::tune) const MAX_ASSIGNMENTS: usize = 64 << 20;

/// A limited resource.
#[derive(Debug)]
pub(in crate::tune) struct Budget {
    resource: &'static str,
    limit: usize,
    used: Cell<usize>,
}

impl Budget {
    /// A budget of `limit` units. `resource` names the units in errors.
    pub(in crate::tune) fn new(resource: &'static str, limit: usize) -> Self {
        Self { resource, limit, used: Cell::new(0) }
    }

    /// Uses up some of the budget.
    ///
    /// # Errors
    /// The limit is exceeded.
    pub(in crate::tune) fn take(&self, amount: usize) -> Result<(), String> {
        self.used.set(self.used.get().saturating_add(amount));
        if self.used.get() > self.limit {
            return Err(format!("a profile has at most {} {}", self.limit, self.resource));
        }
        Ok(())
    }
}
