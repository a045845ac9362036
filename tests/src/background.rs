//! The background processes that `quell tune apply` starts for a fake host: a guard until the change is confirmed, and a
//! holder of open files.

use std::fs;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::fake_host::FakeHost;

/// Whether the process is `quell` with this verb.
pub fn runs(pid: i32, verb: &str) -> bool {
    let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    words.split(|&byte| byte == 0).any(|word| word == verb.as_bytes())
}

/// Kills the guards and holders of a host.
pub fn end(host: &FakeHost) {
    for entry in fs::read_dir(host.at("/run/quell")).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        // Other files were created by the test.
        let Some((verb @ ("guard" | "hold"), _)) = name.split_once('-') else { continue };
        let pid = fs::read_to_string(entry.path()).ok().and_then(|pid| pid.trim().parse().ok());
        if let Some(pid) = pid.filter(|pid| runs(*pid, verb)) {
            // It may have exited already.
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
    }
}
