//! Idle threads: sleeps that nobody has to act on.
//!
//! Most threads of a host wait for work that does not come. Their sleeps are longer than all others, so that they hide the
//! sleeps that slow something down. The scheduler does not know the difference. This is the definition of quell.
//!
//! A sleep is idle if all of this holds:
//!
//! 1. **It is a wait for work**: the thread sleeps in a kernel function that waits for a request, a time, a signal or a child
//!    ([`functions`]), in a futex, or in the main function of a kernel thread. These are functions that are meant to wait
//!    without limit. All others are never idle: block I/O, page faults, mutexes and semaphores of the kernel, a full socket or
//!    pipe, completions of asynchronous I/O. A futex is a lock as well as the condition variable of a thread pool. If the
//!    program's stack shows a lock, the sleep is never idle.
//! 2. **Its thread has nothing to do**: the thread sleeps for at least 99 % of the capture, and for at most 1 % in sleeps that
//!    are no waits for work or that something other than time ended. It is time if the sleep had not ended at the end of
//!    the capture, if a timer ended it, or if it lasted at least a quarter of the capture. At least a tenth of the capture must
//!    be such sleeps: of the others, it is not known what ended them, since they had begun before the capture or were not
//!    sampled, and they are taken to be like those that are known. So a thread that waits for the replies of a slow server again
//!    and again is not idle, although it never runs: each of its waits is ended by a reply. Nor is a thread that started or
//!    exited during the capture. For the main function of a kernel thread, the function alone is sufficient: a worker that slept
//!    there had no work.
//! 3. **No other thread waited for it**: if a thread that is not idle was woken by this one, and had been waiting during most
//!    of the sleep, then the sleep delayed it, and is shown. This follows wake chains: a sleep that delayed such a sleep is shown
//!    too.
//!
//! What this cannot tell: a request that takes the whole capture looks like no request, and threads in a deadlock without a lock in their
//! stacks look like a thread pool.

mod delays;
mod functions;
mod place;
#[cfg(test)]
mod tests;

use hashbrown::HashMap;

use super::calibration::Key;
use crate::recording::{MetricId, Recording, Sample, ThreadKey, Wake};
use crate::units::Nanos;
use delays::show_what_delayed_others;
use place::{Place, stack_facts};

/// The metric of sleeps that do not wait for block I/O.
const SLEEPS: &str = "offcpu.blocked";

/// The share of a capture for which an idle thread waits for work at least.
const IDLE_SHARE: f64 = 0.99;

/// The share of a capture for which an idle thread is at least seen to wait for work until time ends the wait.
const SEEN_SHARE: f64 = 0.1;

/// The part of a capture, as its inverse, from which on a wait is long, so that it does not matter what ended it.
const LONG_PART: u64 = 4;

/// Which samples of a recording are idle sleeps.
pub(super) struct IdleSleeps {
    rows: Vec<bool>,
    /// The sleeps of each thread.
    threads: HashMap<ThreadKey, Sleeps>,
    metric: Option<MetricId>,
}

/// The sleeps of a thread, in nanoseconds.
#[derive(Clone, Copy, Debug, Default)]
struct Sleeps {
    /// All that were counted or sampled.
    all: f64,
    /// Those that were sampled.
    sampled: f64,
    /// Waits for work that nothing but time ended.
    undisturbed: f64,
    /// Sleeps that are no waits for work, or that something else ended.
    disturbed: f64,
    /// Those that are idle by their place and their thread.
    idle: f64,
}

impl Sleeps {
    /// Condition 2.
    fn has_nothing_to_do(&self, duration: Nanos) -> bool {
        let share = |time: f64| time / (duration.0 as f64).max(1.0);
        share(self.all) >= IDLE_SHARE
            && share(self.disturbed) <= 1.0 - IDLE_SHARE
            && share(self.undisturbed) >= SEEN_SHARE
    }
}

impl IdleSleeps {
    /// Finds the idle sleeps of a recording. `value` is the estimated value that a sample represents, in its unit; `unsampled` the
    /// counted values that no sample represents.
    pub(super) fn of(
        recording: &Recording,
        value: impl Fn(&Sample) -> f64,
        unsampled: impl Iterator<Item = (Key, u64)>,
    ) -> Self {
        let rows = vec![false; recording.samples.len()];
        let metric = recording.meta.metric_named(SLEEPS);
        let mut found = Self { rows, threads: HashMap::new(), metric };
        let Some(sleeps) = metric else { return found };
        let stacks = stack_facts(recording);
        let place = |sample: &Sample| sample.stack.map(|stack| stacks[stack.index()].place()).unwrap_or_default();
        let duration = recording.meta.duration;
        let is_ended_by_timer = |wake: Wake| wake.stack.is_some_and(|stack| stacks[stack.index()].timer);
        for sample in recording.samples.iter().filter(|sample| is_sleep(sample, sleeps)) {
            let (time, thread) = (value(sample), found.threads.entry(thread(recording, sample)).or_default());
            thread.all += time;
            thread.sampled += time;
            let lasts = sample.ongoing || sample.value >= duration.0 / LONG_PART;
            match (place(sample), sample.wake) {
                (Place::Other, _) => thread.disturbed += time,
                _ if lasts => thread.undisturbed += time,
                (_, Some(wake)) if is_ended_by_timer(wake) => thread.undisturbed += time,
                (_, Some(_)) => thread.disturbed += time,
                (_, None) => {}
            }
        }
        for ((thread, _), time) in unsampled.filter(|((_, metric), _)| *metric == sleeps) {
            found.threads.entry(thread).or_default().all += time as f64;
        }
        for (row, sample) in recording.samples.iter().enumerate().filter(|(_, sample)| is_sleep(sample, sleeps)) {
            let thread = found.threads.entry(thread(recording, sample)).or_default();
            found.rows[row] = match place(sample) {
                Place::Other => false,
                Place::KernelLoop => true,
                Place::Work => thread.has_nothing_to_do(duration),
            };
            if found.rows[row] {
                thread.idle += value(sample);
            }
        }
        show_what_delayed_others(recording, &mut found.rows);
        found
    }

    /// Whether the sample in this row is an idle sleep.
    pub(super) fn contains(&self, row: usize) -> bool {
        self.rows[row]
    }

    /// Whether sleeps of a thread that were counted and not sampled are taken to be idle: if those that were sampled are.
    pub(super) fn contains_unsampled(&self, thread: ThreadKey, metric: MetricId) -> bool {
        let sleeps = self.threads.get(&thread).filter(|_| self.metric == Some(metric));
        sleeps.is_some_and(|sleeps| sleeps.idle > 0.0 && sleeps.idle >= IDLE_SHARE * sleeps.sampled)
    }
}

fn thread(recording: &Recording, sample: &Sample) -> ThreadKey {
    recording.threads.get(sample.thread).key()
}

/// Whether a sample is a sleep, and not only a wait for a CPU.
fn is_sleep(sample: &Sample, sleeps: MetricId) -> bool {
    sample.metric == sleeps && sample.runqueue.is_none_or(|time| time.0 < sample.value)
}
