//! Programs that quell starts for its own purposes: a closed list, by absolute path, with a clean environment.
//!
//! Commands of the user (`quell run`, `quell record -- COMMAND`) are not among them: these run in the environment of the user.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Mutex, PoisonError};
use std::{fmt, fs, thread};

use crate::excerpt;
use crate::sys::descriptors;

/// Every program of the host that quell starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Program {
    /// systemctl(1).
    Systemctl,
    /// systemd-run(1).
    SystemdRun,
    /// update-grub(8), of Debian.
    UpdateGrub,
    /// grub2-mkconfig(8), of Fedora and SUSE.
    Grub2Mkconfig,
    /// grub-mkconfig(8).
    GrubMkconfig,
    /// quell itself: the file that this process executes, even if another one has its path by now.
    Quell,
}

/// The directories that are searched, in this order.
const DIRECTORIES: [&str; 4] = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"];
/// The same directories, for programs that those programs start.
const PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";
/// The maximum number of bytes of a program's output that are kept. The rest is read and discarded.
const MAX_OUTPUT: usize = 64 << 10;

/// The lock of the host, while this process has it.
static LOCK_FILE: Mutex<Option<File>> = Mutex::new(None);

/// A program that could not be started.
#[derive(Debug, thiserror::Error)]
pub enum ProgramError {
    /// It is not installed.
    #[error("{program} is not installed in {}\nhint: install it", DIRECTORIES.join(", "))]
    Absent {
        /// The program.
        program: Program,
    },
    /// Other users than root could have created or changed it.
    #[error("{} is not trusted: {reason}\nhint: check it, then `chown root` and `chmod go-w`", path.display())]
    Untrusted {
        /// The path of the program.
        path: PathBuf,
        /// Why it is not trusted.
        reason: String,
    },
    /// It cannot be executed.
    #[error("could not start {}: {source}", path.display())]
    Start {
        /// The path of the program.
        path: PathBuf,
        /// The error of the kernel.
        r#source: io::Error,
    },
}

/// The exit status and output of a program.
#[derive(Clone, Debug)]
pub struct Output {
    /// The exit code or signal.
    pub status: ExitStatus,
    /// The first 64 KiB of stdout.
    pub stdout: Vec<u8>,
    /// The last 64 KiB of stderr.
    pub stderr: Vec<u8>,
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Program {
    /// The file name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Systemctl => "systemctl",
            Self::SystemdRun => "systemd-run",
            Self::UpdateGrub => "update-grub",
            Self::Grub2Mkconfig => "grub2-mkconfig",
            Self::GrubMkconfig => "grub-mkconfig",
            Self::Quell => "quell",
        }
    }

    /// The paths that it may have.
    #[must_use]
    pub fn candidates(self) -> Vec<PathBuf> {
        match self {
            Self::Quell => vec![PathBuf::from("/proc/self/exe")],
            _ => DIRECTORIES.iter().map(|directory| Path::new(directory).join(self.name())).collect(),
        }
    }

    fn locate(self) -> Result<PathBuf, ProgramError> {
        match self {
            // It is already running.
            Self::Quell => Ok(PathBuf::from("/proc/self/exe")),
            _ => first_trusted(self, &self.candidates()),
        }
    }

    /// A command with a clean environment, no inherited descriptors, no input, and `/` as the working directory.
    ///
    /// # Errors
    /// It is not installed, or not trusted.
    pub fn command(self) -> Result<Command, ProgramError> {
        self.locate().map(|path| clean(&path))
    }

    /// Runs the program until it ends.
    ///
    /// # Errors
    /// It cannot be started. Its failure is not an error here.
    pub fn output(self, arguments: &[&str], stdin: Stdio) -> Result<Output, ProgramError> {
        let path = self.locate()?;
        let mut command = clean(&path);
        command.args(arguments).stdin(stdin);
        output(command).map_err(|source| ProgramError::Start { path, source })
    }

    /// Runs a program that changes the host, with the lock of the host as its input, so that the host stays locked until the program
    /// has ended, even if this process is killed.
    ///
    /// # Errors
    /// The errors of [`output`](Self::output).
    pub fn output_under_lock(self, arguments: &[&str]) -> Result<Output, ProgramError> {
        self.output(arguments, lock_stdin())
    }
}

/// Sets the file that [`Program::output_under_lock`] passes to programs: the lock of the host, which this process has.
pub(crate) fn set_lock_file(file: Option<File>) {
    *LOCK_FILE.lock().unwrap_or_else(PoisonError::into_inner) = file;
}

/// The lock as an input that is empty; `/dev/null` without a lock.
pub(crate) fn lock_stdin() -> Stdio {
    let file = LOCK_FILE.lock().unwrap_or_else(PoisonError::into_inner);
    let file = file.as_ref().and_then(|file| file.try_clone().ok());
    file.map_or_else(Stdio::null, Stdio::from)
}

fn clean(path: &Path) -> Command {
    descriptors::close_on_exec();
    let mut command = Command::new(path);
    command.env_clear().env("PATH", PATH).env("LC_ALL", "C").current_dir("/").stdin(Stdio::null());
    command
}

fn output(mut command: Command) -> io::Result<Output> {
    // Ctrl-C on a terminal signals the process group, and would interrupt the program while it changes something.
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0).spawn()?;
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let (stdout, stderr) = thread::scope(|scope| {
        let err = scope.spawn(|| err.map(last).unwrap_or_default());
        (out.map(first).unwrap_or_default(), err.join().unwrap_or_default())
    });
    Ok(Output { status: child.wait()?, stdout, stderr })
}

/// The path of the file that this process executes, for programs that start it by path; `None` if the path belongs to another file by
/// now, or if other users than root can replace it.
#[must_use]
pub fn own_path() -> Option<PathBuf> {
    let path = std::env::current_exe().ok()?;
    let (own, there) = (fs::metadata("/proc/self/exe").ok()?, fs::metadata(&path).ok()?);
    let is_own = (own.dev(), own.ino()) == (there.dev(), there.ino());
    (is_own && first_trusted(Program::Quell, std::slice::from_ref(&path)).is_ok()).then_some(path)
}

impl Output {
    /// The failure as a line: the exit status and the last line of stderr.
    #[must_use]
    pub fn failure(&self) -> String {
        let last = self.stderr.split(|&byte| byte == b'\n').rev().map(<[u8]>::trim_ascii).find(|line| !line.is_empty());
        match last {
            Some(line) => format!("{}, {}", self.status, excerpt::message(line)),
            None => format!("{}, no message", self.status),
        }
    }
}

/// The first of these paths that exists. It is an error if that one is not trusted, even if a later one is.
fn first_trusted(program: Program, candidates: &[PathBuf]) -> Result<PathBuf, ProgramError> {
    for path in candidates {
        let Ok(file) = fs::metadata(path) else { continue };
        let untrusted = |reason: String| ProgramError::Untrusted { path: path.clone(), reason };
        if !file.is_file() {
            return Err(untrusted("it is not a regular file".to_owned()));
        }
        if file.uid() != 0 {
            return Err(untrusted(format!("it belongs to user {}, not to root", file.uid())));
        }
        if file.mode() & 0o022 != 0 {
            return Err(untrusted(format!(
                "users other than root may write to it (mode {:04o})",
                file.mode() & 0o7777
            )));
        }
        return Ok(path.clone());
    }
    Err(ProgramError::Absent { program })
}

/// The beginning of the output. All of it is read, so that SIGPIPE does not end the program.
fn first(mut from: impl Read) -> Vec<u8> {
    let mut kept = Vec::new();
    let _ = from.by_ref().take(MAX_OUTPUT as u64).read_to_end(&mut kept);
    let _ = io::copy(&mut from, &mut io::sink());
    kept
}

/// The end of the output.
fn last(mut from: impl Read) -> Vec<u8> {
    let (mut kept, mut piece) = (Vec::new(), [0; 4096]);
    loop {
        match from.read(&mut piece) {
            Ok(0) => return kept,
            Ok(count) => {
                kept.extend_from_slice(&piece[..count]);
                kept.drain(..kept.len().saturating_sub(MAX_OUTPUT));
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return kept,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd as _;
    use std::os::unix::fs::{PermissionsExt as _, chown};

    use super::*;

    /// The output of a shell that is started like such a program.
    fn shell(script: &str) -> Output {
        let mut shell = clean(Path::new("/bin/sh"));
        shell.args(["-c", script]);
        output(shell).expect("a shell")
    }

    #[test]
    fn a_program_has_a_clean_environment_and_working_directory() {
        let said = String::from_utf8(shell("env; pwd").stdout).expect("text");
        let mut lines: Vec<&str> =
            said.lines().filter(|line| !line.starts_with("PWD=") && !line.starts_with("_=")).collect();
        lines.sort_unstable();
        assert_eq!(lines, ["/", "LC_ALL=C", "PATH=/usr/sbin:/usr/bin:/sbin:/bin"]);
    }

    #[test]
    fn descriptors_of_the_caller_are_closed() {
        let file = File::open("/dev/zero").expect("open");
        // As if close-on-exec had been forgotten.
        nix::fcntl::fcntl(&file, nix::fcntl::FcntlArg::F_SETFD(nix::fcntl::FdFlag::empty())).expect("fcntl");
        let is_open = |said: Output| said.status.success();
        let test = format!("test -e /proc/self/fd/{}", file.as_raw_fd());
        assert!(!is_open(shell(&test)));
    }

    #[test]
    fn a_program_that_other_users_could_have_changed_is_not_started() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("systemctl");
        let located = || first_trusted(Program::Systemctl, std::slice::from_ref(&path));
        assert!(matches!(located(), Err(ProgramError::Absent { .. })));
        fs::write(&path, "#!/bin/sh\n").expect("a file");
        if !nix::unistd::geteuid().is_root() {
            assert!(matches!(located(), Err(ProgramError::Untrusted { reason, .. }) if reason.contains("not to root")));
        }
        crate::needs!(Root);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("chmod");
        assert!(located().is_ok());
        for mode in [0o757, 0o775] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("chmod");
            assert!(
                matches!(located(), Err(ProgramError::Untrusted { reason, .. }) if reason.contains("may write")),
                "{mode:o}"
            );
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("chmod");
        chown(&path, Some(65534), None).expect("chown");
        assert!(matches!(located(), Err(ProgramError::Untrusted { reason, .. }) if reason.contains("65534")));
    }

    #[test]
    fn no_later_path_is_used_instead_of_an_untrusted_one() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("systemctl");
        fs::create_dir(&path).expect("a directory");
        let found = first_trusted(Program::Systemctl, &[path, "/bin/sh".into()]);
        assert!(matches!(found, Err(ProgramError::Untrusted { .. })), "{found:?}");
    }

    #[test]
    fn the_beginning_of_stdout_and_the_end_of_stderr_are_kept() {
        let flood: Vec<u8> =
            [b"first\n".to_vec(), vec![b'x'; 4 * MAX_OUTPUT], b"\nlast \x1b[31mwords\n\n".to_vec()].concat();
        let output = Output { status: ExitStatus::default(), stdout: first(&*flood), stderr: last(&*flood) };
        assert!(output.stdout.len() == MAX_OUTPUT && output.stdout.starts_with(b"first\n"));
        assert!(output.stderr.len() == MAX_OUTPUT);
        assert!(output.failure().ends_with("last \\u001b[31mwords"), "{}", output.failure());
    }

    #[test]
    fn programs_have_absolute_paths() {
        for program in [
            Program::Systemctl,
            Program::SystemdRun,
            Program::UpdateGrub,
            Program::Grub2Mkconfig,
            Program::GrubMkconfig,
            Program::Quell,
        ] {
            assert!(program.candidates().iter().all(|path| path.is_absolute()), "{program}");
        }
    }
}
