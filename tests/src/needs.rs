//! Requirements of tests. A test whose requirements are missing is skipped, and prints a line on stderr:
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

/// Bits of `CapEff` (include/uapi/linux/capability.h). `CAP_PERFMON` and `CAP_BPF` exist since 5.8.
const CAP_SYS_ADMIN: u64 = 1 << 21;
const CAP_PERFMON: u64 = 1 << 38;
const CAP_BPF: u64 = 1 << 39;

/// A requirement that may be missing on this machine or for this user.
#[derive(Clone, Copy, Debug)]
pub enum Need {
    /// Root, which can act as another user.
    Root,
    /// Permission to load BPF programs and to sample all threads.
    Bpf,
    /// A program in `PATH`, by name.
    Program(&'static str),
    /// A description of the requirement, and a command that succeeds if it is met.
    Success(&'static str, &'static [&'static str]),
    /// A description of the requirement, and a function that tests it.
    Other(&'static str, fn() -> bool),
}

impl Need {
    /// The missing requirement, to follow the word "needs"; `None` if it is met.
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
/// It does not use `eprintln!`, which the test harness captures.
pub fn print_skipped(test: &str, what: &str) {
    let test = test.rsplit_once("::").map_or(test, |(test, _)| test).trim_end_matches("::{{closure}}");
    // A closed stderr does not make a skipped test fail.
    let _ = writeln!(std::io::stderr(), "SKIPPED: {test}: needs {what}");
}

/// The return value of a skipped test: nothing, or a `Result`.
pub trait Skipped {
    /// The return value of a skipped test.
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

/// Skips the test that calls this: prints the missing requirement, and returns.
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

/// Skips the test that calls this unless all listed requirements, variants of [`Need`](crate::needs::Need), are met.
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
