//! Processes that outlive the command that starts them: one that keeps files open, one that undoes what nobody confirms.

mod caller;
mod post;
mod release;

use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::unistd::Pid;

use super::BootTime;
use super::journal::TransactionId;
use super::namespaces::Namespaces;
use crate::excerpt;
use crate::host::Root;
use crate::program::{self, Program};

pub use post::Post;
pub use release::{ReleaseError, release};

/// So long a process may take to be at its post.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between two looks whether it is.
const PAUSE: Duration = Duration::from_millis(5);

/// What a process is started for: the verb and the argument of `quell tune`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Errand {
    /// To keep open what a transaction needs open.
    Hold(TransactionId),
    /// To undo what is not confirmed by then.
    Guard(BootTime),
}

/// A process that could not be started, or did not get to its post.
#[derive(Debug, thiserror::Error)]
#[error("could not start `quell tune {command}` in the background: {why}")]
pub struct BackgroundError {
    command: String,
    why: String,
}

/// How a process was started.
enum Started {
    /// As a service.
    Service,
    /// As a child of this process, to be its own session's leader.
    Child(Child),
}

impl Errand {
    fn words(&self) -> [String; 2] {
        match self {
            Self::Hold(id) => ["hold".to_owned(), id.to_string()],
            Self::Guard(BootTime(until)) => ["guard".to_owned(), until.to_string()],
        }
    }

    /// Starts this program again to do it, out of reach of the session's end, and waits until it is at its post.
    ///
    /// # Errors
    /// It cannot be started, ends before, or takes too long: then it does not run.
    pub fn start(&self, root: &Root) -> Result<(), BackgroundError> {
        let failed = |why: String| BackgroundError { command: self.words().join(" "), why };
        if let Ok(Some(pid)) = post::manned(root, self) {
            return match self {
                // Until then is until then, whatever for.
                Self::Guard(_) => Ok(()),
                Self::Hold(_) => {
                    Err(failed(format!("process {pid} does it already, for an earlier one of its number")))
                }
            };
        }
        let mut started = self.spawn(root).map_err(|error| failed(error.to_string()))?;
        if let Started::Child(child) = &started {
            caller::leave(Pid::from_raw(child.id().cast_signed()));
        }
        let begin = Instant::now();
        let why = loop {
            // An error may be of the moment in which it takes its post.
            if let Ok(Some(pid)) = post::manned(root, self) {
                self.tell_shared(pid);
                return Ok(());
            }
            if let Started::Child(child) = &mut started
                && let Ok(Some(status)) = child.try_wait()
            {
                break format!("it ended at once, {status}");
            }
            if begin.elapsed() > PATIENCE {
                break format!("it was not ready after {} s", PATIENCE.as_secs());
            }
            thread::sleep(PAUSE);
        };
        match &mut started {
            Started::Child(child) => {
                let _ = child.kill();
                let _ = child.wait();
            }
            // It may come late; at its post it can be found.
            Started::Service => drop(release::dismiss(root, self)),
        }
        Err(failed(why))
    }

    /// Says whose cgroups it is still in. Who is not root could end it anyway.
    fn tell_shared(&self, pid: Pid) {
        let shared = caller::shared(pid);
        if shared.is_empty() || !nix::unistd::geteuid().is_root() {
            return;
        }
        let shared: Vec<String> =
            shared.iter().map(|path| excerpt::path(path.as_os_str().as_encoded_bytes())).collect();
        tracing::warn!(
            "process {pid} (`quell tune {}`) could not leave the cgroup {}: whoever controls that can stop or kill it\n\
             hint: apply from a shell outside of it, or see to it that it is root's alone",
            self.words().join(" "),
            shared.join(", ")
        );
    }

    fn spawn(&self, root: &Root) -> io::Result<Started> {
        let mut arguments = vec!["tune".to_owned()];
        if !root.is_host() {
            // It starts in another directory.
            let tree = std::path::absolute(root.display_path("/"))?;
            arguments.extend(["--root".to_owned(), tree.display().to_string()]);
        }
        arguments.extend(self.words());
        // A session's processes may be ended with it (logind.conf(5), KillUserProcesses); a service of its own is not. But it
        // sees the host as process 1 does.
        if Root::host().runs_systemd()
            && Namespaces::own().is_some_and(|own| Namespaces::of("1") == Some(own))
            && let Some(program) = program::own_path().as_ref().and_then(|path| path.to_str())
        {
            let mut words = vec!["--quiet", "--collect", "--property=Type=exec", "--property=OOMScoreAdjust=-1000"];
            if matches!(self, Self::Guard(_)) {
                words.extend(["--property=Restart=on-failure", "--property=RestartSec=1"]);
            }
            words.extend(["--", program]);
            words.extend(arguments.iter().map(String::as_str));
            let output = Program::SystemdRun.output(&words, Stdio::null());
            if output.is_ok_and(|output| output.status.success()) {
                return Ok(Started::Service);
            }
            // systemd may not be reachable, as in a container that shows its directory. Had it started one all the same, the
            // post would be taken.
        }
        let mut command = Program::Quell.command().map_err(io::Error::other)?;
        command.arg0("quell").args(arguments).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn()?;
        Ok(Started::Child(child))
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
