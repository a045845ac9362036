//! What a test needs beside the build: it is skipped where that is missing, and says so in one line on stderr.
//!
//! ```text
//! SKIPPED: errors::a_read_only_file_system_is_refused: needs root
//! ```
//!
//! quell's own unit tests include this file by its path.

use std::env;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};

/// Bits of `CapEff`: include/uapi/linux/capability.h. `CAP_PERFMON` and `CAP_BPF` exist since 5.8.
const CAP_SYS_ADMIN: u64 = 1 << 21;
const CAP_PERFMON: u64 = 1 << 38;
const CAP_BPF: u64 = 1 << 39;

/// Something that this machine or this user may lack.
#[derive(Clone, Copy, Debug)]
pub enum Need {
    /// To be root, and so to act as another user.
    Root,
    /// To load BPF programs and to sample all threads.
    Bpf,
    /// A program in `PATH`, by its name.
    Program(&'static str),
    /// A command that succeeds, and what its success shows.
    Success(&'static str, &'static [&'static str]),
    /// Anything else: what it is, and whether it is there.
    Other(&'static str, fn() -> bool),
}

impl Need {
    /// What is missing, as it follows the word "needs"; `None` if nothing is.
    pub fn missing(self) -> Option<String> {
        let (what, is_met) = match self {
            Self::Root => ("root".to_owned(), nix::unistd::geteuid().is_root()),
            Self::Bpf => ("root, or CAP_BPF and CAP_PERFMON".to_owned(), may_load_programs()),
            Self::Program(name) => (format!("the program `{name}`"), is_installed(name)),
            Self::Success(what, words) => (what.to_owned(), succeeds(words)),
            Self::Other(what, is_met) => (what.to_owned(), is_met()),
        };
        (!is_met).then_some(what)
    }
}

/// strace, and permission to trace: tests inject errors and signals into system calls.
pub const STRACE: Need =
    Need::Success("strace, and permission to trace", &["strace", "-qq", "-o", "/dev/null", "true"]);

/// Whether this process may load BPF programs.
pub fn may_load_programs() -> bool {
    let held = effective_capabilities().unwrap_or(0);
    held & CAP_SYS_ADMIN != 0 || held & (CAP_PERFMON | CAP_BPF) == CAP_PERFMON | CAP_BPF
}

fn effective_capabilities() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
    u64::from_str_radix(line.trim(), 16).ok()
}

fn is_installed(program: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).any(|folder| {
        fs::metadata(folder.join(program)).is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
    })
}

fn succeeds(words: &[&str]) -> bool {
    let Some((program, arguments)) = words.split_first() else { return true };
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Prints that a test is skipped. `test` is the path of an item inside the test.
///
/// Past `eprintln!`, which the test harness captures.
pub fn print_skipped(test: &str, what: &str) {
    let test = test.rsplit_once("::").map_or(test, |(test, _)| test).trim_end_matches("::{{closure}}");
    // A closed stderr is no reason to fail a test that does not run.
    let _ = writeln!(std::io::stderr(), "SKIPPED: {test}: needs {what}");
}

/// What a skipped test returns: tests return nothing, or a `Result`.
pub trait Skipped {
    /// The result of a test that was skipped.
    fn skipped() -> Self;
}

impl Skipped for () {
    fn skipped() -> Self {}
}

impl<E> Skipped for Result<(), E> {
    fn skipped() -> Self {
        Ok(())
    }
}

/// Skips the test that this is called in: prints what it needs, and returns.
///
/// ```ignore
/// let Ok(stalled) = stalled else { skip!("userfaultfd(2)") };
/// ```
#[macro_export]
macro_rules! skip {
    ($what:expr) => {{
        fn inside() {}
        $crate::needs::print_skipped(std::any::type_name_of_val(&inside), $what);
        return $crate::needs::Skipped::skipped();
    }};
}

/// Skips the test that this is called in, unless all that is listed is there: variants of [`Need`](crate::needs::Need).
///
/// ```ignore
/// needs!(Root, Program("stress-ng"));
/// ```
#[macro_export]
macro_rules! needs {
    ($($need:expr),+) => {{
        #[allow(unused_imports, reason = "a need may be a constant of the test's")]
        use $crate::needs::Need::*;
        if let Some(what) = [$($need),+].into_iter().find_map($crate::needs::Need::missing) {
            $crate::skip!(&what);
        }
    }};
}
