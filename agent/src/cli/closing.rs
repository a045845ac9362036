//! The end of a capture. Signals shorten it, without losing captured data.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::ending::{Ending, Signals};

/// The time limit for symbolization after SIGTERM.
const NAMING: Duration = Duration::from_millis(1_000);

/// The time limit for everything after SIGTERM, once the capture is on disk.
const EVERYTHING: Duration = Duration::from_millis(1_800);

/// The polling interval.
const TICK: Duration = Duration::from_millis(20);

/// Watches for signals while a capture is symbolized and written, on a second thread.
pub(crate) struct Closing {
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    interrupted: AtomicBool,
    safe: AtomicBool,
    terminated: Mutex<Option<Instant>>,
}

impl Closing {
    /// Starts the thread. Pending signals are discarded, because they belong to the end of the capture: timeout(1) signals
    /// twice, the process and then its group.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub(crate) fn begin(signals: Signals, ending: Ending) -> anyhow::Result<Self> {
        signals.forget_pending();
        let state = Arc::new(State::default());
        if ending == Ending::Signal(Signal::SIGTERM) {
            state.terminate();
        }
        let watched = state.clone();
        std::thread::Builder::new().name("signals".to_owned()).spawn(move || watched.watch(&signals))?;
        Ok(Self { state })
    }

    /// Whether to end symbolization: Ctrl-C was pressed again, or the time limit after SIGTERM has passed.
    pub(crate) fn skips_naming(&self) -> bool {
        self.state.interrupted.load(Ordering::Relaxed) || self.state.terminated_for(NAMING)
    }

    /// Tells that the capture is on disk, symbolized or not, or that only pipes receive it. From now on quell may exit at any time.
    pub(crate) fn captured_is_safe(&self) {
        self.state.safe.store(true, Ordering::Relaxed);
    }

    /// Tells that all outputs are written: no signal ends quell early any more.
    pub(crate) fn outputs_are_written(self) {
        self.state.safe.store(false, Ordering::Relaxed);
    }
}

impl State {
    fn terminate(&self) {
        self.terminated.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(Instant::now);
    }

    fn terminated_for(&self, time: Duration) -> bool {
        let terminated = *self.terminated.lock().unwrap_or_else(PoisonError::into_inner);
        terminated.is_some_and(|begin| begin.elapsed() > time)
    }

    fn watch(&self, signals: &Signals) {
        loop {
            match signals.wait(TICK) {
                Ok(Some(Signal::SIGTERM)) => self.terminate(),
                Ok(Some(_)) if self.interrupted.swap(true, Ordering::Relaxed) && self.is_safe() => {
                    end("interrupted", 130);
                }
                Ok(_) => {}
                // Without the descriptor no signal can be received.
                Err(_) => return,
            }
            if self.is_safe() && self.terminated_for(EVERYTHING) {
                end("terminated", 143);
            }
        }
    }

    fn is_safe(&self) -> bool {
        self.safe.load(Ordering::Relaxed)
    }
}

/// Exits the process. The other thread may be blocked by a pipe that nobody reads.
#[expect(clippy::exit, reason = "the main thread may be blocked for ever")]
fn end(how: &str, code: i32) {
    tracing::warn!(
        "{how} before all outputs were written\nhint: with `-o NAME.quell` the recording is written first, and `quell report NAME.quell` writes the other outputs"
    );
    std::process::exit(code);
}
