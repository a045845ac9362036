//! Changing the period of an open perf event.

use std::io;
use std::os::fd::AsRawFd as _;

use perf_event::Counter;

nix::ioctl_write_ptr!(
    /// `PERF_EVENT_IOC_PERIOD` (include/uapi/linux/perf_event.h): takes effect at once since 3.14.
    perf_event_ioc_period, b'$', 4, u64
);

/// Sets the sampling period of a perf event, in the event's own unit (nanoseconds for `cpu-clock`); for an event that was
/// opened with a frequency, the frequency.
///
/// # Errors
/// The kernel's: `EINVAL` for a period of zero.
pub(crate) fn set_period(event: &Counter, period: u64) -> io::Result<()> {
    // SAFETY: the descriptor is a perf event's, open for the length of the borrow, and the kernel reads eight bytes behind a
    // valid reference.
    unsafe { perf_event_ioc_period(event.as_raw_fd(), &raw const period) }?;
    Ok(())
}
