//! Limits the memory for the mappings and files of other processes, whose number these processes control.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The memory limit for address spaces, files and descriptors together, in bytes.
pub(super) const MOST: u64 = 64 << 20;

/// The memory to which usage is reduced when [`MOST`] is exceeded, so that this does not happen again immediately.
pub(super) const AFTER: u64 = MOST / 8 * 7;

/// The limit for the paths of modules, in bytes. These are kept, since the recording contains them.
pub(super) const MOST_MODULES: u64 = MOST / 4;

/// The assumed memory for a descriptor, in bytes: `struct file` of the kernel, and objects that it references.
pub(super) const DESCRIPTOR: u64 = 1 << 10;

/// Counts bytes in use. Clones share the counter.
#[derive(Clone, Debug, Default)]
pub(super) struct Budget(Arc<AtomicU64>);

impl Budget {
    /// The number of bytes in use.
    pub(super) fn used(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Adds bytes, until the [`Charge`] is dropped.
    pub(super) fn charge(&self, bytes: u64) -> Charge {
        self.0.fetch_add(bytes, Ordering::Relaxed);
        Charge { budget: self.clone(), bytes }
    }
}

/// Bytes of a [`Budget`] in use. A clone adds the same number again.
#[derive(Debug)]
pub(super) struct Charge {
    budget: Budget,
    bytes: u64,
}

impl Charge {
    /// Changes the number of bytes.
    pub(super) fn set(&mut self, bytes: u64) {
        self.budget.0.fetch_add(bytes, Ordering::Relaxed);
        self.budget.0.fetch_sub(self.bytes, Ordering::Relaxed);
        self.bytes = bytes;
    }
}

impl Clone for Charge {
    fn clone(&self) -> Self {
        self.budget.charge(self.bytes)
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.budget.0.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_dropped_is_given_back() {
        let budget = Budget::default();
        let mut one = budget.charge(10);
        let two = one.clone();
        one.set(25);
        assert_eq!(budget.used(), 35);
        drop(two);
        assert_eq!(budget.used(), 25);
        drop(one);
        assert_eq!(budget.used(), 0);
    }
}
