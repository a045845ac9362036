//! What a test needs of the kernel, and what it must not leave there.

use std::collections::BTreeMap;
use std::fs;
use std::io::{ErrorKind, Write as _};

use anyhow::{Context as _, Result};
use aya::programs::ProgramError;

/// Bits of `CapEff`: include/uapi/linux/capability.h. CAP_PERFMON and CAP_BPF stand alone since 5.8.
const CAP_SYS_ADMIN: u64 = 1 << 21;
const CAP_PERFMON: u64 = 1 << 38;
const CAP_BPF: u64 = 1 << 39;

/// Whether this process may load BPF programs. Where not, says on stderr that `test` is skipped: a test then returns.
///
/// Beside the macros, whose output the test harness swallows.
pub fn privileged(test: &str) -> bool {
    let held = capabilities().unwrap_or(0);
    let enough = held & CAP_SYS_ADMIN != 0 || held & (CAP_PERFMON | CAP_BPF) == CAP_PERFMON | CAP_BPF;
    if !enough {
        skipped(test, "needs root, or CAP_BPF and CAP_PERFMON");
    }
    enough
}

/// Says on stderr that a test cannot run here, and why.
pub fn skipped(test: &str, why: &str) {
    // A closed stderr is no reason to fail a test that is not run.
    let _ = writeln!(std::io::stderr(), "SKIPPED: {test}: {why}");
}

fn capabilities() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
    u64::from_str_radix(line.trim(), 16).ok()
}

/// The BPF programs that are loaded, by id, with their names (15 characters at most, as the kernel keeps them).
pub fn loaded_programs() -> Result<BTreeMap<u32, String>> {
    let mut found = BTreeMap::new();
    for program in aya::programs::loaded_programs() {
        match program {
            Ok(program) => {
                found.insert(program.id(), String::from_utf8_lossy(program.name()).into_owned());
            }
            // Unloaded between its listing and this.
            Err(ProgramError::SyscallError(error)) if error.io_error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error).context("cannot list the loaded BPF programs"),
        }
    }
    Ok(found)
}
