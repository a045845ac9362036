//! Runs the tests one at a time, and tells of each as it begins and ends.

use std::env;
use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use anyhow::{Context as _, Result, anyhow};
use libtest_mimic::{Arguments, Completion, Trial};
use quell_tests::machine::Machine;
use quell_tests::needs::Need;
use quell_tests::verdict::{EVENTS, Event, REBOOTED, Verdict};
use quell_tests::{capture, kernel};

use crate::machine;

/// A row of the table.
pub(crate) struct KernelTest {
    /// What it is called: `PROBE::what`, `doctor::what`, `tune::what` or `machine::what`.
    pub(crate) name: &'static str,
    /// The machine that it needs.
    pub(crate) machine: &'static Machine,
    /// The test.
    pub(crate) run: fn() -> Result<Outcome>,
}

/// A check of what is kept of the tests. It has no machine: guests do not run it.
pub(crate) struct HostCheck {
    /// What it is called.
    pub(crate) name: &'static str,
    /// The check, of all tests.
    pub(crate) run: fn(&[KernelTest]) -> Result<()>,
}

/// How a test ended that did not fail.
pub(crate) enum Outcome {
    /// What it claims is so.
    Holds,
    /// It could not be tried; what is missing.
    Skipped(String),
    /// It goes on when the machine has rebooted, with the command line that its boot loader has then: see [`has_rebooted`].
    Reboots,
}

/// Ends a test that cannot be tried.
pub(crate) fn skip(why: impl Into<String>) -> Result<Outcome> {
    Ok(Outcome::Skipped(why.into()))
}

/// Whether this is a guest that was booted for the tests.
pub(crate) fn in_guest() -> bool {
    env::var_os(EVENTS).is_some()
}

/// Whether the machine has rebooted, for a test that asked for it.
pub(crate) fn has_rebooted() -> bool {
    env::var_os(REBOOTED).is_some()
}

/// Runs the tests that the command line asks for.
pub(crate) fn run(tests: &'static [KernelTest], checks: &'static [HostCheck]) -> ExitCode {
    let mut arguments = Arguments::from_args();
    // Captures share the CPUs, and the kernel's list of programs.
    arguments.test_threads = Some(1);
    remember_panics();
    let kernel = tests.iter().map(|test| Trial::ignorable_test(test.name, || trial(test)).with_kind(test.machine.name));
    let host = checks.iter().filter(|_| !in_guest());
    let host =
        host.map(|check| Trial::test(check.name, || (check.run)(tests).map_err(|error| format!("{error:#}").into())));
    libtest_mimic::run(&arguments, kernel.chain(host).collect()).exit_code()
}

fn trial(test: &KernelTest) -> Result<Completion, libtest_mimic::Failed> {
    tell(&Event::Started { test: test.name.to_owned() })?;
    let begin = Instant::now();
    let ended = attempt(test);
    if ended.is_err() {
        save_recordings(test);
    }
    capture::forget();
    let verdict = match ended {
        Ok(Outcome::Holds) => Verdict::Passed,
        Ok(Outcome::Skipped(why)) => Verdict::Skipped { why },
        Ok(Outcome::Reboots) if in_guest() => {
            tell(&Event::Reboots { test: test.name.to_owned() })?;
            return Ok(Completion::ignored_with("goes on after a reboot"));
        }
        Ok(Outcome::Reboots) => Verdict::Skipped { why: "needs a machine that it may reboot".to_owned() },
        Err(error) => Verdict::Failed { why: format!("{error:#}") },
    };
    let seconds = begin.elapsed().as_secs_f64();
    tell(&Event::Ended { test: test.name.to_owned(), verdict: verdict.clone(), seconds })?;
    match verdict {
        Verdict::Passed => Ok(Completion::Completed),
        Verdict::Skipped { why } => Ok(Completion::ignored_with(why)),
        Verdict::Failed { why } => Err(why.into()),
    }
}

fn attempt(test: &KernelTest) -> Result<Outcome> {
    if !in_guest() {
        if !machine::is_like(test.machine) || test.name.starts_with("machine::") {
            return skip(format!("needs the machine `{}`: cargo xtask vm -- {}", test.machine.name, test.name));
        }
        if let Some(what) = Need::Bpf.missing() {
            return skip(format!("needs {what}"));
        }
    }
    let ended = panic::catch_unwind(AssertUnwindSafe(test.run)).unwrap_or_else(|_| Err(anyhow!("{}", last_panic())))?;
    kernel::nothing_left_behind()?;
    Ok(ended)
}

/// Copies what a failed test has captured to where the events are told, which outlasts the guest.
fn save_recordings(test: &KernelTest) {
    let told = env::var_os(EVENTS).map(PathBuf::from);
    let Some(dir) = told.as_deref().and_then(Path::parent) else { return };
    if let Err(error) = capture::save(dir, &test.name.replace("::", ".")) {
        // The test's own failure says more.
        let _ = writeln!(io::stderr(), "{}: its recordings are lost: {error:#}", test.name);
    }
}

/// Appends to the file of events, if there is one.
fn tell(event: &Event) -> Result<()> {
    let Some(path) = env::var_os(EVENTS) else { return Ok(()) };
    let told = serde_json::to_string(event)? + "\n";
    let mut file =
        OpenOptions::new().append(true).create(true).open(&path).context("cannot open the file of events")?;
    // In one piece, and kept though the kernel may panic next.
    file.write_all(told.as_bytes()).and_then(|()| file.sync_data()).context("cannot tell of an event")
}

/// What the last panic said, with its place: a caught one has only its message, if that.
static PANIC: Mutex<Option<String>> = Mutex::new(None);

fn remember_panics() {
    panic::set_hook(Box::new(|panicked| {
        *PANIC.lock().unwrap_or_else(PoisonError::into_inner) = Some(panicked.to_string());
    }));
}

fn last_panic() -> String {
    PANIC.lock().unwrap_or_else(PoisonError::into_inner).take().unwrap_or_default()
}
