//! Processes that outlive the command that starts them: one that keeps files open, one that undoes what nobody confirms.

use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::journal::TransactionId;
use crate::host::Root;

/// Where systemd says that it runs a host (sd_booted(3)).
const SYSTEMD: &str = "/run/systemd/system";

/// A process that could not be started, or did not get ready.
#[derive(Debug, thiserror::Error)]
#[error("could not start `{command}` in the background: {why}")]
pub struct BackgroundError {
    command: String,
    why: String,
}

/// Starts this program again with other arguments, out of reach of the session's end, and waits until it is ready: it says so
/// by a line on stdout.
///
/// # Errors
/// It cannot be started, or ends before.
pub fn start(arguments: &[String]) -> Result<(), BackgroundError> {
    let failed = |why: String| BackgroundError { command: arguments.join(" "), why };
    let program = std::env::current_exe().map_err(|error| failed(error.to_string()))?;
    if Path::new(SYSTEMD).exists() {
        // A session's processes may be ended with it (logind.conf(5), KillUserProcesses); a service of its own is not.
        let mut command = Command::new("systemd-run");
        command.args(["--quiet", "--collect", "--property=Type=exec", "--"]).arg(&program).args(arguments);
        let output = command.stdin(Stdio::null()).output();
        if output.is_ok_and(|output| output.status.success()) {
            return Ok(());
        }
        // systemd may not be reachable, as in a container that shows its directory.
    }
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| failed(error.to_string()))?;
    let mut ready = [0];
    let said = child.stdout.take().map_or(Ok(0), |mut stdout| stdout.read(&mut ready));
    match said {
        Ok(1) => Ok(()),
        Ok(_) => Err(failed("it ended at once".to_owned())),
        Err(error) => Err(failed(error.to_string())),
    }
}

/// In such a process, first of all: leaves the session of who started it.
///
/// # Errors
/// The kernel's.
pub fn detach() -> io::Result<()> {
    match nix::unistd::setsid() {
        // A service leads its session already.
        Ok(_) | Err(nix::errno::Errno::EPERM) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

/// Writes down that this process holds what a transaction needs held.
///
/// # Errors
/// The file cannot be written.
pub fn holding(root: &Root, id: TransactionId) -> io::Result<()> {
    let file = holder(root, id);
    if let Some(directory) = file.parent() {
        fs::create_dir_all(directory)?;
    }
    fs::write(file, std::process::id().to_string())
}

/// Ends the process that holds what a transaction needs held, if there is one, and waits until it is gone.
pub fn release(root: &Root, id: TransactionId) {
    let file = holder(root, id);
    let Some(pid) = fs::read_to_string(&file).ok().and_then(|text| text.trim().parse::<i32>().ok()) else { return };
    let ours = || {
        let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        // The number may have passed to another since.
        let words: Vec<_> = words.split(|&byte| byte == 0).collect();
        words.windows(2).any(|pair| pair == [b"tune".as_slice(), b"hold".as_slice()])
    };
    if ours() && kill(Pid::from_raw(pid), Signal::SIGTERM).is_ok() {
        while ours() {
            thread::sleep(Duration::from_millis(1));
        }
    }
    let _ = fs::remove_file(file);
}

fn holder(root: &Root, id: TransactionId) -> PathBuf {
    root.path(&format!("/run/quell/hold-{id}"))
}
