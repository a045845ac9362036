//! The executable mappings of one process, by address.

use std::sync::Arc;

use super::budget::{Budget, Charge};
use super::known_files::KnownFile;

/// The maximum number of mappings of a process: the default limit of the kernel (`vm.max_map_count`, 65,530), rounded up.
const MAX_MAPPINGS: usize = 1 << 16;

/// A range of executable addresses.
#[derive(Clone, Debug)]
pub(super) struct Mapping {
    /// The first address.
    pub(super) start: u64,
    /// The address after the last.
    pub(super) end: u64,
    /// The offset of `start` in the file, in bytes.
    pub(super) offset: u64,
    /// The file; `None` for memory without a file.
    pub(super) file: Option<Arc<KnownFile>>,
}

impl PartialEq for Mapping {
    fn eq(&self, other: &Self) -> bool {
        let identity = |mapping: &Self| mapping.file.as_ref().map(|file| file.identity.clone());
        (self.start, self.end, self.offset) == (other.start, other.end, other.offset)
            && (self.file.as_ref().map(Arc::as_ptr) == other.file.as_ref().map(Arc::as_ptr)
                || identity(self) == identity(other))
    }
}

impl Mapping {
    /// Whether each address in both mappings is the same place in the same file. Memory without a file may have changed in any case.
    fn is_same_code(&self, other: &Self) -> bool {
        let identity = |mapping: &Self| mapping.file.as_ref().map(|file| file.identity.clone());
        let first = |mapping: &Self| mapping.start.wrapping_sub(mapping.offset);
        identity(self) == identity(other) && (self.file.is_none() || first(self) == first(other))
    }
}

/// Mappings in ascending order that do not overlap.
#[derive(Clone, Debug)]
pub(super) struct Mappings {
    rows: Vec<Mapping>,
    charge: Charge,
}

impl PartialEq for Mappings {
    fn eq(&self, other: &Self) -> bool {
        self.rows == other.rows
    }
}

impl Mappings {
    /// No mappings.
    pub(super) fn new(budget: &Budget) -> Self {
        Self { rows: Vec::new(), charge: budget.charge(0) }
    }

    /// Several mappings, which may overlap: later ones replace earlier ones.
    pub(super) fn of(mappings: impl IntoIterator<Item = Mapping>, budget: &Budget) -> Self {
        let mut all = Self::new(budget);
        for mapping in mappings {
            all.insert(mapping);
        }
        all.rows.shrink_to_fit();
        all.recount();
        all
    }

    /// The mapping that contains `addr`, by binary search.
    pub(super) fn find(&self, addr: u64) -> Option<&Mapping> {
        let after = self.rows.partition_point(|mapping| mapping.start <= addr);
        self.rows[..after].last().filter(|mapping| addr < mapping.end)
    }

    /// Adds a mapping and removes others in its range, like mmap(2) with `MAP_FIXED`: the kernel does not report munmap(2).
    /// Returns whether an address that was mapped is now another place in a file, or in another.
    pub(super) fn insert(&mut self, new: Mapping) -> bool {
        if new.start >= new.end || self.rows.len() >= MAX_MAPPINGS {
            // For such a process, the list is read again when an address is not found.
            return false;
        }
        let first = self.rows.partition_point(|old| old.end <= new.start);
        let last = self.rows.partition_point(|old| old.start < new.end);
        let covered = &self.rows[first..last];
        let replaced = covered.iter().any(|old| !old.is_same_code(&new));
        let before =
            covered.first().filter(|old| old.start < new.start).map(|old| Mapping { end: new.start, ..old.clone() });
        let after = covered.last().filter(|old| old.end > new.end).map(|old| Mapping {
            start: new.end,
            offset: old.offset.wrapping_add(new.end - old.start),
            ..old.clone()
        });
        self.rows.splice(first..last, before.into_iter().chain([new]).chain(after));
        self.recount();
        replaced
    }

    /// Whether there are no mappings.
    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    fn recount(&mut self) {
        self.charge.set((self.rows.capacity() * size_of::<Mapping>()) as u64);
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::super::FileIdentity;
    use super::*;

    fn mapping(start: u64, end: u64, offset: u64, file: u64) -> Mapping {
        let identity = FileIdentity::new((1, 1), file, OsStr::new("/a/file"));
        Mapping { start, end, offset, file: Some(Arc::new(KnownFile::new(identity, &Budget::default()))) }
    }

    #[test]
    fn an_address_is_found_in_its_mapping_and_not_beside_it() {
        let mappings = Mappings::of([mapping(30, 40, 0, 1), mapping(10, 20, 0, 0)], &Budget::default());
        let found = |addr| mappings.find(addr).map(|found| found.start);
        for (addr, expected) in [(9, None), (10, Some(10)), (19, Some(10)), (20, None), (30, Some(30)), (40, None)] {
            assert_eq!(found(addr), expected, "{addr}");
        }
    }

    #[test]
    fn a_new_mapping_replaces_what_it_covers_and_leaves_the_rest_where_it_was_in_the_file() {
        let mut mappings = Mappings::of([mapping(10, 40, 100, 0), mapping(40, 50, 0, 1)], &Budget::default());
        assert!(mappings.insert(mapping(20, 30, 0, 2)));
        assert!(!mappings.insert(mapping(20, 30, 0, 2)), "as before");
        assert!(!mappings.insert(mapping(60, 70, 0, 2)), "nothing was there");
        mappings.rows.pop();
        assert_eq!(
            mappings.rows,
            [mapping(10, 20, 100, 0), mapping(20, 30, 0, 2), mapping(30, 40, 120, 0), mapping(40, 50, 0, 1)]
        );
        mappings.insert(mapping(5, 45, 0, 3));
        assert_eq!(mappings.rows, [mapping(5, 45, 0, 3), mapping(45, 50, 5, 1)]);
    }

    #[test]
    fn what_mappings_take_is_charged_until_they_are_dropped() {
        let budget = Budget::default();
        let mut mappings = Mappings::of((0..1_000).map(|page| mapping(page * 2, page * 2 + 1, 0, 1)), &budget);
        let one = budget.used();
        assert!(one >= 1_000 * size_of::<Mapping>() as u64, "{one}");
        let copy = mappings.clone();
        assert_eq!(budget.used(), 2 * one);
        mappings.insert(mapping(1, 2, 0, 1));
        assert!(budget.used() > 2 * one);
        drop((mappings, copy));
        assert_eq!(budget.used(), 0);
    }
}
