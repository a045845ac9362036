//! Samples, as they were measured.

use super::row::row_number;
use super::{LabelSetId, MetricId, StackId, ThreadIdx};
use crate::units::{CpuId, Nanos};

row_number! {
    /// A row of [`Recording::samples`](super::Recording::samples).
    SampleIdx
}

/// The wakeup that ended a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wake {
    /// The thread that ran on the CPU that sent the wakeup. If `stack` contains an interrupt, the thread did not cause the wakeup.
    pub waker: ThreadIdx,
    /// The stack of the waker.
    pub stack: Option<StackId>,
    /// The sample of the last wait of the waker before this wakeup, if it was sampled: the next hop of the wake chain. It is always
    /// an earlier row.
    pub waker_sleep: Option<SampleIdx>,
}

/// A sample: 72 bytes, since a recording may contain millions.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    /// The start of the sample, from the start of the capture.
    pub time: Nanos,
    /// The value in the unit of the metric, unweighted: the length of an interval, or the value of an instant.
    pub value: u64,
    /// The probability with which it was sampled, in (0, 1].
    pub probability: f64,
    /// The part of an interval in which the thread was runnable and waited for a CPU, if it was measured.
    pub runqueue: Option<Nanos>,
    /// The thread of the sample.
    pub thread: ThreadIdx,
    /// The CPU. For a wait, the CPU that the thread left.
    pub cpu: CpuId,
    /// The stack; `None` if it could not be walked.
    pub stack: Option<StackId>,
    /// The wakeup that ended a wait, if it was recorded.
    pub wake: Option<Wake>,
    /// Labels that describe what the thread worked on.
    pub labels: Option<LabelSetId>,
    /// The metric.
    pub metric: MetricId,
    /// Whether an interval had not ended at the end of the capture. Counters do not include it, and its probability is 1.
    pub ongoing: bool,
}

impl Sample {
    /// A sample with the probability 1, on CPU 0, without a stack.
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
