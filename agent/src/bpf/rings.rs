//! The rings that programs write to: one for each CPU, read here.

use aya::maps::{ArrayOfMaps, Map, MapData, MapError, RingBuf};
use aya_obj::generated::bpf_map_type::BPF_MAP_TYPE_RINGBUF;

use super::object::memory_of;
use crate::units::{Bytes, CpuId, CpuSet};

/// The rings of all CPUs together take at most this much, unless there are so many CPUs that [`LEAST`] each is more.
const ALL: u64 = 64 << 20;
/// No ring is smaller: some hundred of the deepest stacks.
const LEAST: u64 = 256 << 10;
/// No ring is larger: seconds of samples at the usual rates.
const MOST: u64 = 8 << 20;

/// The rings of the CPUs that are online, and that of the task iterators.
pub struct Rings {
    // The outer map: the programs hold it too, but with it open the rings can be listed by other tools.
    _outer: ArrayOfMaps<MapData, RingBuf<MapData>>,
    rings: Vec<RingBuf<MapData>>,
    /// Kernel memory of all of them.
    pub memory: Bytes,
}

impl Rings {
    /// Creates a ring for each of `cpus` and one for the task iterators, and enters them into `outer`, the last at `walk`.
    ///
    /// # Errors
    /// The kernel's, for want of memory or capability.
    pub fn create(outer: Map, cpus: &CpuSet, walk: u32) -> Result<Self, MapError> {
        let mut outer = ArrayOfMaps::<_, RingBuf<MapData>>::try_from(outer)?;
        let size = ring_size(cpus.len() as u64);
        let mut rings = Vec::with_capacity(cpus.len() + 1);
        let mut memory = 0;
        // A walk writes all its records at once, with nobody reading: some ten thousand threads.
        let rings_of_cpus = cpus.iter().map(|CpuId(cpu)| (cpu, size));
        for (index, size) in rings_of_cpus.chain([(walk, MOST as u32)]) {
            let map = aya_obj::Map::new_from_params(BPF_MAP_TYPE_RINGBUF as u32, 0, 0, size, 0);
            let data = MapData::create(map, "quell_ring", None)?;
            // From 5.11 to 6.3 the kernel says 0 for a ring (`bpf_map_memory_footprint`, kernel/bpf/syscall.c).
            memory += memory_of(&data).unwrap_or(0).max(u64::from(size));
            let ring = RingBuf::try_from(Map::RingBuf(data))?;
            outer.set(index, &ring, 0)?;
            rings.push(ring);
        }
        Ok(Self { _outer: outer, rings, memory: Bytes(memory) })
    }

    /// Reads all that is in the rings now.
    pub fn drain(&mut self, mut each: impl FnMut(&[u8])) {
        for ring in &mut self.rings {
            while let Some(record) = ring.next() {
                each(&record);
            }
        }
    }
}

/// Bytes of each ring: a power of two, as the kernel wants it.
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
