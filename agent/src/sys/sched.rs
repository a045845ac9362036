//! CPU affinity, scheduling policy and memory policy.

use std::io;

use crate::units::{CpuId, CpuSet, NodeId, Tid};

/// The maximum number of CPUs of a kernel: `NR_CPUS` on x86-64 with MAXSMP.
const CPUS: usize = 8192;
/// The maximum number of NUMA nodes: `MAX_NUMNODES` with `CONFIG_NODES_SHIFT` 10.
const NODES: usize = 1024;
const BITS: usize = usize::BITS as usize;

/// `struct sched_attr` of include/uapi/linux/sched/types.h, as of 5.3.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct SchedAttr {
    pub(crate) size: u32,
    pub(crate) policy: u32,
    pub(crate) flags: u64,
    pub(crate) nice: i32,
    pub(crate) priority: u32,
    pub(crate) runtime: u64,
    pub(crate) deadline: u64,
    pub(crate) period: u64,
    pub(crate) util_min: u32,
    pub(crate) util_max: u32,
}

fn raw(tid: Tid) -> io::Result<libc::pid_t> {
    libc::pid_t::try_from(tid.0).map_err(io::Error::other)
}

fn checked(result: libc::c_long) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// The active CPUs in the affinity mask of a thread; of the caller for thread 0.
pub(crate) fn affinity(tid: Tid) -> io::Result<CpuSet> {
    let mut mask = [0usize; CPUS / BITS];
    // SAFETY: the kernel writes at most the given size of the mask.
    checked(unsafe { libc::syscall(libc::SYS_sched_getaffinity, raw(tid)?, size_of_val(&mask), mask.as_mut_ptr()) })?;
    let cpus = (0..CPUS).filter(|cpu| mask[cpu / BITS] & 1 << (cpu % BITS) != 0);
    Ok(cpus.filter_map(|cpu| u32::try_from(cpu).ok()).map(CpuId).collect())
}

/// Sets the affinity mask of a thread; of the caller for thread 0.
pub(crate) fn set_affinity(tid: Tid, cpus: &CpuSet) -> io::Result<()> {
    let mut mask = [0usize; CPUS / BITS];
    for cpu in cpus.iter().filter_map(|cpu| usize::try_from(cpu.0).ok()).filter(|cpu| *cpu < CPUS) {
        mask[cpu / BITS] |= 1 << (cpu % BITS);
    }
    // SAFETY: the kernel reads at most the given size of the mask.
    checked(unsafe { libc::syscall(libc::SYS_sched_setaffinity, raw(tid)?, size_of_val(&mask), mask.as_ptr()) })
}

/// The scheduling attributes of a thread (3.14).
pub(crate) fn attributes(tid: Tid) -> io::Result<SchedAttr> {
    let mut attr = SchedAttr::default();
    let size = size_of::<SchedAttr>();
    // SAFETY: the kernel writes at most `size` bytes, which is the size of the struct.
    checked(unsafe { libc::syscall(libc::SYS_sched_getattr, raw(tid)?, &raw mut attr, size, 0) })?;
    Ok(attr)
}

/// Sets the scheduling attributes of a thread; of the caller for thread 0.
pub(crate) fn set_attributes(tid: Tid, attr: SchedAttr) -> io::Result<()> {
    let mut attr = SchedAttr { size: size_of::<SchedAttr>() as u32, ..attr };
    // SAFETY: the kernel reads the number of bytes in the size field, which is the size of the struct, and writes to this field
    // if its own struct is shorter (sched_copy_attr).
    checked(unsafe { libc::syscall(libc::SYS_sched_setattr, raw(tid)?, &raw mut attr, 0) })
}

/// Restricts the memory of the caller, and of programs that it executes, to these nodes: `MPOL_BIND` (mm/mempolicy.c).
pub(crate) fn bind_memory(nodes: &[NodeId]) -> io::Result<()> {
    const MPOL_BIND: libc::c_int = 2;
    let mut mask = [0usize; NODES / BITS];
    for node in nodes {
        let node = usize::try_from(node.0).map_err(io::Error::other)?;
        *mask.get_mut(node / BITS).ok_or_else(|| io::Error::from_raw_os_error(libc::EINVAL))? |= 1 << (node % BITS);
    }
    // The number of bits plus one, because get_nodes of mm/mempolicy.c subtracts one.
    // SAFETY: the kernel reads at most the given number of bits.
    checked(unsafe { libc::syscall(libc::SYS_set_mempolicy, MPOL_BIND, mask.as_ptr(), NODES + 1) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_goes_where_it_is_put() {
        // For this thread, which exits at the end of the test.
        let all = affinity(Tid(0)).expect("the CPUs");
        let first: CpuSet = all.iter().take(1).collect();
        set_affinity(Tid(0), &first).expect("one CPU");
        assert_eq!(affinity(Tid(0)).expect("the CPUs"), first);
        set_affinity(Tid(0), &all).expect("all CPUs");
        assert_eq!(affinity(Tid(0)).expect("the CPUs"), all);
    }

    #[test]
    fn a_thread_is_scheduled_as_it_is_told() {
        let before = attributes(Tid(0)).expect("the attributes");
        const SCHED_BATCH: u32 = 3;
        set_attributes(Tid(0), SchedAttr { policy: SCHED_BATCH, nice: 3, ..before }).expect("batch");
        let now = attributes(Tid(0)).expect("the attributes");
        assert_eq!((now.policy, now.nice), (SCHED_BATCH, 3));
    }
}
