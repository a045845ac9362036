//! What `quell tune apply` leaves running on a host that is a tree: a guard until it is confirmed, a holder of open files.

use std::fs;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::fake_host::FakeHost;

/// Whether a process is one of quell's that runs this verb.
pub fn runs(pid: i32, verb: &str) -> bool {
    let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    words.split(|&byte| byte == 0).any(|word| word == verb.as_bytes())
}

/// Ends the guards and holders of a host.
pub fn end(host: &FakeHost) {
    for entry in fs::read_dir(host.at("/run/quell")).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        // Others are what a test has planted.
        let Some((verb @ ("guard" | "hold"), _)) = name.split_once('-') else { continue };
        let pid = fs::read_to_string(entry.path()).ok().and_then(|pid| pid.trim().parse().ok());
        if let Some(pid) = pid.filter(|pid| runs(*pid, verb)) {
            // It may have ended by now.
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
    }
}
