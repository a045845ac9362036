//! A profile made ready to draw: named frames, weighted samples.

use super::stack::StackId;
use super::{Meta, Reason, StackTable, Thread, ThreadIdx, ThreadTotals};
use crate::units::{CpuId, Nanos};

/// Which side a frame is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FrameKind {
    /// The kernel.
    Kernel,
    /// A process.
    User,
    /// No code: a label in the picture.
    Label,
}

/// A function: all frames of one name in one module are one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct NamedFrame {
    /// The function; `0x7f01 in libfoo.so` where it has no name.
    pub name: String,
    /// The module's short name (`libc.so.6`, `[kernel]`), empty for a label.
    pub module: String,
    /// Which side.
    pub kind: FrameKind,
}

/// What a value measures. All are nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Metric {
    /// Time on a CPU.
    OnCpu,
    /// Time off CPU, for a reason.
    OffCpu(Reason),
}

/// Who ended a sleep, as far as the chain was followed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WakeLink {
    /// The thread that ran where the wake-up came from; see `interrupt`.
    pub waker: ThreadIdx,
    /// Where; a stack of [`Profile::stacks`].
    pub stack: Option<StackId>,
    /// Whether the wake-up came from an interrupt, so that `waker` is only a bystander and the chain ends.
    pub interrupt: bool,
    /// The waker's own last sleep: a row of [`Profile::samples`], always an earlier one.
    pub waker_sleep: Option<u32>,
}

/// A sample with its weight.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Weighted {
    /// When it began, from the start of the capture.
    pub time: Nanos,
    /// How long that one observation lasted, unweighted.
    pub duration: Nanos,
    /// Where.
    pub cpu: CpuId,
    /// Who.
    pub thread: ThreadIdx,
    /// The code; a stack of [`Profile::stacks`].
    pub stack: Option<StackId>,
    /// What `value` measures.
    pub metric: Metric,
    /// Estimated nanoseconds that this sample stands for.
    pub value: f64,
    /// Variance of `value` from sampling, in ns^2: 0 where nothing was left to chance. Variances add, and the square
    /// root of a sum of them is the standard error of the sum of values.
    pub variance: f64,
    /// Who ended the sleep.
    pub wake: Option<WakeLink>,
}

/// Which part of a capture's time is drawn. The default is all of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Window {
    /// What began at this time or later, from the start of the capture.
    pub since: Option<Nanos>,
    /// What began before this time.
    pub until: Option<Nanos>,
}

impl Window {
    /// Whether a sample that began at `time` lies in it.
    #[must_use]
    pub fn takes(&self, time: Nanos) -> bool {
        self.since.is_none_or(|since| time >= since) && self.until.is_none_or(|until| time < until)
    }

    /// In words, as in `from 2.00 s to 5.00 s`; `None` for the whole time.
    #[must_use]
    pub fn in_words(&self) -> Option<String> {
        match (self.since, self.until) {
            (None, None) => None,
            (Some(since), None) => Some(format!("from {since} on")),
            (None, Some(until)) => Some(format!("up to {until}")),
            (Some(since), Some(until)) => Some(format!("from {since} to {until}")),
        }
    }
}

/// A capture or a part of one, ready to draw.
#[derive(Clone, Debug)]
pub struct Profile {
    /// What the capture says of itself.
    pub meta: Meta,
    /// Which part of its time this is.
    pub window: Window,
    /// Functions; [`StackTable`] rows refer to them by index ([`super::FrameId`]).
    pub frames: Vec<NamedFrame>,
    /// Call stacks over `frames`.
    pub stacks: StackTable,
    /// Threads.
    pub threads: Vec<Thread>,
    /// Samples.
    pub samples: Vec<Weighted>,
    /// Exact off-CPU totals of the whole capture, whatever was selected, one row for each thread selected.
    pub totals: Vec<ThreadTotals>,
}

impl Profile {
    /// The function of a frame of [`Profile::stacks`].
    #[must_use]
    pub fn frame(&self, id: super::FrameId) -> &NamedFrame {
        &self.frames[id.0 as usize]
    }

    /// The functions of a stack, innermost first.
    pub fn functions(&self, stack: StackId) -> impl Iterator<Item = &NamedFrame> + '_ {
        self.stacks.frames(stack).map(|id| self.frame(id))
    }

    /// A thread of [`Profile::samples`].
    #[must_use]
    pub fn thread(&self, id: ThreadIdx) -> &Thread {
        &self.threads[id.0 as usize]
    }
}
