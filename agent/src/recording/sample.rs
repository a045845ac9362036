//! Samples: what was observed, as it was measured.

use super::row::row_number;
use super::{LabelSetId, MetricId, StackId, ThreadIdx};
use crate::units::{CpuId, Nanos};

row_number! {
    /// A row of [`Recording::samples`](super::Recording::samples).
    SampleIdx
}

/// Who ended a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wake {
    /// The thread that ran where the wakeup came from. Only a bystander where `stack` shows an interrupt.
    pub waker: ThreadIdx,
    /// The waker's stack.
    pub stack: Option<StackId>,
    /// The sample of the waker's own last wait before this wakeup, if that was sampled: the next hop of the wake chain. Always an
    /// earlier row.
    pub waker_sleep: Option<SampleIdx>,
}

/// One observation. A recording holds millions: 72 bytes each.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    /// When it began, from the start of the capture.
    pub time: Nanos,
    /// How much, in the unit of the metric, unweighted. The length of an interval; of an instant what it stands for.
    pub value: u64,
    /// The probability with which it was sampled, in (0, 1].
    pub probability: f64,
    /// The part of an interval during which the thread was runnable and waited for a CPU, where that was measured.
    pub runqueue: Option<Nanos>,
    /// The thread.
    pub thread: ThreadIdx,
    /// The CPU. For a wait, the CPU that the thread left.
    pub cpu: CpuId,
    /// The code; `None` if no stack could be walked.
    pub stack: Option<StackId>,
    /// Who ended a wait, if that was seen.
    pub wake: Option<Wake>,
    /// What the thread worked for.
    pub labels: Option<LabelSetId>,
    /// What was measured.
    pub metric: MetricId,
    /// Whether an interval had not ended when the capture did. It is in no counter, and its probability is 1.
    pub ongoing: bool,
}

impl Sample {
    /// A sample that was certain to be taken, on CPU 0, without a stack.
    #[must_use]
    pub fn new(metric: MetricId, thread: ThreadIdx, time: Nanos, value: u64) -> Self {
        Self {
            time,
            value,
            probability: 1.0,
            runqueue: None,
            thread,
            cpu: CpuId(0),
            stack: None,
            wake: None,
            labels: None,
            metric,
            ongoing: false,
        }
    }
}

const _: () = assert!(size_of::<Sample>() <= 72, "a million samples take 72 MB");
