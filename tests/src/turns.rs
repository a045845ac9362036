//! Waits for a condition, or for the other tests of the process.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// The timeout: longer than any operation takes, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(100);
/// The polling interval.
const PAUSE: Duration = Duration::from_millis(2);

/// Blocks all other tests of this process that call this: captures share two CPUs, and the kernel's lists of programs.
pub fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    // After a failed test, there is nothing left to protect.
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Waits until `condition` returns a value.
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
