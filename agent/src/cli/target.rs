//! The target of a capture, from the command line.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use quell::capture::{self, CaptureTarget, Command, Matching, SuspendedCommand};
use quell::host;
use quell::pattern::{Pattern, PatternError};
use quell::recording::ProcessFilter;
use quell::units::Pid;

/// Parses a PID. For a name, the error suggests how to find its PID.
pub(crate) fn pid(text: &str) -> Result<u32, String> {
    text.parse().map_err(|_| format!("`{text}` is not a PID; `pgrep -f {text}` finds the PID of a process"))
}

/// Parses the pattern of a cgroup, which may begin with its mount point.
pub(crate) fn cgroup_pattern(text: &str) -> Result<Pattern, PatternError> {
    Pattern::new(text.strip_prefix("/sys/fs/cgroup").filter(|path| path.starts_with('/')).unwrap_or(text))
}

/// The options that select processes.
pub(crate) struct Options<'a> {
    pub(crate) pids: &'a [u32],
    pub(crate) cgroups: &'a [Pattern],
    pub(crate) comms: &'a [Pattern],
    pub(crate) executables: &'a [Pattern],
    pub(crate) users: &'a [Pattern],
    /// The command after `--`.
    pub(crate) words: &'a [String],
}

impl Options<'_> {
    /// The only cgroup, if nothing else is asked for and it is not a pattern. A directory may have a name that looks like one.
    fn cgroup(&self) -> Option<PathBuf> {
        let others = [self.comms, self.executables, self.users];
        let [cgroup] = self.cgroups else { return None };
        let path = cgroup_directory(Path::new(cgroup.text()));
        let is_path = path.is_dir() || !Pattern::has_wildcards(cgroup.text());
        (is_path && others.iter().all(|patterns| patterns.is_empty())).then_some(path)
    }

    /// The processes that match; `None` if there are no patterns.
    fn matching(&self) -> Option<Matching> {
        let kinds =
            [("--comm", self.comms), ("--exe", self.executables), ("--cgroup", self.cgroups), ("--user", self.users)];
        let options = kinds
            .iter()
            .flat_map(|(name, patterns)| patterns.iter().map(move |pattern| format!("{name} {}", pattern.text())));
        let options: Vec<String> = options.collect();
        let processes = ProcessFilter {
            executables: self.executables.to_vec(),
            cgroups: self.cgroups.to_vec(),
            users: self.users.to_vec(),
        };
        (!options.is_empty()).then(|| Matching { names: self.comms.to_vec(), processes, options })
    }
}

/// The target of a capture, before it begins.
pub(crate) enum Target {
    /// All threads, or those of a cgroup: the capture does not end by itself.
    Endless(CaptureTarget),
    /// Running processes.
    Processes(Vec<Watched>),
    /// A command that waits to be released.
    Command { suspended: SuspendedCommand, words: Vec<String> },
}

/// A process that is watched for its end.
pub(crate) struct Watched {
    pid: Pid,
    /// Open since before the capture: reads from it fail when the process is gone, also when its id is used anew.
    stat: File,
}

impl Watched {
    fn new(pid: Pid) -> anyhow::Result<Self> {
        let stat = match File::open(format!("/proc/{pid}/stat")) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => bail!("process {pid} does not exist"),
            opened => opened.with_context(|| format!("could not read /proc/{pid}/stat"))?,
        };
        // With the name first, which is bytes.
        let status = fs::read(format!("/proc/{pid}/status"))
            .with_context(|| format!("process {pid} exited before the capture began"))?;
        let tgid = status.split(|&byte| byte == b'\n').find_map(|line| line.strip_prefix(b"Tgid:"));
        let tgid = tgid.and_then(|tgid| std::str::from_utf8(tgid).ok()?.trim().parse::<u32>().ok());
        match tgid {
            Some(tgid) if tgid != pid.0 => bail!("{pid} is a thread of process {tgid}\nhint: use -p {tgid}"),
            _ => Ok(Self { pid, stat }),
        }
    }

    /// Whether the process has exited: its first thread has, and there is no other. A zombie has exited too.
    pub(crate) fn has_ended(&mut self) -> bool {
        use std::io::Seek as _;
        let mut stat = Vec::new();
        if self.stat.rewind().is_err() || self.stat.read_to_end(&mut stat).is_err() {
            return true;
        }
        // The state follows the name, which is in parentheses, may hold some itself, and is bytes: proc_pid_stat(5).
        let end = stat.iter().rposition(|&byte| byte == b')');
        let rest = end.and_then(|end| std::str::from_utf8(stat.get(end + 1..)?).ok()).unwrap_or_default();
        let mut fields = rest.split_ascii_whitespace();
        let state = fields.next();
        // Field 20. An exited first thread counts until all others have exited and the process is reaped.
        let threads: u64 = fields.nth(20 - 4).and_then(|field| field.parse().ok()).unwrap_or(0);
        matches!(state, None | Some("Z" | "X")) && threads <= 1
    }
}

impl Target {
    /// From the options and the words after `--`; without any, all threads.
    pub(crate) fn resolve(options: &Options<'_>) -> anyhow::Result<Self> {
        let Options { pids, words, .. } = options;
        if !host::in_initial_pid_namespace() {
            bail!(
                "quell runs in a PID namespace other than the host's, but the kernel reports the PIDs of the host\nhint: run quell in the PID namespace of the host (docker run --pid=host, hostPID: true)"
            );
        }
        if !words.is_empty() {
            let program = &words[0];
            if !can_be_started(program) {
                bail!("command `{program}` not found");
            }
            return Ok(Self::Command { suspended: capture::suspend(words)?, words: words.to_vec() });
        }
        if let Some(path) = options.cgroup() {
            let cgroup = host::cgroup(&path)?;
            return Ok(Self::Endless(CaptureTarget::Cgroup { path, cgroup }));
        }
        if let Some(matching) = options.matching() {
            return Ok(Self::Endless(CaptureTarget::Matching(matching)));
        }
        if pids.is_empty() {
            return Ok(Self::Endless(CaptureTarget::All));
        }
        Ok(Self::Processes(pids.iter().map(|pid| Watched::new(Pid(*pid))).collect::<anyhow::Result<_>>()?))
    }

    /// The target as the capture takes it.
    pub(crate) fn capture(&self) -> CaptureTarget {
        match self {
            Self::Endless(target) => target.clone(),
            Self::Processes(watched) => CaptureTarget::Processes(watched.iter().map(|process| process.pid).collect()),
            Self::Command { suspended, words } => CaptureTarget::Command { pid: suspended.pid(), words: words.clone() },
        }
    }

    /// Starts the command, if the target is one.
    pub(crate) fn begin(self) -> anyhow::Result<Running> {
        Ok(match self {
            Self::Endless(_) => Running::Endless,
            Self::Processes(watched) => Running::Processes(watched),
            Self::Command { suspended, words } => Running::Command(suspended.release(&words[0])?),
        })
    }
}

/// A target while it is captured.
pub(crate) enum Running {
    /// The capture does not end by itself.
    Endless,
    /// The capture ends when the last of the processes exits.
    Processes(Vec<Watched>),
    /// The capture ends when the command exits.
    Command(Command),
}

/// The directory of a cgroup: the path as given, or below the usual mount points, as systemd and /proc/PID/cgroup name cgroups.
fn cgroup_directory(given: &Path) -> PathBuf {
    let below = |mount: &str| Path::new(mount).join(given.strip_prefix("/").unwrap_or(given));
    let known = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"].map(below);
    [given.to_owned()].into_iter().chain(known).find(|path| path.is_dir()).unwrap_or_else(|| given.to_owned())
}

/// Whether an executable with this name exists, in `PATH` or at the given path.
fn can_be_started(program: &str) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    let executable = |path: &Path| {
        fs::metadata(path).is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
    };
    if program.contains('/') {
        return executable(Path::new(program));
    }
    let path = std::env::var_os("PATH").unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin".into());
    std::env::split_paths(&path).map(|folder: PathBuf| folder.join(program)).any(|path| executable(&path))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_process_has_ended_once_it_is_a_zombie_or_gone() {
        let mut child = Command::new("sleep").arg("600").spawn().expect("sleep starts");
        let mut watched = Watched::new(Pid(child.id())).expect("it lives");
        assert!(!watched.has_ended());
        child.kill().expect("it can be killed");
        child.wait().expect("it ends");
        assert!(watched.has_ended());
    }

    #[test]
    fn a_process_whose_first_thread_has_exited_runs_on() {
        let status = |threads: u32| format!("7 (a) Z (b) Z 1 {} {threads} 0 99\n", vec!["0"; 15].join(" "));
        for (threads, ended) in [(2, false), (1, true)] {
            let path = std::env::temp_dir().join(format!("quell-stat-{}-{threads}", std::process::id()));
            fs::write(&path, status(threads)).expect("writable");
            let mut watched = Watched { pid: Pid(7), stat: File::open(&path).expect("written") };
            assert_eq!(watched.has_ended(), ended, "{threads} threads");
            fs::remove_file(&path).expect("removable");
        }
    }

    #[test]
    fn a_thread_is_not_taken_for_a_process() {
        let (send, receive) = std::sync::mpsc::channel();
        let (stop, wait) = std::sync::mpsc::channel::<()>();
        let thread = std::thread::spawn(move || {
            send.send(nix::unistd::gettid()).expect("the test listens");
            let _ = wait.recv();
        });
        let tid = receive.recv().expect("the thread tells").as_raw();
        let error = Watched::new(Pid(tid as u32)).err().expect("it is a thread");
        assert!(error.to_string().contains(&format!("-p {}", std::process::id())), "{error}");
        drop(stop);
        thread.join().expect("no panic");
    }

    #[test]
    fn a_process_is_watched_whatever_it_is_called() {
        use std::io::{BufRead as _, BufReader};
        use std::process::Stdio;
        // The second is cut in the middle of a character, as the kernel cuts a name of 16 bytes.
        for name in [r"\377\376", r"aaaaaaaaaaaaaa\303", r"a) Z (b", r""] {
            let script = format!("printf '{name}' > /proc/$$/comm; echo ready; read line");
            let mut shell = Command::new("sh");
            let mut shell =
                shell.args(["-c", &script]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("sh");
            let mut line = String::new();
            BufReader::new(shell.stdout.take().expect("a pipe")).read_line(&mut line).expect("it is ready");
            let mut watched = Watched::new(Pid(shell.id())).unwrap_or_else(|error| panic!("{name}: {error:#}"));
            assert!(!watched.has_ended(), "{name}");
            shell.kill().expect("it can be killed");
            shell.wait().expect("it ends");
            assert!(watched.has_ended(), "{name}");
        }
    }

    #[test]
    fn a_cgroup_is_a_path_unless_it_is_a_pattern_or_one_of_several_conditions() {
        let patterns = |texts: &[&str]| -> Vec<Pattern> {
            texts.iter().map(|text| cgroup_pattern(text).expect("a pattern")).collect()
        };
        let (comms, none) = (patterns(&["redis*"]), patterns(&[]));
        let of = |cgroups: &[&str], comms: &[Pattern]| {
            let cgroups = &patterns(cgroups);
            let options = Options { pids: &[], cgroups, comms, executables: &[], users: &[], words: &[] };
            (options.cgroup().is_some(), options.matching().map(|matching| matching.options.join(" ")))
        };
        assert!(of(&["system.slice/x.service"], &none).0);
        assert_eq!(of(&["system.slice/*"], &none), (false, Some("--cgroup system.slice/*".to_owned())));
        assert_eq!(of(&["a", "b"], &none), (false, Some("--cgroup a --cgroup b".to_owned())));
        assert_eq!(of(&["a"], &comms), (false, Some("--comm redis* --cgroup a".to_owned())));
        assert_eq!(of(&[], &none), (false, None));
        let folder = tempfile::tempdir().expect("a folder");
        let named = folder.path().join("a[1]");
        fs::create_dir(&named).expect("a folder");
        assert!(of(&[named.to_str().expect("UTF-8")], &none).0, "it exists");
    }

    #[test]
    fn commands_are_looked_for_where_the_shell_does() {
        assert!(can_be_started("sh") && can_be_started("/bin/sh"));
        assert!(!can_be_started("no-such-command-anywhere") && !can_be_started("/etc/passwd"));
    }
}
