//! All mapped files, with and without samples.

use std::sync::Arc;

use hashbrown::HashMap;

use super::budget::{Budget, Charge};
use super::file_identity::FileIdentity;

/// A mapped file, shared by all of its mappings.
#[derive(Debug)]
pub(super) struct KnownFile {
    /// The identity of the file.
    pub(super) identity: FileIdentity,
    _charge: Charge,
}

impl KnownFile {
    pub(super) fn new(identity: FileIdentity, budget: &Budget) -> Self {
        // Plus the reference counts of the `Arc` and an entry in an index.
        let charge = budget.charge(identity.bytes() + 64);
        Self { identity, _charge: charge }
    }
}

/// All mapped files, each once.
#[derive(Default)]
pub(super) struct KnownFiles {
    files: HashMap<FileIdentity, Arc<KnownFile>>,
    sweep_at: usize,
}

impl KnownFiles {
    /// The file, which is added if it is new; `None` if it is not a file.
    pub(super) fn get(&mut self, identity: &FileIdentity, budget: &Budget) -> Option<Arc<KnownFile>> {
        if identity.is_none() {
            return None;
        }
        if let Some(known) = self.files.get(identity) {
            return Some(known.clone());
        }
        if self.files.len() >= self.sweep_at {
            self.sweep();
        }
        let file = Arc::new(KnownFile::new(identity.clone(), budget));
        self.files.insert(identity.clone(), file.clone());
        Some(file)
    }

    /// Removes files that are no longer mapped.
    pub(super) fn sweep(&mut self) {
        self.files.retain(|_, file| Arc::strong_count(file) > 1);
        self.sweep_at = (2 * self.files.len()).max(1_024);
    }
}
