//! Interns stacks of raw addresses.
//!
//! Most samples repeat an earlier stack of the same process. These cost one hash over their addresses, without a lookup of mappings
//! and without an allocation.

use std::hash::{BuildHasher, RandomState};

use hashbrown::HashTable;
use quell_ebpf_common::MAX_FRAMES;

use super::CodeLocator;
use super::shares::Shares;
use crate::recording::{Frame, FrameId, FrameTable, Location, ModuleTable, StackId, StackNode, StackTable};
use crate::units::{Addr, Pid};

/// The frames of a stack as they were walked, innermost first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawStacks<'a> {
    /// Kernel addresses.
    pub kernel: &'a [u64],
    /// User addresses.
    pub user: &'a [u64],
}

/// The memory factor of a frame or node: it is stored both in its table and as a key of the index.
const INDEXED: usize = 2;

/// Interned stacks, and the raw stacks from which they were created.
///
/// They use at most 1 GiB. When half of it is used, the memory of each user is limited. If a stack exceeds the limit, only its
/// innermost frame is kept, and the stack is counted.
pub struct StackInterner {
    /// Code locations.
    pub frames: FrameTable,
    /// Stacks of these locations.
    pub stacks: StackTable,
    /// The number of samples with a stack of [`MAX_FRAMES`].
    pub deep: u64,
    /// The number of samples whose stack was reduced to its innermost frame because of the memory limit.
    pub cut: u64,
    shares: Shares,
    seen: HashTable<Seen>,
    raw: Vec<u64>,
    user: Vec<FrameId>,
    hasher: RandomState,
}

/// A raw stack in `raw`: kernel frames, then user frames.
struct Seen {
    hash: u64,
    /// The process, and [`CodeLocator::version`].
    space: (Pid, u64),
    start: usize,
    kernel: u32,
    user: u32,
    stack: StackId,
}

/// The limit for all stacks together, in bytes. Without a limit for each user, a user could forge a new stack for each sample until
/// quell is killed by the OOM killer and the capture is lost.
const MOST: u64 = 1 << 30;

impl Default for StackInterner {
    fn default() -> Self {
        Self {
            frames: FrameTable::default(),
            stacks: StackTable::default(),
            deep: 0,
            cut: 0,
            shares: Shares::new(MOST),
            seen: HashTable::new(),
            raw: Vec::new(),
            user: Vec::new(),
            hasher: RandomState::new(),
        }
    }
}

impl StackInterner {
    /// The stack of a sample of process `pid`; `None` if it has no frames.
    pub fn intern(
        &mut self,
        pid: Pid,
        raw: RawStacks<'_>,
        code: &mut dyn CodeLocator,
        modules: &mut ModuleTable,
    ) -> Option<StackId> {
        if raw.kernel.len() >= MAX_FRAMES || raw.user.len() >= MAX_FRAMES {
            self.deep += 1;
        }
        // Kernel threads have no user frames and share one space.
        let space = if raw.user.is_empty() { (Pid(0), 0) } else { (pid, code.version(pid)) };
        let pid = space.0;
        let hash = self.hasher.hash_one((space, raw.kernel, raw.user));
        let known = self.seen.find(hash, |seen| {
            let kernel_end = seen.start + seen.kernel as usize;
            seen.space == space
                && self.raw[seen.start..kernel_end] == *raw.kernel
                && self.raw[kernel_end..kernel_end + seen.user as usize] == *raw.user
        });
        if let Some(seen) = known {
            return Some(seen.stack);
        }
        if !self.shares.permit(pid) {
            self.cut += 1;
            let innermost = match (raw.kernel, raw.user) {
                ([first, ..], _) => RawStacks { kernel: std::slice::from_ref(first), user: &[] },
                ([], [first, ..]) => RawStacks { kernel: &[], user: std::slice::from_ref(first) },
                ([], []) => raw,
            };
            return self.intern_new(pid, innermost, code, modules);
        }
        let before = (self.frames.rows().len(), self.stacks.rows().len());
        let stack = self.intern_new(pid, raw, code, modules)?;
        let (frames, nodes) = (self.frames.rows().len() - before.0, self.stacks.rows().len() - before.1);
        let rows = INDEXED * (frames * size_of::<Frame>() + nodes * size_of::<StackNode>());
        let seen = size_of::<Seen>() + (raw.kernel.len() + raw.user.len()) * size_of::<u64>();
        self.shares.charge(pid, (rows + seen) as u64);
        let start = self.raw.len();
        self.raw.extend_from_slice(raw.kernel);
        self.raw.extend_from_slice(raw.user);
        let (kernel, user) = (raw.kernel.len() as u32, raw.user.len() as u32);
        self.seen.insert_unique(hash, Seen { hash, space, start, kernel, user, stack }, |seen| seen.hash);
        Some(stack)
    }

    fn intern_new(
        &mut self,
        pid: Pid,
        raw: RawStacks<'_>,
        code: &mut dyn CodeLocator,
        modules: &mut ModuleTable,
    ) -> Option<StackId> {
        // Code without frame pointers uses this register for other values, so a walk through it yields invalid addresses. They
        // are detected because no code is mapped there.
        self.user.clear();
        for (depth, address) in raw.user.iter().enumerate() {
            let addr = code_address(*address, depth);
            match code.locate_code(pid, addr, modules) {
                Some(location) => self.user.push(self.frames.intern(location)),
                None if depth == 0 => self.user.push(self.frames.intern(Location::Unmapped { pid, addr })),
                None => break,
            }
        }
        let mut stack = self.stacks.intern_all(self.user.iter().rev().copied());
        for (depth, address) in raw.kernel.iter().enumerate().rev() {
            let frame = self.frames.intern(Location::Kernel(code_address(*address, depth)));
            stack = Some(self.stacks.intern(stack, frame));
        }
        stack
    }
}

/// The address to look up: for all frames except the innermost, the call site of the return address.
fn code_address(address: u64, depth: usize) -> Addr {
    if depth == 0 { Addr(address) } else { Addr(address).call_site() }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct NoCode;

    impl CodeLocator for NoCode {
        fn locate_code(&mut self, _: Pid, _: Addr, _: &mut ModuleTable) -> Option<Location> {
            None
        }

        fn version(&mut self, _: Pid) -> u64 {
            0
        }
    }

    #[test]
    fn past_the_limit_the_innermost_frame_is_kept_and_that_is_counted() {
        let mut interner = StackInterner { shares: Shares::of(4_096), ..StackInterner::default() };
        let mut depth = |process: u32, addresses: &[u64]| {
            let raw = RawStacks { kernel: addresses, user: &[] };
            let stack = interner.intern(Pid(process), raw, &mut NoCode, &mut ModuleTable::default());
            (interner.stacks.frames(stack.expect("a stack")).count(), interner.cut)
        };
        let stack = |from: u64| -> Vec<u64> { (from..from + 50).map(|word| 0xffff_ffff_8100_0000 + word).collect() };
        assert_eq!(depth(0, &stack(0)), (50, 0));
        assert_eq!(depth(0, &stack(100)), (1, 1));
        // A known stack needs no more memory.
        assert_eq!(depth(0, &stack(0)), (50, 1));
    }
}
