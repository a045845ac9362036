//! Signals that end a run: what was begun is then ended and removed as after an error.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use anyhow::{Context as _, Result, bail};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;

static CAME: OnceLock<Arc<AtomicBool>> = OnceLock::new();

/// From here on a signal is only noted, for [`check`]; a second one ends the process at once.
pub(super) fn note_signals() -> Result<()> {
    let came = CAME.get_or_init(Arc::default);
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        flag::register_conditional_default(signal, Arc::clone(came))
            .and_then(|_| flag::register(signal, Arc::clone(came)))
            .context("cannot wait for signals")?;
    }
    Ok(())
}

/// Fails once a signal has come.
pub(super) fn check() -> Result<()> {
    if CAME.get().is_some_and(|came| came.load(Ordering::Relaxed)) {
        bail!("interrupted");
    }
    Ok(())
}
