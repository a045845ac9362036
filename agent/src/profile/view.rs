//! A profile made ready to draw: named frames, weighted samples.

use super::select::Window;
use crate::recording::{
    Counter, FrameId, Histogram, Meta, Metric, MetricId, SampleIdx, StackId, StackTable, Thread, ThreadIdx,
};
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

/// Who ended a wait, as far as the chain was followed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WakeLink {
    /// The thread that ran where the wake-up came from; see `interrupt`.
    pub waker: ThreadIdx,
    /// Where; a stack of [`Profile::stacks`].
    pub stack: Option<StackId>,
    /// Whether the wake-up came from an interrupt, so that `waker` is only a bystander and the chain ends.
    pub interrupt: bool,
    /// The waker's own last wait: a row of [`Profile::samples`], always an earlier one.
    pub waker_sleep: Option<SampleIdx>,
}

/// A sample with its weight.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Weighted {
    /// When it began, from the start of the capture.
    pub time: Nanos,
    /// How long it lasted, unweighted: the time over which it is drawn. Zero for an instant.
    pub duration: Nanos,
    /// The CPU.
    pub cpu: CpuId,
    /// The thread.
    pub thread: ThreadIdx,
    /// The code; a stack of [`Profile::stacks`].
    pub stack: Option<StackId>,
    /// What `value` measures: a row of [`Meta::metrics`].
    pub metric: MetricId,
    /// The estimated value that this sample stands for, in the unit of the metric.
    pub value: f64,
    /// Variance of `value` from sampling, in the square of the unit: 0 if nothing was left to chance. Variances add, and the
    /// square root of a sum of them is the standard error of the sum of values.
    pub variance: f64,
    /// Whether the thread was runnable all the time, so that nobody woke it: it waited for a CPU.
    pub runnable: bool,
    /// Who ended the wait.
    pub wake: Option<WakeLink>,
}

/// A capture or a part of one, ready to draw.
#[derive(Clone, Debug)]
pub struct Profile {
    /// What the capture says of itself.
    pub meta: Meta,
    /// Which part of its time this is.
    pub window: Window,
    /// Functions; [`StackTable`] rows refer to them by index ([`FrameId`]).
    pub frames: Vec<NamedFrame>,
    /// Call stacks over `frames`.
    pub stacks: StackTable,
    /// Threads.
    pub threads: Vec<Thread>,
    /// Samples.
    pub samples: Vec<Weighted>,
    /// Exact totals of the whole capture, whatever window was selected: of the threads that are selected, and of other scopes if
    /// all threads are.
    pub counters: Vec<Counter>,
    /// Exact distributions, selected as the counters are; one for each metric and scope.
    pub histograms: Vec<Histogram>,
}

impl Profile {
    /// A metric of [`Profile::samples`].
    #[must_use]
    pub fn metric(&self, id: MetricId) -> &Metric {
        self.meta.metric(id)
    }

    /// The function of a frame of [`Profile::stacks`].
    #[must_use]
    pub fn frame(&self, id: FrameId) -> &NamedFrame {
        &self.frames[id.index()]
    }

    /// The functions of a stack, innermost first.
    pub fn functions(&self, stack: StackId) -> impl Iterator<Item = &NamedFrame> + '_ {
        self.stacks.frames(stack).map(|id| self.frame(id))
    }

    /// A thread of [`Profile::samples`].
    #[must_use]
    pub fn thread(&self, id: ThreadIdx) -> &Thread {
        &self.threads[id.index()]
    }
}
