//! A capture as it was measured: nothing weighted, nothing merged.

use hashbrown::HashMap;

use super::{FrameTable, Meta, ModuleTable, StackId, StackTable};
use crate::units::{CpuId, Nanos, Pid, Tid};

/// A row of a [`ThreadTable`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ThreadIdx(pub u32);

/// A thread under one name. A thread that renames itself is several rows.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Thread {
    /// Its process.
    pub pid: Pid,
    /// The thread.
    pub tid: Tid,
    /// Its name, at most 15 bytes.
    pub comm: String,
}

/// Interned threads.
#[derive(Clone, Debug, Default)]
pub struct ThreadTable {
    rows: Vec<Thread>,
    index: HashMap<(Tid, Pid, [u8; 16]), ThreadIdx>,
}

impl ThreadTable {
    /// The row of a thread by its kernel-side name (NUL-terminated), new if need be.
    pub fn intern(&mut self, pid: Pid, tid: Tid, comm: [u8; 16]) -> ThreadIdx {
        let next = ThreadIdx(u32::try_from(self.rows.len()).expect("fewer than 2^32 threads"));
        let id = *self.index.entry((tid, pid, comm)).or_insert(next);
        if id == next {
            let text = comm.split(|byte| *byte == 0).next().unwrap_or_default();
            self.rows.push(Thread { pid, tid, comm: String::from_utf8_lossy(text).into_owned() });
        }
        id
    }

    /// Appends a thread as it is: for readers of recordings. [`Self::intern`] does not find it again.
    pub fn push(&mut self, thread: Thread) -> ThreadIdx {
        let id = ThreadIdx(u32::try_from(self.rows.len()).expect("fewer than 2^32 threads"));
        self.rows.push(thread);
        id
    }

    /// The thread in row `id`.
    #[must_use]
    pub fn get(&self, id: ThreadIdx) -> &Thread {
        &self.rows[id.0 as usize]
    }

    /// All rows in order.
    #[must_use]
    pub fn rows(&self) -> &[Thread] {
        &self.rows
    }
}

/// Why a thread left the CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// It waits for something other than block I/O.
    Blocked,
    /// It could run, but another thread does.
    Preempted,
    /// It waits for block I/O.
    IoWait,
}

impl Reason {
    /// Every reason, in the order of the ABI's numbers.
    pub const ALL: [Self; 3] = [Self::Blocked, Self::Preempted, Self::IoWait];

    /// From the ABI's number (`quell_ebpf_common::reason`).
    #[must_use]
    pub fn from_abi(number: u32) -> Option<Self> {
        Self::ALL.get(number as usize).copied()
    }

    /// As it is written in recordings and shown to people.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Blocked => "blocked",
            Self::Preempted => "preempted",
            Self::IoWait => "io-wait",
        }
    }

    /// From [`Reason::name`].
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.name() == name)
    }
}

/// Who ended a sleep.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Wake {
    /// The thread that ran where the wake-up came from. Only a bystander where `stack` shows an interrupt.
    pub waker: ThreadIdx,
    /// Where it ran.
    pub stack: Option<StackId>,
    /// The row in [`Recording::samples`] of the waker's own last sleep before this wake-up, where that was
    /// sampled: the next hop of the wake chain. Always an earlier row.
    pub waker_sleep: Option<u32>,
}

/// What is particular to an off-CPU sample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OffCpu {
    /// Why.
    pub reason: Reason,
    /// The probability that this sleep had of being sampled, in (0, 1].
    pub probability: f64,
    /// The part of the duration that it was runnable and waited for a CPU.
    pub runqueue: Nanos,
    /// Whether it still slept when the capture ended; such a sleep is in no exact total, and its probability is 1.
    pub still: bool,
    /// Who woke it, where that was seen.
    pub wake: Option<Wake>,
}

/// What a sample is of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum SampleKind {
    /// An interrupt found the thread running; `value` is the sampling interval.
    OnCpu,
    /// The thread slept; `value` is how long.
    OffCpu(OffCpu),
}

/// One observation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    /// When it began, from the start of the capture.
    pub time: Nanos,
    /// Where; for a sleep, the CPU that the thread left.
    pub cpu: CpuId,
    /// Who.
    pub thread: ThreadIdx,
    /// The code; `None` where no stack could be walked.
    pub stack: Option<StackId>,
    /// For how long, unweighted.
    pub value: Nanos,
    /// Of what.
    pub kind: SampleKind,
}

/// Exact off-CPU totals of one thread, by reason in the order of [`Reason::ALL`]: ended sleeps only, sampled or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ThreadTotals {
    /// Who.
    pub thread: ThreadIdx,
    /// How many sleeps.
    pub count: [u64; 3],
    /// How long altogether.
    pub time: [Nanos; 3],
}

/// A capture.
#[derive(Clone, Debug)]
pub struct Recording {
    /// When, where, how, at what cost, and what was lost.
    pub meta: Meta,
    /// Files with code.
    pub modules: ModuleTable,
    /// Code locations.
    pub frames: FrameTable,
    /// Call stacks.
    pub stacks: StackTable,
    /// Threads.
    pub threads: ThreadTable,
    /// Samples in the order in which they ended.
    pub samples: Vec<Sample>,
    /// Exact totals. One tid may have several rows (it was reused, or renamed); their sum counts.
    pub totals: Vec<ThreadTotals>,
}
