//! Waiting: for a condition, and for the other tests of the process.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// Longer than anything takes that is waited for, on however busy a machine.
const PATIENCE: Duration = Duration::from_secs(100);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(2);

/// Holds off every other test of this process that asks for it: captures share two CPUs, and the kernel's lists.
pub fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    // A test that failed has nothing left to protect.
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Waits until `condition` gives something.
pub fn until<T>(what: &str, mut condition: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = condition()? {
            return Ok(found);
        }
        if Instant::now() > deadline {
            bail!("in vain for {PATIENCE:?}: {what}");
        }
        std::thread::sleep(PAUSE);
    }
}
