//! The data of a profile: functions and weighted samples.

use super::exact::Counted;
use super::modules::NamedModule;
use super::select::{IdleThreads, Roots};
use super::totals::Totals;
use super::window::Window;
use crate::recording::{
    FrameId, Histogram, Meta, Metric, MetricId, Process, ProcessIdx, SampleIdx, StackId, StackTable, Thread, ThreadIdx,
    row_number,
};
use crate::units::{CpuId, Nanos};

/// The kind of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FrameKind {
    /// A kernel function.
    Kernel,
    /// A user function.
    User,
    /// A label, such as the name of a thread.
    Label,
}

/// A function: all frames with the same name in the same module.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct NamedFrame {
    /// The name of the function; `[unknown in libfoo.so]` for all code of a module without a symbol, `[unknown]` for code in no
    /// known module.
    pub name: String,
    /// The name of the module (`libc.so.6`, `[kernel]`), see [`NamedModule::name`]; empty for a label.
    pub module: String,
    /// The kind of the frame.
    pub kind: FrameKind,
    /// Whether `name` is that of a function or a label; otherwise it only says where the code is.
    pub has_symbol: bool,
}

row_number! {
    /// A row of [`Profile::groups`].
    GroupIdx
}

/// All samples of a thread and a metric with a counted total, selected or not.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Group {
    /// A row of the thread.
    pub thread: ThreadIdx,
    /// The metric.
    pub metric: MetricId,
    /// The sum of the estimated parts of their values, in the unit of the metric.
    pub estimated: f64,
    /// The sum of the variances of their values before calibration, in the square of the unit.
    pub variance: f64,
    /// The part of `variance` that is observed: the square of the difference between the counted total and the estimate, as far as
    /// chance does not explain it. An interval was missed, and its value was given to other places.
    pub unexplained: f64,
    /// The number of samples whose values are estimated in part.
    pub samples: u32,
}

/// The innermost frame of a sample whose value was counted in the kernel and is in no other sample: its time is unknown.
pub(super) const COUNTED_ONLY: &str = "[no stack: counted only]";

/// The wakeup that ended a wait.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WakeLink {
    /// When the wakeup was sent, from the start of the capture. The wait ends later, when the thread gets a CPU.
    pub time: Nanos,
    /// The thread that ran on the CPU that sent the wakeup; see `interrupt`.
    pub waker: ThreadIdx,
    /// The stack of the waker, in [`Profile::stacks`].
    pub stack: Option<StackId>,
    /// Whether the wakeup came from an interrupt. Then `waker` did not cause it, and the chain ends.
    pub interrupt: bool,
    /// The last wait of the waker: a row of [`Profile::samples`], which is always an earlier one.
    pub waker_sleep: Option<SampleIdx>,
}

/// A sample with its weight.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Weighted {
    /// The start of the sample, from the start of the capture. If the window has a part of an interval, this is the start of the part.
    pub time: Nanos,
    /// The length of the interval in the window, unweighted; zero for an instant.
    pub duration: Nanos,
    /// Whether the time is known. Otherwise, `time` and `duration` are those of the capture, and no window contains the sample.
    pub is_timed: bool,
    /// The CPU of the sample.
    pub cpu: CpuId,
    /// The thread of the sample.
    pub thread: ThreadIdx,
    /// The stack, in [`Profile::stacks`].
    pub stack: Option<StackId>,
    /// The metric: a row of [`Meta::metrics`].
    pub metric: MetricId,
    /// The estimated value that the sample represents, in the unit of the metric.
    pub value: f64,
    /// The part of `value` that was not measured.
    pub estimated: f64,
    /// The variance of `value` before calibration, in the square of the unit; 0 if the probability was 1, unless it is a draw. The
    /// error of a sum: [`Estimate`](super::Estimate).
    pub variance: f64,
    /// The group to whose counted total `value` is calibrated.
    pub group: Option<GroupIdx>,
    /// Whether time was sampled at an instant, as CPU time is, and not counted: then all of `value` is uncertain, and `variance` is its
    /// square.
    pub is_draw: bool,
    /// Whether the thread was runnable for the whole interval, so that there was no wakeup.
    pub runnable: bool,
    /// Whether it is a sleep of a thread that has nothing to do. `profile/idle/mod.rs` has the definition.
    pub idle: bool,
    /// The wakeup that ended the wait; `None` if the window does not contain the end.
    pub wake: Option<WakeLink>,
}

/// A capture, or a part of it, prepared for reports.
#[derive(Clone, Debug)]
pub struct Profile {
    /// The metadata of the capture.
    pub meta: Meta,
    /// The selected time window.
    pub window: Window,
    /// Functions; [`StackTable`] rows refer to them by index ([`FrameId`]).
    pub frames: Vec<NamedFrame>,
    /// The files of user functions, by [`NamedFrame::module`].
    pub modules: Vec<NamedModule>,
    /// Call stacks of `frames`.
    pub stacks: StackTable,
    /// The threads of the samples and counters.
    pub threads: Vec<Thread>,
    /// The pool of each thread, such as `worker-*`, or its name.
    pub pools: Vec<String>,
    /// The processes of the threads.
    pub processes: Vec<Process>,
    /// The name of each process.
    pub process_names: Vec<String>,
    /// The threads that share a root of `stacks`.
    pub roots: Roots,
    /// Whether reports list idle threads.
    pub idle: IdleThreads,
    /// The weighted samples.
    pub samples: Vec<Weighted>,
    /// The totals of the capture that its losses are a part of.
    pub totals: Totals,
    /// The groups of samples with a counted total.
    pub groups: Vec<Group>,
    /// Counted totals of the window: of the selected threads, and of other scopes if all threads are selected. Several of one metric and
    /// scope are to be added.
    pub counters: Vec<Counted>,
    /// Counted distributions, with the same selection; one for each metric and scope.
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

    /// The process of a thread.
    #[must_use]
    pub fn process(&self, id: ProcessIdx) -> &Process {
        &self.processes[id.index()]
    }

    /// The name of a process.
    #[must_use]
    pub fn process_name(&self, id: ProcessIdx) -> &str {
        &self.process_names[id.index()]
    }

    /// Whether reports fold a sample into the line of idle threads.
    #[must_use]
    pub fn folds(&self, sample: &Weighted) -> bool {
        sample.idle && self.idle == IdleThreads::Folded
    }
}
