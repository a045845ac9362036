//! Starting a background process.

use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::unistd::Pid;

use super::caller;
use super::pid_file;
use super::stop;
use super::task::BackgroundTask;
use crate::excerpt;
use crate::host::Root;
use crate::program::{self, Program};
use crate::tune::transaction::namespaces::Namespaces;

/// The maximum time until a process has created its PID file.
const TIMEOUT: Duration = Duration::from_secs(10);
const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// A background process that could not be started, or did not become ready.
#[derive(Debug, thiserror::Error)]
#[error("could not start `quell tune {command}` in the background: {reason}")]
pub struct BackgroundError {
    command: String,
    reason: String,
}

/// How a process was started.
enum Started {
    /// As a transient systemd service.
    Service,
    /// As a child of this process; the child then creates its own session.
    Child(Child),
}

/// Executes quell in the background, independent of the caller's session, and waits until the process has created its PID file.
///
/// # Errors
/// The process cannot be started, exits immediately, or takes too long. In all these cases it is not left running.
pub fn start(root: &Root, task: &BackgroundTask) -> Result<(), BackgroundError> {
    let failed = |reason: String| BackgroundError { command: task.words().join(" "), reason };
    if let Ok(Some(pid)) = pid_file::running_pid(root, task) {
        return match task {
            // An existing guard for the same time is sufficient.
            BackgroundTask::Guard(_) => Ok(()),
            BackgroundTask::Hold(_) => {
                Err(failed(format!("process {pid} does it already, for an earlier transaction with this number")))
            }
        };
    }
    let mut started = spawn(root, task).map_err(|error| failed(error.to_string()))?;
    if let Started::Child(child) = &started {
        caller::leave(Pid::from_raw(child.id().cast_signed()));
    }
    let result = wait_until_ready(root, task, &mut started);
    match (&result, &mut started) {
        (Ok(pid), _) => warn_about_shared_cgroups(task, *pid),
        (Err(_), Started::Child(child)) => {
            let _ = child.kill();
            let _ = child.wait();
        }
        // The service may become ready later, in which case it can be found and stopped.
        (Err(_), Started::Service) => drop(stop::stop(root, task)),
    }
    result.map(drop).map_err(failed)
}

fn wait_until_ready(root: &Root, task: &BackgroundTask, started: &mut Started) -> Result<Pid, String> {
    let begin = Instant::now();
    loop {
        // An error may be transient, while the file is being created.
        if let Ok(Some(pid)) = pid_file::running_pid(root, task) {
            return Ok(pid);
        }
        if let Started::Child(child) = started
            && let Ok(Some(status)) = child.try_wait()
        {
            return Err(format!("it ended at once, {status}"));
        }
        if begin.elapsed() > TIMEOUT {
            return Err(format!("it was not ready after {} s", TIMEOUT.as_secs()));
        }
        thread::sleep(POLL_INTERVAL);
    }
}

/// Warns if the process is still in a cgroup of the caller. If the caller is not root, it can kill the process anyway.
fn warn_about_shared_cgroups(task: &BackgroundTask, pid: Pid) {
    let shared = caller::shared(pid);
    if shared.is_empty() || !nix::unistd::geteuid().is_root() {
        return;
    }
    let shared: Vec<String> = shared.iter().map(|path| excerpt::path(path.as_os_str().as_encoded_bytes())).collect();
    tracing::warn!(
        "process {pid} (`quell tune {}`) could not leave the cgroup {}: the owner of the cgroup can stop or kill it\n\
         hint: apply from a shell outside of the cgroup, or make it belong to root",
        task.words().join(" "),
        shared.join(", ")
    );
}

fn spawn(root: &Root, task: &BackgroundTask) -> io::Result<Started> {
    let mut arguments = vec!["tune".to_owned()];
    if !root.is_host() {
        // The working directory of the process differs, so the path must be absolute.
        let tree = std::path::absolute(root.display_path("/"))?;
        arguments.extend(["--root".to_owned(), tree.display().to_string()]);
    }
    arguments.extend(task.words());
    // When a session ends, its processes may be killed (logind.conf(5), KillUserProcesses), but services are not. A service
    // runs in the namespaces of process 1.
    if Root::host().runs_systemd()
        && Namespaces::own().is_some_and(|own| Namespaces::of("1") == Some(own))
        && let Some(program) = program::own_path().as_ref().and_then(|path| path.to_str())
    {
        let mut words = vec!["--quiet", "--collect", "--property=Type=exec", "--property=OOMScoreAdjust=-1000"];
        if matches!(task, BackgroundTask::Guard(_)) {
            words.extend(["--property=Restart=on-failure", "--property=RestartSec=1"]);
        }
        words.extend(["--", program]);
        words.extend(arguments.iter().map(String::as_str));
        let output = Program::SystemdRun.output(&words, Stdio::null());
        if output.is_ok_and(|output| output.status.success()) {
            return Ok(Started::Service);
        }
        // systemd may be unreachable, for example in a container that contains its directory. If systemd has started the
        // service nevertheless, the child finds the PID file locked.
    }
    let mut command = Program::Quell.command().map_err(io::Error::other)?;
    command.arg0("quell").args(arguments).stdout(Stdio::null()).stderr(Stdio::null());
    Ok(Started::Child(command.spawn()?))
}

/// Leaves the session of the caller. This is the first action of a background process.
///
/// # Errors
/// The errors of setsid(2).
pub fn detach() -> io::Result<()> {
    match nix::unistd::setsid() {
        // A service is a session leader already.
        Ok(_) | Err(nix::errno::Errno::EPERM) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}
