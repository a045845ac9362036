//! The real `quell` binary.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::{kernel, turns};

/// A temporary directory in which `quell` runs.
#[derive(Debug)]
pub struct Workdir {
    dir: TempDir,
}

/// The result of a run.
#[derive(Clone, Debug)]
pub struct Ended {
    /// The exit code; `None` if a signal killed it.
    pub code: Option<i32>,
    /// The text on stdout.
    pub stdout: String,
    /// The text on stderr.
    pub stderr: String,
}

/// A running `quell`.
#[derive(Debug)]
pub struct Running {
    child: Option<Child>,
}

impl Workdir {
    /// Creates a directory that is removed with this value.
    pub fn new() -> Result<Self> {
        Ok(Self { dir: tempfile::tempdir().context("cannot make a temporary directory")? })
    }

    /// The path of a file in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The command `quell` in this directory, for what [`run`](Self::run) cannot express.
    pub fn command(&self) -> Result<Command> {
        let mut command = Command::new(binary()?);
        command.current_dir(self.dir.path()).stdin(Stdio::null());
        Ok(command)
    }

    /// Runs `quell` until it exits.
    pub fn run<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Result<Ended> {
        Running::spawn(self.command()?.args(args))?.wait()
    }

    /// Starts `quell`.
    pub fn spawn<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Result<Running> {
        Running::spawn(self.command()?.args(args))
    }
}

impl Running {
    /// Starts a command that is `quell`, or executes it.
    pub fn spawn(command: &mut Command) -> Result<Self> {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.spawn().with_context(|| format!("cannot start {command:?}"))?;
        Ok(Self { child: Some(child) })
    }

    /// Its PID.
    pub fn pid(&self) -> Result<Pid> {
        let child = self.child.as_ref().context("quell has ended")?;
        Ok(Pid::from_raw(child.id().cast_signed()))
    }

    /// Waits until its probes are attached: events from now on are captured.
    pub fn captures(&self) -> Result<()> {
        let pid = self.pid()?.as_raw().cast_unsigned();
        turns::until("quell attaches its probes", || {
            if self.has_ended()? {
                bail!("quell ended before its capture began");
            }
            // quell drops the capability for attaching when its probes are attached. It may poll earlier, while it waits for
            // child processes, but after this, polling means that it has reached its main loop, or a function called by it.
            let task = format!("/proc/{pid}");
            let read = |file: &str| fs::read_to_string(format!("{task}/{file}"));
            let waits = || {
                read("status").is_ok_and(|status| !may_attach(&status))
                    && read("syscall").is_ok_and(|call| polls(&call))
            };
            let at_work = |name: &String| ["quell_interrupt", "quell_switch"].contains(&name.as_str());
            Ok((waits() && kernel::held_by(pid)?.iter().any(at_work)).then_some(()))
        })
    }

    /// Whether it has exited. [`wait`](Self::wait) returns the result.
    pub fn has_ended(&self) -> Result<bool> {
        let id = Id::Pid(self.pid()?);
        let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
        Ok(waitid(id, flags)? != WaitStatus::StillAlive)
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        Ok(kill(self.pid()?, signal)?)
    }

    /// Waits until it exits.
    pub fn wait(mut self) -> Result<Ended> {
        let output = self.child.take().context("quell has ended")?.wait_with_output()?;
        Ok(Ended {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).context("stdout is not UTF-8")?,
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }
}

/// Whether a thread is in poll(2), according to its `/proc/PID/syscall`, which begins with the number. `wchan` is not an
/// alternative: kernels before 5.16 do not report the function if they are built without frame pointers.
fn polls(call: &str) -> bool {
    #[cfg(target_arch = "x86_64")]
    const POLL: [libc::c_long; 2] = [libc::SYS_poll, libc::SYS_ppoll];
    #[cfg(not(target_arch = "x86_64"))]
    const POLL: [libc::c_long; 1] = [libc::SYS_ppoll];
    call.split(' ').next().and_then(|number| number.parse().ok()).is_some_and(|number| POLL.contains(&number))
}

/// Whether a process has `CAP_DAC_READ_SEARCH` (bit 2), according to its `/proc/PID/status`. `quell record` keeps it until
/// its probes are attached, because on Debian only root can read tracefs.
fn may_attach(status: &str) -> bool {
    let permitted = status.lines().find_map(|line| line.strip_prefix("CapPrm:"));
    permitted.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & 1 << 2 != 0)
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Ended {
    /// Fails with the output of `quell`, unless it exited with this code.
    pub fn expect_code(self, code: i32) -> Result<Self> {
        if self.code != Some(code) {
            bail!("quell ended with {:?}, not {code}\n{}{}", self.code, self.stdout, self.stderr);
        }
        Ok(self)
    }
}

/// The `quell` binary: `QUELL_BIN`, else the binary of the profile under test, built once per test process.
pub fn binary() -> Result<&'static Path> {
    static BINARY: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    match BINARY.get_or_init(|| locate().map_err(|error| format!("{error:#}"))) {
        Ok(path) => Ok(path),
        Err(error) => bail!("no quell binary: {error}"),
    }
}

fn locate() -> Result<PathBuf> {
    if let Some(path) = env::var_os("QUELL_BIN") {
        return Ok(PathBuf::from(path).canonicalize()?);
    }
    let dir = target_dir()?;
    let binary = dir.join("quell");
    if is_current(&binary) {
        return Ok(binary);
    }
    let profile = match dir.file_name().and_then(OsStr::to_str) {
        Some("debug") => "dev",
        Some(profile) => profile,
        None => bail!("{} names no profile", dir.display()),
    };
    let target = dir.parent().context("a profile's directory has a parent")?;
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    // Builds a test of the package `quell`: for these tests cargo builds the binary, with the features that `cargo test` of
    // the workspace selects. `cargo build -p quell` selects others, and builds all dependencies a second time.
    let output = Command::new(cargo)
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .args(["test", "--quiet", "--no-run", "--test=cli", "--profile", profile, "--target-dir"])
        .arg(target)
        .output()
        .context("cannot run cargo")?;
    if !output.status.success() {
        bail!("cargo cannot build it: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(binary)
}

/// Whether a binary is newer than its sources, which cargo lists in the file `quell.d` next to it. After `cargo test` of the
/// workspace it is, because the tests of the package `quell` also need it.
fn is_current(binary: &Path) -> bool {
    let modified = |path: &Path| fs::metadata(path).and_then(|file| file.modified());
    let Ok(built) = modified(binary) else { return false };
    let Ok(rule) = fs::read_to_string(binary.with_extension("d")) else { return false };
    let sources = sources(&rule);
    !sources.is_empty() && sources.iter().all(|source| modified(source).is_ok_and(|changed| changed < built))
}

/// The prerequisites of a make rule, in which a backslash precedes a space in a name.
fn sources(rule: &str) -> Vec<PathBuf> {
    let Some((_, files)) = rule.lines().next().and_then(|line| line.split_once(": ")) else { return Vec::new() };
    let files = files.replace("\\ ", "\0");
    files.split_whitespace().map(|file| PathBuf::from(file.replace('\0', " "))).collect()
}

/// The directory of the binaries of the profile under test, which is the profile of the running test.
pub fn target_dir() -> Result<PathBuf> {
    let own = env::current_exe().context("cannot read /proc/self/exe")?;
    let dir = own.parent().context("an executable lies in a directory")?;
    let dir = if dir.ends_with("deps") { dir.parent().context("`deps` lies in a directory")? } else { dir };
    Ok(dir.to_owned())
}
