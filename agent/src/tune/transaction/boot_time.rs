//! Times that do not depend on the wall clock.

use nix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

/// A time in seconds since boot: `CLOCK_BOOTTIME`, which also advances while the host is suspended, and which cannot be set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BootTime(pub u64);

impl BootTime {
    /// The current time.
    #[must_use]
    pub fn now() -> Self {
        // This cannot fail, because the kernel has the clock since 2.6.39. If it did fail, every deadline would count as
        // expired.
        let now = clock_gettime(ClockId::CLOCK_BOOTTIME).ok();
        Self(now.and_then(|now| now.tv_sec().try_into().ok()).unwrap_or(u64::MAX))
    }
}
