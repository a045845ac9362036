//! The ring buffers that programs write to, one for each CPU.

use aya::maps::{ArrayOfMaps, Map, MapData, MapError, RingBuf};
use aya_obj::generated::bpf_map_type::BPF_MAP_TYPE_RINGBUF;

use super::object::memory_of;
use crate::units::{Bytes, CpuId, CpuSet};

/// The maximum size of all ring buffers together, unless [`LEAST`] for each CPU is more.
const ALL: u64 = 64 << 20;
/// The minimum size of a ring buffer: about a hundred of the deepest stacks.
const LEAST: u64 = 256 << 10;
/// The maximum size of a ring buffer: seconds of samples at usual rates.
const MOST: u64 = 8 << 20;

/// The ring buffers of the online CPUs, and the one of the task iterators.
pub struct Rings {
    outer: ArrayOfMaps<MapData, RingBuf<MapData>>,
    rings: Vec<RingBuf<MapData>>,
    /// The CPUs with a ring buffer.
    cpus: CpuSet,
    /// The size of each in bytes.
    size: u32,
    /// Kernel memory of all ring buffers.
    pub memory: Bytes,
}

impl Rings {
    /// Creates a ring buffer for each of `cpus` and one for the task iterators, and inserts them into `outer`, the latter at `walk`.
    ///
    /// # Errors
    /// The kernel's error, if memory or a capability is missing.
    pub fn create(outer: Map, cpus: &CpuSet, walk: u32) -> Result<Self, MapError> {
        let outer = ArrayOfMaps::<_, RingBuf<MapData>>::try_from(outer)?;
        let size = ring_size(cpus.len() as u64);
        let mut rings =
            Self { outer, rings: Vec::with_capacity(cpus.len() + 1), cpus: cpus.clone(), size, memory: Bytes(0) };
        for CpuId(cpu) in cpus.iter() {
            rings.insert(cpu, size)?;
        }
        // An iterator writes all its records before any is read: room for about ten thousand threads.
        rings.insert(walk, MOST as u32)?;
        Ok(rings)
    }

    /// Creates the ring buffer of a CPU that came online, unless it has one.
    ///
    /// # Errors
    /// The errors of [`create`](Self::create).
    pub fn add(&mut self, cpu: CpuId) -> Result<(), MapError> {
        if self.cpus.contains(cpu) {
            return Ok(());
        }
        self.insert(cpu.0, self.size)?;
        self.cpus = self.cpus.union(&CpuSet::from_iter([cpu]));
        Ok(())
    }

    fn insert(&mut self, index: u32, size: u32) -> Result<(), MapError> {
        let map = aya_obj::Map::new_from_params(BPF_MAP_TYPE_RINGBUF as u32, 0, 0, size, 0);
        let data = MapData::create(map, "quell_ring", None)?;
        // From 5.11 to 6.3 the kernel reports 0 for a ring buffer (`bpf_map_memory_footprint`, kernel/bpf/syscall.c).
        self.memory.0 += memory_of(&data).unwrap_or(0).max(u64::from(size));
        let ring = RingBuf::try_from(Map::RingBuf(data))?;
        self.outer.set(index, &ring, 0)?;
        self.rings.push(ring);
        Ok(())
    }

    /// Reads all records that are in the ring buffers now.
    pub fn drain(&mut self, mut each: impl FnMut(&[u8])) {
        for ring in &mut self.rings {
            while let Some(record) = ring.next() {
                each(&record);
            }
        }
    }
}

/// The size of each ring buffer in bytes: a power of two, as the kernel requires.
fn ring_size(cpus: u64) -> u32 {
    let share = ALL / cpus.max(1);
    let size = share.clamp(LEAST, MOST);
    // The largest power of two that is not larger.
    1 << size.ilog2()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rings_are_powers_of_two_and_share_a_bound() {
        for cpus in [1, 2, 3, 8, 64, 256, 1024] {
            let size = u64::from(ring_size(cpus));
            assert!(size.is_power_of_two() && (LEAST..=MOST).contains(&size), "{cpus} CPUs: {size}");
            assert!(size == LEAST || size * cpus <= ALL, "{cpus} CPUs: {size}");
        }
    }
}
