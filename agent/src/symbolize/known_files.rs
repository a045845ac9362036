//! Files that some process has mapped, each once, whether or not a sample was taken in it.

use std::sync::Arc;

use hashbrown::HashMap;

use super::budget::{Budget, Charge};
use super::file_identity::FileIdentity;

/// A file that some process has mapped; all mappings of it share this.
#[derive(Debug)]
pub(super) struct KnownFile {
    /// Which.
    pub(super) identity: FileIdentity,
    _charge: Charge,
}

impl KnownFile {
    pub(super) fn new(identity: FileIdentity, budget: &Budget) -> Self {
        // With the counts of the shared pointer and a place in an index.
        let charge = budget.charge(identity.bytes() + 64);
        Self { identity, _charge: charge }
    }
}

/// Files that some process has mapped, each once.
#[derive(Default)]
pub(super) struct KnownFiles {
    files: HashMap<FileIdentity, Arc<KnownFile>>,
    sweep_at: usize,
}

impl KnownFiles {
    /// The file, new if need be; `None` for what is no file.
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

    /// Forgets the files that nobody has mapped any more.
    pub(super) fn sweep(&mut self) {
        self.files.retain(|_, file| Arc::strong_count(file) > 1);
        self.sweep_at = (2 * self.files.len()).max(1_024);
    }
}
