//! The end of a capture. Signals may hasten it, and never cost what was captured.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::ending::{Ending, Signals};

/// How long after SIGTERM naming may still take.
const NAMING: Duration = Duration::from_millis(1_000);

/// How long after SIGTERM everything may still take, once the capture is safe.
const EVERYTHING: Duration = Duration::from_millis(1_800);

/// How often time is looked at.
const TICK: Duration = Duration::from_millis(20);

/// Watches for signals while a capture is named and written. From its making on quell has a second thread.
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
    /// Begins to watch. Signals that came for the capture's end are not taken for more: timeout(1) signals twice, the
    /// process and then its group.
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

    /// Whether naming is to end: Ctrl-C was pressed again, or SIGTERM came some time ago.
    pub(crate) fn skips_naming(&self) -> bool {
        self.state.interrupted.load(Ordering::Relaxed) || self.state.terminated_for(NAMING)
    }

    /// What was captured is on disk, named or not, or nothing but pipes is to have it: from now on quell may end at any time.
    pub(crate) fn captured_is_safe(&self) {
        self.state.safe.store(true, Ordering::Relaxed);
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
                // Without the descriptor no signal is seen any more.
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

/// Ends the process, whatever else is going on in it: the other thread may be blocked by a pipe that nobody reads.
#[expect(clippy::exit, reason = "the main thread may be blocked for ever")]
fn end(how: &str, code: i32) {
    tracing::warn!(
        "{how} before everything was written\nhint: `-o NAME.quell` keeps the capture, and `quell report NAME.quell` makes the rest"
    );
    std::process::exit(code);
}
