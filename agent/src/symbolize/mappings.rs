//! The executable mappings of one process, by address.

use crate::profile::ModuleId;

/// The most mappings kept of one process: the kernel's own default limit (`vm.max_map_count`, 65,530) rounded up.
const MAX_MAPPINGS: usize = 1 << 16;

/// A range of executable addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mapping {
    /// The first address.
    pub(super) start: u64,
    /// The address after the last.
    pub(super) end: u64,
    /// Where in the file `start` is, in bytes.
    pub(super) offset: u64,
    /// The file; `None` for memory that belongs to none.
    pub(super) module: Option<ModuleId>,
}

/// Mappings in ascending order that do not overlap.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Mappings(Vec<Mapping>);

impl Mappings {
    /// The mapping that holds `addr`: a binary search.
    pub(super) fn find(&self, addr: u64) -> Option<&Mapping> {
        let after = self.0.partition_point(|mapping| mapping.start <= addr);
        self.0[..after].last().filter(|mapping| addr < mapping.end)
    }

    /// Adds a mapping in the place of whatever was there, as mmap(2) with `MAP_FIXED` does: the kernel reports no
    /// unmapping.
    pub(super) fn insert(&mut self, new: Mapping) {
        if new.start >= new.end || self.0.len() >= MAX_MAPPINGS {
            // A process with that many gets its list read anew when an address is missed.
            return;
        }
        let first = self.0.partition_point(|old| old.end <= new.start);
        let last = self.0.partition_point(|old| old.start < new.end);
        let covered = &self.0[first..last];
        let before = covered.first().filter(|old| old.start < new.start).map(|old| Mapping { end: new.start, ..*old });
        let after = covered.last().filter(|old| old.end > new.end).map(|old| Mapping {
            start: new.end,
            offset: old.offset.wrapping_add(new.end - old.start),
            ..*old
        });
        self.0.splice(first..last, before.into_iter().chain([new]).chain(after));
    }

    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<Mapping> for Mappings {
    fn from_iter<I: IntoIterator<Item = Mapping>>(mappings: I) -> Self {
        let mut all = Self::default();
        mappings.into_iter().for_each(|mapping| all.insert(mapping));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mapping(start: u64, end: u64, offset: u64, module: u32) -> Mapping {
        Mapping { start, end, offset, module: Some(ModuleId(module)) }
    }

    #[test]
    fn an_address_is_found_in_its_mapping_and_not_beside_it() {
        let mappings: Mappings = [mapping(30, 40, 0, 1), mapping(10, 20, 0, 0)].into_iter().collect();
        let module = |addr| mappings.find(addr).and_then(|found| found.module);
        for (addr, expected) in [(9, None), (10, Some(0)), (19, Some(0)), (20, None), (30, Some(1)), (40, None)] {
            assert_eq!(module(addr), expected.map(ModuleId), "{addr}");
        }
    }

    #[test]
    fn a_new_mapping_replaces_what_it_covers_and_leaves_the_rest_where_it_was_in_the_file() {
        let mut mappings: Mappings = [mapping(10, 40, 100, 0), mapping(40, 50, 0, 1)].into_iter().collect();
        mappings.insert(mapping(20, 30, 0, 2));
        assert_eq!(
            mappings.0,
            [mapping(10, 20, 100, 0), mapping(20, 30, 0, 2), mapping(30, 40, 120, 0), mapping(40, 50, 0, 1)]
        );
        mappings.insert(mapping(5, 45, 0, 3));
        assert_eq!(mappings.0, [mapping(5, 45, 0, 3), mapping(45, 50, 5, 1)]);
    }
}
