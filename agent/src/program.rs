//! Programs that quell starts for its own purposes: a closed list, by absolute path, with a clean environment.
//!
//! A command that a user asks for (`quell run`, `quell record -- COMMAND`) is none of them: it has the user's environment.

use std::io::{self, Read};
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
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
    /// quell itself: the file that this process executes, whatever is at its path by now.
    Quell,
}

/// Where programs are looked for, in this order.
const DIRECTORIES: [&str; 4] = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"];
/// The same, for what those programs start.
const PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";
/// So much is kept of what a program prints; the rest is read and dropped.
const OUTPUT: usize = 64 << 10;

/// Why a program could not be started.
#[derive(Debug, thiserror::Error)]
pub enum ProgramError {
    /// There is none.
    #[error("there is no {program} in {}\nhint: install it, or do by hand what it does", DIRECTORIES.join(", "))]
    Absent {
        /// The program.
        program: Program,
    },
    /// Somebody else than root could have put it there or changed it.
    #[error("{} is not started: {why}\nhint: chown root and chmod go-w, if it is what it should be", path.display())]
    Untrusted {
        /// Where it is.
        path: PathBuf,
        /// Whose it is, or who may write to it.
        why: String,
    },
    /// The kernel's error.
    #[error("could not start {}: {source}", path.display())]
    Start {
        /// Where it is.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// How a program ended, and the beginning of what it printed on stdout and the end of what it printed on stderr.
#[derive(Clone, Debug)]
pub struct Output {
    /// Its exit code or signal.
    pub status: ExitStatus,
    /// At most the first 64 KiB.
    pub stdout: Vec<u8>,
    /// At most the last 64 KiB.
    pub stderr: Vec<u8>,
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Program {
    /// Its file name.
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

    /// Where it may be.
    #[must_use]
    pub fn candidates(self) -> Vec<PathBuf> {
        match self {
            Self::Quell => vec![PathBuf::from("/proc/self/exe")],
            _ => DIRECTORIES.iter().map(|directory| Path::new(directory).join(self.name())).collect(),
        }
    }

    fn locate(self) -> Result<PathBuf, ProgramError> {
        match self {
            // Whoever could change it has been executed already.
            Self::Quell => Ok(PathBuf::from("/proc/self/exe")),
            _ => first_trusted(self, &self.candidates()),
        }
    }

    /// The program as it is started: with nothing of this process's environment and descriptors, no input, in `/`.
    ///
    /// # Errors
    /// There is none, or others than root may have made it what it is.
    pub fn command(self) -> Result<Command, ProgramError> {
        self.locate().map(|path| clean(&path))
    }

    /// Runs it to its end with these arguments and this input.
    ///
    /// # Errors
    /// It cannot be started. That it failed is not an error here.
    pub fn output(self, arguments: &[&str], stdin: Stdio) -> Result<Output, ProgramError> {
        let path = self.locate()?;
        let mut command = clean(&path);
        command.args(arguments).stdin(stdin);
        output(command).map_err(|source| ProgramError::Start { path, source })
    }
}

fn clean(path: &Path) -> Command {
    descriptors::close_on_exec();
    let mut command = Command::new(path);
    command.env_clear().env("PATH", PATH).env("LC_ALL", "C").current_dir("/").stdin(Stdio::null());
    command
}

fn output(mut command: Command) -> io::Result<Output> {
    // A Ctrl-C on a terminal goes to a group: what the program sets would be half set.
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0).spawn()?;
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let (stdout, stderr) = thread::scope(|scope| {
        let err = scope.spawn(|| err.map(last).unwrap_or_default());
        (out.map(first).unwrap_or_default(), err.join().unwrap_or_default())
    });
    Ok(Output { status: child.wait()?, stdout, stderr })
}

/// The file that this process executes by its path, for a program that starts it by that: `None` where the path leads to another file
/// by now, or where others than root may replace it.
#[must_use]
pub fn own_path() -> Option<PathBuf> {
    let path = std::env::current_exe().ok()?;
    let (own, there) = (fs::metadata("/proc/self/exe").ok()?, fs::metadata(&path).ok()?);
    let is_own = (own.dev(), own.ino()) == (there.dev(), there.ino());
    (is_own && first_trusted(Program::Quell, std::slice::from_ref(&path)).is_ok()).then_some(path)
}

impl Output {
    /// Why it failed, in a line: how it ended, and its last words.
    #[must_use]
    pub fn why(&self) -> String {
        let last = self.stderr.split(|&byte| byte == b'\n').rev().map(<[u8]>::trim_ascii).find(|line| !line.is_empty());
        match last {
            Some(line) => format!("{}, {}", self.status, excerpt::message(line)),
            None => format!("{}, without a message", self.status),
        }
    }
}

/// The first of these paths that is there. One that is there and is not to be trusted is an error: it is not passed over for another.
fn first_trusted(program: Program, candidates: &[PathBuf]) -> Result<PathBuf, ProgramError> {
    for path in candidates {
        let Ok(file) = fs::metadata(path) else { continue };
        let untrusted = |why: String| ProgramError::Untrusted { path: path.clone(), why };
        if !file.is_file() {
            return Err(untrusted("it is not a regular file".to_owned()));
        }
        if file.uid() != 0 {
            return Err(untrusted(format!("it belongs to user {}, not to root", file.uid())));
        }
        if file.mode() & 0o022 != 0 {
            return Err(untrusted(format!("others than root may write to it (mode {:04o})", file.mode() & 0o7777)));
        }
        return Ok(path.clone());
    }
    Err(ProgramError::Absent { program })
}

/// The beginning of what is printed; all of it is read, so that who prints is not ended by SIGPIPE.
fn first(mut from: impl Read) -> Vec<u8> {
    let mut kept = Vec::new();
    let _ = from.by_ref().take(OUTPUT as u64).read_to_end(&mut kept);
    let _ = io::copy(&mut from, &mut io::sink());
    kept
}

/// The end of what is printed.
fn last(mut from: impl Read) -> Vec<u8> {
    let (mut kept, mut piece) = (Vec::new(), [0; 4096]);
    loop {
        match from.read(&mut piece) {
            Ok(0) => return kept,
            Ok(count) => {
                kept.extend_from_slice(&piece[..count]);
                kept.drain(..kept.len().saturating_sub(OUTPUT));
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

    /// What a shell prints that is started as a helper is; a shell is none.
    fn shell(script: &str) -> Output {
        let mut shell = clean(Path::new("/bin/sh"));
        shell.args(["-c", script]);
        output(shell).expect("a shell")
    }

    #[test]
    fn a_helper_has_no_environment_and_no_directory_of_the_callers() {
        let said = String::from_utf8(shell("env; pwd").stdout).expect("text");
        let mut lines: Vec<&str> =
            said.lines().filter(|line| !line.starts_with("PWD=") && !line.starts_with("_=")).collect();
        lines.sort_unstable();
        assert_eq!(lines, ["/", "LC_ALL=C", "PATH=/usr/sbin:/usr/bin:/sbin:/bin"]);
    }

    #[test]
    fn a_descriptor_that_the_caller_left_open_is_closed_in_a_helper() {
        let file = fs::File::open("/dev/zero").expect("open");
        // As a caller that forgot to close it on exec leaves it.
        nix::fcntl::fcntl(&file, nix::fcntl::FcntlArg::F_SETFD(nix::fcntl::FdFlag::empty())).expect("fcntl");
        let is_open = |said: Output| said.status.success();
        let test = format!("test -e /proc/self/fd/{}", file.as_raw_fd());
        assert!(!is_open(shell(&test)));
    }

    #[test]
    fn what_others_than_root_could_have_changed_is_not_started() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("systemctl");
        let located = || first_trusted(Program::Systemctl, std::slice::from_ref(&path));
        assert!(matches!(located(), Err(ProgramError::Absent { .. })));
        fs::write(&path, "#!/bin/sh\n").expect("a file");
        if !nix::unistd::geteuid().is_root() {
            assert!(matches!(located(), Err(ProgramError::Untrusted { why, .. }) if why.contains("not to root")));
        }
        crate::needs!(Root);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("chmod");
        assert!(located().is_ok());
        for mode in [0o757, 0o775] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("chmod");
            assert!(
                matches!(located(), Err(ProgramError::Untrusted { why, .. }) if why.contains("may write")),
                "{mode:o}"
            );
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("chmod");
        chown(&path, Some(65534), None).expect("chown");
        assert!(matches!(located(), Err(ProgramError::Untrusted { why, .. }) if why.contains("65534")));
    }

    #[test]
    fn an_untrusted_program_is_not_passed_over_for_one_that_is_found_later() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("systemctl");
        fs::create_dir(&path).expect("a directory");
        let found = first_trusted(Program::Systemctl, &[path, "/bin/sh".into()]);
        assert!(matches!(found, Err(ProgramError::Untrusted { .. })), "{found:?}");
    }

    #[test]
    fn of_endless_output_the_beginning_and_the_last_words_are_kept() {
        let flood: Vec<u8> =
            [b"first\n".to_vec(), vec![b'x'; 4 * OUTPUT], b"\nlast \x1b[31mwords\n\n".to_vec()].concat();
        let output = Output { status: ExitStatus::default(), stdout: first(&*flood), stderr: last(&*flood) };
        assert!(output.stdout.len() == OUTPUT && output.stdout.starts_with(b"first\n"));
        assert!(output.stderr.len() == OUTPUT);
        assert!(output.why().ends_with("last \\u001b[31mwords"), "{}", output.why());
    }

    #[test]
    fn every_program_is_looked_for_by_absolute_path_in_directories_of_root() {
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
