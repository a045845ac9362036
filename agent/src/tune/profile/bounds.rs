//! How much a profile may be. Whoever writes one that somebody else plans could make that take hours, and all memory.

use std::cell::Cell;

/// So many files, with what they include, each time that it is included.
pub(super) const FILES: usize = 64;
/// All of them together, in bytes.
pub(super) const TEXT: usize = 4 << 20;
/// So many `[[set]]`, in all files.
pub(super) const SETTINGS: usize = 10_000;
/// So many variables, in all files.
pub(super) const VARIABLES: usize = 1_000;
/// A variable uses one that uses one, and so on.
pub(in crate::tune) const DEPTH: usize = 32;
/// A text with the values of its variables, in bytes.
pub(in crate::tune) const EXPANDED: usize = 64 << 10;
/// All of those together.
pub(in crate::tune) const ALL_EXPANDED: usize = 1 << 20;
/// So many words in one `on`.
pub(in crate::tune) const WORDS: usize = 256;
/// So many rules for processes: each looks through all that run.
pub(in crate::tune) const RULES: usize = 256;
/// What is wanted of all targets, with the reasons, in bytes.
pub(in crate::tune) const WANTED: usize = 64 << 20;

/// Something of which there may be so much.
#[derive(Debug)]
pub(in crate::tune) struct Budget {
    what: &'static str,
    most: usize,
    used: Cell<usize>,
}

impl Budget {
    pub(in crate::tune) fn new(what: &'static str, most: usize) -> Self {
        Self { what, most, used: Cell::new(0) }
    }

    /// Takes so much of it.
    ///
    /// # Errors
    /// There is not so much left; what the limit is.
    pub(in crate::tune) fn take(&self, amount: usize) -> Result<(), String> {
        self.used.set(self.used.get().saturating_add(amount));
        if self.used.get() > self.most {
            return Err(format!("a profile has at most {} {}", self.most, self.what));
        }
        Ok(())
    }
}
