//! The clocks by which fixtures know the truth.

use nix::time::{ClockId, clock_gettime};

/// `CLOCK_MONOTONIC`, in nanoseconds.
pub fn wall() -> u64 {
    read(ClockId::CLOCK_MONOTONIC)
}

/// The CPU time of the calling thread (`CLOCK_THREAD_CPUTIME_ID`), in nanoseconds.
pub fn cpu() -> u64 {
    read(ClockId::CLOCK_THREAD_CPUTIME_ID)
}

fn read(clock: ClockId) -> u64 {
    let time = clock_gettime(clock).expect("both clocks are always there");
    time.tv_sec() as u64 * 1_000_000_000 + time.tv_nsec() as u64
}

/// Wall and CPU time spent in something, in nanoseconds.
#[derive(Clone, Copy, Debug, Default)]
pub struct Spent {
    /// By the clock on the wall.
    pub wall: u64,
    /// On a CPU.
    pub cpu: u64,
}

impl Spent {
    /// Does it, and says what was spent.
    pub fn doing(work: impl FnOnce()) -> Self {
        // In one order on both sides, so that what lies between two readings cancels out: it is as long as a short
        // sleep's error would be.
        let (cpu_before, wall_before) = (cpu(), wall());
        work();
        let (cpu_after, wall_after) = (cpu(), wall());
        Self { wall: wall_after - wall_before, cpu: cpu_after - cpu_before }
    }

    /// The time not spent on a CPU.
    pub fn off_cpu(self) -> u64 {
        self.wall.saturating_sub(self.cpu)
    }
}
