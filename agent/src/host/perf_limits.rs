//! Limits of the kernel for perf events.

use std::fs;
use std::path::Path;

/// The file of `sysctl kernel.perf_event_max_sample_rate`.
pub const MAX_SAMPLE_RATE: &str = "/proc/sys/kernel/perf_event_max_sample_rate";

/// The maximum number of samples per second of an event (`sysctl kernel.perf_event_max_sample_rate`); `None` if it cannot be read.
/// The kernel lowers it if interrupts take too long (kernel/events/core.c, `perf_sample_event_took`).
#[must_use]
pub fn max_sample_rate() -> Option<u32> {
    read_number(Path::new(MAX_SAMPLE_RATE))
}

/// The maximum number of frames of a stack that the kernel walks (`sysctl kernel.perf_event_max_stack`, 127 by default); `None` if
/// it cannot be read.
#[must_use]
pub fn max_stack() -> Option<u32> {
    read_number(Path::new("/proc/sys/kernel/perf_event_max_stack"))
}

fn read_number(path: &Path) -> Option<u32> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}
