//! A host that is a tree, and the real binary that changes it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};

use anyhow::{Context as _, Result};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use quell::host::Root;
use quell::tune::transaction::journal::{Phase, Store};
use quell_tests::agent::{self, Ended, Running, Workdir};
use quell_tests::background;
pub(crate) use quell_tests::background::runs;
use quell_tests::fake_host::{FakeHost, small_vm};
use quell_tests::turns;

/// The values of the case's profile, in the order of its steps.
pub(crate) const FIRST: &str = "/proc/sys/vm/stat_interval";
pub(crate) const SECOND: &str = "/proc/sys/net/core/busy_poll";
pub(crate) const THIRD: &str = "/proc/sys/vm/swappiness";

/// A host, its files as they were, and a profile that changes some of them.
pub(crate) struct Case {
    pub(crate) dir: Workdir,
    pub(crate) host: FakeHost,
    pub(crate) before: BTreeMap<String, Vec<u8>>,
    profile: PathBuf,
}

impl Case {
    pub(crate) fn new() -> Result<Self> {
        let setting = |name: &str, value: &str| {
            format!("[[set]]\nknob = \"sysctl\"\non = \"{name}\"\nvalue = \"{value}\"\nreason = \"a test\"\n")
        };
        let settings = [setting("vm.stat_interval", "17"), setting("net.core.busy_poll", "55")];
        let integer =
            "[[set]]\nknob = \"memory.swappiness\"\nvalue = 9\nreason = \"a number: an empty file is none\"\n";
        Self::with(&format!("{}{integer}", settings.concat()))
    }

    /// With other settings.
    pub(crate) fn with(settings: &str) -> Result<Self> {
        Self::on(small_vm(), settings)
    }

    pub(crate) fn on(host: FakeHost, settings: &str) -> Result<Self> {
        let dir = Workdir::new()?;
        let profile = dir.path("case.toml");
        fs::write(&profile, format!("summary = \"a test\"\n{settings}"))?;
        let before = host.snapshot();
        Ok(Self { dir, host, before, profile })
    }

    /// Another profile, that sets one number.
    pub(crate) fn profile(&self, name: &str, knob: &str, value: i64) -> Result<String> {
        let path = self.dir.path(&format!("{name}.toml"));
        let setting = format!("[[set]]\nknob = \"{knob}\"\nvalue = {value}\nreason = \"another\"\n");
        fs::write(&path, format!("summary = \"a test\"\n{setting}"))?;
        Ok(path.to_str().context("a path of text")?.to_owned())
    }

    pub(crate) fn words<'a>(&'a self, verb: &[&'a str]) -> Vec<&'a str> {
        let root = self.host.path().to_str().expect("a path of text");
        [&["tune", "--root", root][..], verb].concat()
    }

    /// The command that quell suggests for a verb: with the root, or it would act on this host.
    pub(crate) fn suggested(&self, verb: &str) -> String {
        format!("quell tune --root {} {verb}", self.host.path().display())
    }

    /// quell with a verb, as a line for a shell.
    pub(crate) fn shell_line(&self, verb: &[&str]) -> Result<String> {
        let words: Vec<String> = self.words(verb).into_iter().map(|word| format!("'{word}'")).collect();
        Ok(format!("'{}' {}", agent::binary()?.display(), words.join(" ")))
    }

    pub(crate) fn apply(&self) -> [&str; 3] {
        ["apply", self.profile.to_str().expect("a path of text"), "--yes"]
    }

    pub(crate) fn quell(&self, verb: &[&str]) -> Result<Ended> {
        self.dir.run(self.words(verb))
    }

    /// Under strace, which meddles with system calls.
    pub(crate) fn meddled(&self, verb: &[&str], inject: &str) -> Result<Ended> {
        self.meddled_at(verb, inject, &[])
    }

    /// Only with those on some files.
    pub(crate) fn meddled_at(&self, verb: &[&str], inject: &str, files: &[&str]) -> Result<Ended> {
        // A shell that starts something in the background has it ignore Ctrl-C: what these tests send is to count.
        let mut command = Command::new("env");
        command
            .args(["--default-signal=INT,TERM,HUP,QUIT", "strace", "-qq", "-o", "/dev/null", "-e"])
            .arg(format!("inject={inject}"));
        for file in files {
            command.arg("-P").arg(self.at(file));
        }
        command.arg(agent::binary()?).args(self.words(verb));
        Running::spawn(&mut command)?.wait()
    }

    pub(crate) fn at(&self, file: &str) -> PathBuf {
        self.host.at(file)
    }

    pub(crate) fn is_as_before(&self) -> bool {
        self.host.snapshot() == self.before
    }

    pub(crate) fn store(&self) -> Result<Store> {
        Ok(Store::of(&Root::at(self.host.path())?))
    }

    pub(crate) fn phases(&self) -> Result<Vec<Phase>> {
        Ok(self.store()?.transactions()?.readable.into_iter().map(|transaction| transaction.phase).collect())
    }

    pub(crate) fn journal(&self, id: u32) -> PathBuf {
        self.at(&format!("{JOURNALS}/{id:04}.journal"))
    }

    /// What it says at a file of a process that quell has started.
    pub(crate) fn post(&self, name: &str) -> PathBuf {
        self.at(&format!("/run/quell/{name}"))
    }
}

pub(crate) const JOURNALS: &str = "/var/lib/quell/tune";

/// What waits to be confirmed is guarded, and what is held is held, for longer than a test.
impl Drop for Case {
    fn drop(&mut self) {
        background::end(&self.host);
    }
}

/// Lets go on what a strace has started and SIGSTOP stops, or is about to, until it has ended.
pub(crate) fn let_go(strace: &mut Child) -> Result<ExitStatus> {
    turns::until("it ends", || {
        let children = format!("/proc/{0}/task/{0}/children", strace.id());
        let pid = fs::read_to_string(children).ok().and_then(|pids| pids.split_whitespace().next()?.parse().ok());
        if let Some(pid) = pid {
            let _ = kill(Pid::from_raw(pid), Signal::SIGCONT);
        }
        Ok(strace.try_wait()?)
    })
}

/// A line as a journal has it.
pub(crate) fn line(json: &str) -> String {
    format!("{:08x} {json}\n", crc32(json.as_bytes()))
}

/// The checksum of zlib and Ethernet.
fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| if crc & 1 == 1 { crc >> 1 ^ 0xEDB8_8320 } else { crc >> 1 };
    !bytes.iter().fold(u32::MAX, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), step))
}

/// Puts other text into a journal's line.
pub(crate) fn amend(journal: &Path, from: &str, to: &str) -> Result<()> {
    let text = fs::read_to_string(journal)?;
    let lines = text.lines().map(|old| match old.split_once(' ') {
        Some((_, json)) if json.contains(from) => line(&json.replace(from, to)),
        _ => format!("{old}\n"),
    });
    let amended: String = lines.collect();
    anyhow::ensure!(amended != text, "there is no {from} in {text}");
    Ok(fs::write(journal, amended)?)
}
