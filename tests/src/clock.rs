//! The clocks and counters with which fixtures measure themselves.

use nix::sys::resource::{UsageWho, getrusage};
use nix::time::{ClockId, clock_gettime};

/// `CLOCK_MONOTONIC`, in nanoseconds.
pub fn wall() -> u64 {
    read(ClockId::CLOCK_MONOTONIC)
}

/// The CPU time of the calling thread (`CLOCK_THREAD_CPUTIME_ID`), in nanoseconds.
pub fn cpu() -> u64 {
    read(ClockId::CLOCK_THREAD_CPUTIME_ID)
}

/// The number of voluntary context switches of the calling thread.
pub fn times_slept() -> u64 {
    let usage = getrusage(UsageWho::RUSAGE_THREAD).expect("every thread has a count");
    usage.voluntary_context_switches().cast_unsigned()
}

fn read(clock: ClockId) -> u64 {
    let time = clock_gettime(clock).expect("both clocks are always there");
    time.tv_sec() as u64 * 1_000_000_000 + time.tv_nsec() as u64
}

/// The wall time and CPU time of an operation, in nanoseconds.
#[derive(Clone, Copy, Debug, Default)]
pub struct Spent {
    /// The wall time.
    pub wall: u64,
    /// The CPU time.
    pub cpu: u64,
}

impl Spent {
    /// Runs `work`, and returns the time that it took.
    pub fn doing(work: impl FnOnce()) -> Self {
        let before = Self::until_now();
        work();
        let after = Self::until_now();
        Self { wall: after.wall - before.wall, cpu: after.cpu - before.cpu }
    }

    /// Reads both clocks, always in the same order, so that the time between the two readings cancels out: for a short sleep,
    /// it would be a large error. Repeats this after an interruption between the readings, which would count as a sleep or as
    /// work.
    fn until_now() -> Self {
        const TRIES: usize = 5;
        const CLOSE: u64 = 20_000;
        let mut closest = (u64::MAX, Self::default());
        for _ in 0..TRIES {
            let wall_before = wall();
            let now = Self { wall: wall_before, cpu: cpu() };
            let apart = wall() - wall_before;
            if apart < closest.0 {
                closest = (apart, now);
            }
            if apart < CLOSE {
                break;
            }
        }
        closest.1
    }

    /// The time not spent on a CPU.
    pub fn off_cpu(self) -> u64 {
        self.wall.saturating_sub(self.cpu)
    }
}

/// The time for which this thread was runnable but did not run, since it was started, in nanoseconds; `u64::MAX / 2` on
/// kernels without CONFIG_SCHED_INFO (Documentation/scheduler/sched-stats.rst, /proc/PID/schedstat).
pub fn run_delay() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split(' ').nth(1).and_then(|delay| delay.parse().ok()).unwrap_or(u64::MAX / 2)
}
