//! A clock that nobody sets.

use nix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

/// A moment of a boot, in seconds since its beginning: `CLOCK_BOOTTIME`, which goes on while the host is suspended, and which
/// neither people nor NTP set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BootTime(pub u64);

impl BootTime {
    /// Now.
    #[must_use]
    pub fn now() -> Self {
        // It cannot fail for a clock that the kernel has (since 2.6.39); if it did, nothing would be in time.
        let now = clock_gettime(ClockId::CLOCK_BOOTTIME).ok();
        Self(now.and_then(|now| now.tv_sec().try_into().ok()).unwrap_or(u64::MAX))
    }
}
