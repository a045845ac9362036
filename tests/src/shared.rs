//! A directory that root and another user share.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use anyhow::{Result, ensure};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use crate::agent::{self, Ended, Running, Workdir};
use crate::small;

/// `nobody` on most systems. Any user except root is suitable.
pub const MALLORY: u32 = 65_534;

/// A directory for root and another user, in a directory that all users can enter.
#[derive(Debug)]
pub struct Shared {
    /// The directory.
    pub dir: Workdir,
}

impl Shared {
    /// Creates a directory with this mode.
    pub fn new(mode: u32) -> Result<Self> {
        let dir = Workdir::new()?;
        fs::set_permissions(dir.path(""), Permissions::from_mode(mode))?;
        Ok(Self { dir })
    }

    /// The path of a name in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path(name)
    }

    /// The command for a script that the other user runs in the directory.
    pub fn mallory(&self, script: &str) -> Command {
        let mut command = Command::new("sh");
        // The standard library drops the supplementary groups of root in the first of these two calls.
        command.uid(MALLORY).gid(MALLORY).args(["-c", script]).current_dir(self.path("")).stdin(Stdio::null());
        command
    }

    /// Runs a script as the other user, in the directory.
    pub fn plant(&self, script: &str) -> Result<()> {
        let status = self.mallory(script).status()?;
        ensure!(status.success(), "the other user cannot do `{script}`");
        Ok(())
    }

    /// Runs `quell report` as root. If it hangs, it is killed, and its exit code makes the test fail.
    pub fn report(&self, output: &str) -> Result<Ended> {
        let mut command = Command::new("timeout");
        command.args(["--signal=KILL", "60"]).arg(agent::binary()?).arg("report").arg(small::path());
        command.args(["--format", "folded", "-o", output]).current_dir(self.path("")).stdin(Stdio::null());
        Running::spawn(&mut command)?.wait()
    }

    /// Fails unless quell refuses to write to this path, with an error that contains these words and a hint.
    pub fn refuses(&self, output: &str, words: &[&str]) -> Result<()> {
        let ended = self.report(output)?.expect_code(2)?;
        for word in words.iter().chain(&["\nhint: "]) {
            ensure!(ended.stderr.contains(word), "{output}: no `{word}` in {}", ended.stderr);
        }
        Ok(())
    }
}

/// A process group of the other user. Dropping this kills the processes.
#[derive(Debug)]
pub struct Attack(Child);

impl Attack {
    /// Starts a command as the leader of a new process group.
    pub fn start(mut command: Command) -> Result<Self> {
        Ok(Self(command.process_group(0).spawn()?))
    }
}

impl Drop for Attack {
    fn drop(&mut self) {
        let _ = killpg(Pid::from_raw(self.0.id().cast_signed()), Signal::SIGKILL);
        let _ = self.0.wait();
    }
}
