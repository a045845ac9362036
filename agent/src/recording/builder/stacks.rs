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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RawStacks<'a> {
    /// Kernel addresses.
    pub kernel: &'a [u64],
    /// User addresses.
    pub user: &'a [u64],
    /// Whether the kernel stack could not be walked.
    pub lost_kernel: bool,
    /// Whether the user stack could not be walked, although the thread has one.
    pub lost_user: bool,
}

/// The stack of a record, and what it lacks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WalkedStack {
    /// The stack; `None` if it has no frames.
    pub stack: Option<StackId>,
    /// Whether it has [`MAX_FRAMES`] kernel or user frames, so that outer ones may be missing.
    pub is_deep: bool,
    /// Whether it was reduced to its innermost frame because of the memory limit.
    pub is_cut: bool,
    /// See [`RawStacks::lost_kernel`].
    pub lost_kernel: bool,
    /// See [`RawStacks::lost_user`].
    pub lost_user: bool,
}

/// The numbers of samples whose stacks lack something. Stacks of wakers, and of intervals without an end, are not counted: reports show
/// these numbers as parts of the samples.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StackLosses {
    /// See [`WalkedStack::is_deep`].
    pub deep: u64,
    /// See [`WalkedStack::is_cut`].
    pub cut: u64,
    /// See [`RawStacks::lost_kernel`].
    pub no_kernel: u64,
    /// See [`RawStacks::lost_user`].
    pub no_user: u64,
}

impl StackLosses {
    /// Counts the stack of a sample.
    pub(super) fn add(&mut self, walked: WalkedStack) {
        self.deep += u64::from(walked.is_deep);
        self.cut += u64::from(walked.is_cut);
        self.no_kernel += u64::from(walked.lost_kernel);
        self.no_user += u64::from(walked.lost_user);
    }
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
            shares: Shares::new(MOST),
            seen: HashTable::new(),
            raw: Vec::new(),
            user: Vec::new(),
            hasher: RandomState::new(),
        }
    }
}

impl StackInterner {
    /// The stack of a record of process `pid`.
    pub fn intern(
        &mut self,
        pid: Pid,
        raw: RawStacks<'_>,
        code: &mut dyn CodeLocator,
        modules: &mut ModuleTable,
    ) -> WalkedStack {
        let walked = WalkedStack {
            is_deep: raw.kernel.len() >= MAX_FRAMES || raw.user.len() >= MAX_FRAMES,
            lost_kernel: raw.lost_kernel,
            lost_user: raw.lost_user,
            ..WalkedStack::default()
        };
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
            return WalkedStack { stack: Some(seen.stack), ..walked };
        }
        if !self.shares.permit(pid) {
            let innermost = match (raw.kernel, raw.user) {
                ([first, ..], _) => RawStacks { kernel: std::slice::from_ref(first), user: &[], ..raw },
                ([], [first, ..]) => RawStacks { kernel: &[], user: std::slice::from_ref(first), ..raw },
                ([], []) => raw,
            };
            return WalkedStack { stack: self.intern_new(pid, innermost, code, modules), is_cut: true, ..walked };
        }
        let before = (self.frames.rows().len(), self.stacks.rows().len());
        let Some(stack) = self.intern_new(pid, raw, code, modules) else { return walked };
        let (frames, nodes) = (self.frames.rows().len() - before.0, self.stacks.rows().len() - before.1);
        let rows = INDEXED * (frames * size_of::<Frame>() + nodes * size_of::<StackNode>());
        let seen = size_of::<Seen>() + (raw.kernel.len() + raw.user.len()) * size_of::<u64>();
        self.shares.charge(pid, (rows + seen) as u64);
        let start = self.raw.len();
        self.raw.extend_from_slice(raw.kernel);
        self.raw.extend_from_slice(raw.user);
        let (kernel, user) = (raw.kernel.len() as u32, raw.user.len() as u32);
        self.seen.insert_unique(hash, Seen { hash, space, start, kernel, user, stack }, |seen| seen.hash);
        WalkedStack { stack: Some(stack), ..walked }
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
    fn past_the_limit_the_innermost_frame_is_kept_and_that_is_noted() {
        let mut interner = StackInterner { shares: Shares::of(4_096), ..StackInterner::default() };
        let mut depth = |process: u32, addresses: &[u64]| {
            let raw = RawStacks { kernel: addresses, ..RawStacks::default() };
            let walked = interner.intern(Pid(process), raw, &mut NoCode, &mut ModuleTable::default());
            (interner.stacks.frames(walked.stack.expect("a stack")).count(), walked.is_cut)
        };
        let stack = |from: u64| -> Vec<u64> { (from..from + 50).map(|word| 0xffff_ffff_8100_0000 + word).collect() };
        assert_eq!(depth(0, &stack(0)), (50, false));
        assert_eq!(depth(0, &stack(100)), (1, true));
        // A known stack needs no more memory.
        assert_eq!(depth(0, &stack(0)), (50, false));
    }
}
