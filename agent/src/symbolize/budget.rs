//! The memory that quell spends on knowing what other processes have mapped: how much of it there is, they decide.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The most that address spaces, files and descriptors may take together, in bytes.
pub(super) const MOST: u64 = 64 << 20;

/// What is left of [`MOST`] after something had to go, so that this does not happen at once again.
pub(super) const AFTER: u64 = MOST / 8 * 7;

/// What the paths of modules may take of it, in bytes: they stay, since the recording names them.
pub(super) const MOST_MODULES: u64 = MOST / 4;

/// What a descriptor is taken to cost, in bytes: the kernel's `struct file` and what it holds on to.
pub(super) const DESCRIPTOR: u64 = 1 << 10;

/// Bytes in use. Clones count together.
#[derive(Clone, Debug, Default)]
pub(super) struct Budget(Arc<AtomicU64>);

impl Budget {
    /// Bytes in use now.
    pub(super) fn used(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Takes some; they are given back when the [`Charge`] is dropped.
    pub(super) fn charge(&self, bytes: u64) -> Charge {
        self.0.fetch_add(bytes, Ordering::Relaxed);
        Charge { budget: self.clone(), bytes }
    }
}

/// Bytes taken from a [`Budget`]. A clone takes as many again.
#[derive(Debug)]
pub(super) struct Charge {
    budget: Budget,
    bytes: u64,
}

impl Charge {
    /// Takes more or gives some back.
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
