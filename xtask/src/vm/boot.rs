//! Booting a guest, and watching it until it has done its job or is past hope.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io::Write as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use super::accelerator::Accelerator;
use super::disk;
use super::guest::{CONSOLE, Console, Guest};
use super::initramfs;
use super::kernel::Kernel;
use super::programs::{Programs, Test};
use super::tools;
use crate::verdict::{EVENTS, Event, REBOOTED, Verdict};

/// What a guest does once it is up: see there.
const STAGE2: &str = include_str!("stage2.sh");

/// Between two looks at a guest.
const PAUSE: Duration = Duration::from_millis(50);

/// How long a guest may take to start, or a test to end, before it hangs: ten times what was seen.
const PATIENCE: Duration = Duration::from_secs(120);

/// Where the guest finds the directory of its boot.
const JOB: &str = "/run/guest";

/// What is in that directory once the guest is up, ...
const STARTED: &str = "started";
/// ... what its tests tell of themselves, ...
const TOLD: &str = "events";
/// ... and how their run ended, once it has.
const STATUS: &str = "status";

/// Whether a guest comes up.
pub(super) enum Started {
    Yes,
    No(String),
}

/// What a boot gave.
#[derive(Debug)]
pub(super) struct Attempt {
    /// How its tests ended, as far as they did.
    pub(super) verdicts: BTreeMap<String, Verdict>,
    /// What became of the guest, where it did not run all tests to their ends.
    pub(super) death: Option<Death>,
}

/// A guest that hung, panicked or vanished.
#[derive(Clone, Debug)]
pub(super) struct Death {
    /// In one line.
    pub(super) how: String,
    /// Where its console is.
    console: PathBuf,
    /// The last lines of that.
    last_lines: String,
}

impl Death {
    /// What became of the guest, and where to read more.
    pub(super) fn brief(&self) -> String {
        format!("{} (console: {})", self.how, self.console.display())
    }
}

impl fmt::Display for Death {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; it ends with\n{}", self.brief(), self.last_lines)
    }
}

/// Boots a guest that has nothing to do.
pub(super) fn starts(
    guest: &Guest,
    kernel: &Kernel,
    accelerator: Accelerator,
    dir: &Path,
    patience: Duration,
) -> Result<Started> {
    empty(dir)?;
    disk::make(dir)?;
    prepare(guest, kernel, dir, "")?;
    let mut qemu = Qemu::spawn(guest.command(kernel, accelerator, dir, Console::File)?, dir)?;
    let begin = Instant::now();
    loop {
        let ended = qemu.ended()?;
        if dir.join(STARTED).exists() {
            return Ok(Started::Yes);
        }
        if let Some(how) = ended {
            return Ok(Started::No(how));
        }
        if begin.elapsed() > patience {
            return Ok(Started::No(format!("nothing for {} s", patience.as_secs())));
        }
        std::thread::sleep(PAUSE);
    }
}

/// Boots a guest and gives the terminal to a shell in it.
pub(super) fn shell(
    guest: &Guest,
    kernel: &Kernel,
    accelerator: Accelerator,
    dir: &Path,
    programs: &Programs,
) -> Result<()> {
    let job = format!(
        "export QUELL_BIN={quell}\nmkdir /run/bin\nexport PATH=/run/bin:$PATH\n\
         ln -s {quell} /run/bin/quell\nln -s {tests} /run/bin/kernels\n\
         echo '`quell`, and `kernels` with the tests, are in PATH. `exit` ends the guest, Ctrl-A X kills it.'\n\
         cd $TMPDIR\nsetsid --ctty $(command -v bash || command -v sh) -i </dev/ttyS0 >/dev/ttyS0 2>&1\n",
        quell = quote(&programs.quell),
        tests = quote(&programs.tests)
    );
    empty(dir)?;
    disk::make(dir)?;
    prepare(guest, kernel, dir, &job)?;
    let mut command = guest.command(kernel, accelerator, dir, Console::Terminal)?;
    command.status().context("cannot run QEMU")?;
    Ok(())
}

/// Boots a guest and runs tests in it, out of all that there are; and boots it once more, as its boot loader has it then, for
/// those that ask for that.
pub(super) fn tests(
    guest: &Guest,
    kernel: &Kernel,
    accelerator: Accelerator,
    dir: &Path,
    programs: &Programs,
    wanted: &[Test],
    all: &[Test],
) -> Result<Attempt> {
    empty(dir)?;
    let disk = disk::make(dir)?;
    let (mut attempt, rebooting) = run(guest, kernel, accelerator, dir, (programs, ""), wanted, all)?;
    if attempt.death.is_some() || rebooting.is_empty() {
        return Ok(attempt);
    }
    let mut guest = guest.clone();
    guest.command_line = disk::options(&disk)?;
    let dir = dir.join("rebooted");
    empty(&dir)?;
    fs::rename(&disk, disk::of(&dir)).context("cannot give the disk to the next boot")?;
    let rebooted = format!("export {REBOOTED}=1\n");
    let (again, _) = run(&guest, kernel, accelerator, &dir, (programs, &rebooted), &rebooting, all)?;
    attempt.verdicts.extend(again.verdicts);
    attempt.death = again.death;
    Ok(attempt)
}

/// Boots a guest with tests to run; also gives those that go on after a reboot.
fn run(
    guest: &Guest,
    kernel: &Kernel,
    accelerator: Accelerator,
    dir: &Path,
    (programs, environment): (&Programs, &str),
    wanted: &[Test],
    all: &[Test],
) -> Result<(Attempt, Vec<Test>)> {
    // The harness takes one filter, but any number of what to leave out.
    let others = all.iter().filter(|test| !wanted.iter().any(|wanted| wanted.name == test.name));
    let skip: String = others.map(|test| format!(" --skip '{}'", test.name)).collect();
    let job = format!(
        "{environment}export QUELL_BIN={} {EVENTS}={JOB}/{TOLD}\ncd $TMPDIR\n\
         {} --test-threads=1 --exact{skip} >{JOB}/output 2>&1\necho $? >{JOB}/{STATUS}\n",
        quote(&programs.quell),
        quote(&programs.tests)
    );
    prepare(guest, kernel, dir, &job)?;
    let mut qemu = Qemu::spawn(guest.command(kernel, accelerator, dir, Console::File)?, dir)?;
    let how = watch(&mut qemu, dir)?;
    let mut verdicts = BTreeMap::new();
    let (mut running, mut rebooting) = (None, Vec::new());
    for event in events(dir) {
        match event {
            Event::Started { test } => running = Some(test),
            Event::Reboots { test } => {
                running = None;
                rebooting.extend(wanted.iter().filter(|wanted| wanted.name == test).cloned());
            }
            Event::Ended { test, verdict, .. } => {
                running = None;
                verdicts.insert(test, verdict);
            }
        }
    }
    let ended = |test: &&Test| verdicts.contains_key(&test.name) || rebooting.iter().any(|it| it.name == test.name);
    let lacking = wanted.iter().find(|test| !ended(test));
    let how = how.or_else(|| lacking.map(|test| format!("it gave no result of {}", test.name)));
    let death = how.map(|how| Death {
        how: match running {
            Some(test) => format!("{how}, in {test}"),
            None if dir.join(STARTED).exists() => how,
            None => format!("{how}, while it booted"),
        },
        console: dir.join(CONSOLE),
        last_lines: last_lines(dir),
    });
    Ok((Attempt { verdicts, death }, rebooting))
}

/// Waits until a guest has done its job; says what became of it where it has not.
fn watch(qemu: &mut Qemu, dir: &Path) -> Result<Option<String>> {
    let (mut news, mut seen) = (Instant::now(), 0);
    loop {
        // First whether it has ended, then what it has left: nothing can come after.
        let ended = qemu.ended()?;
        let progress = usize::from(dir.join(STARTED).exists()) + events(dir).len();
        if progress > seen {
            (news, seen) = (Instant::now(), progress);
        }
        match ended {
            Some(_) if dir.join(STATUS).exists() => return Ok(None),
            Some(how) => return Ok(Some(panic(dir).unwrap_or(how))),
            None if news.elapsed() > PATIENCE => return Ok(Some(format!("nothing for {} s", PATIENCE.as_secs()))),
            None => std::thread::sleep(PAUSE),
        }
    }
}

/// A directory for a boot.
fn empty(dir: &Path) -> Result<()> {
    if dir.exists() {
        fs::remove_dir_all(dir).with_context(|| format!("cannot empty {}", dir.display()))?;
    }
    fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))
}

/// Writes what the guest finds in its job directory, and its initramfs.
fn prepare(guest: &Guest, kernel: &Kernel, dir: &Path, job: &str) -> Result<()> {
    let busybox = tools::find("busybox").context("no busybox")?;
    initramfs::build(kernel, &busybox, &dir.join("initramfs"))?;
    let settings = format!(
        "MODULES={}\nDEVICES={}\nLOAD='{}'\n",
        quote(&kernel.dir().join("lib/modules")),
        if guest.has_devices() { "yes" } else { "" },
        guest.modules().join(" ")
    );
    for (name, text) in [("stage2", STAGE2), ("settings", &settings), ("job", job)] {
        let path = dir.join(name);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

/// A QEMU that runs; killed with this value.
struct Qemu {
    child: Child,
    messages: PathBuf,
}

impl Qemu {
    fn spawn(mut command: Command, dir: &Path) -> Result<Self> {
        let messages = dir.join("qemu");
        let file = fs::File::create(&messages).with_context(|| format!("cannot create {}", messages.display()))?;
        let again = file.try_clone().context("cannot share QEMU's messages")?;
        command.stdin(Stdio::null()).stdout(file).stderr(again);
        let _ = fs::File::create(dir.join("command")).and_then(|mut file| writeln!(file, "{command:?}"));
        Ok(Self { child: command.spawn().context("cannot run QEMU")?, messages })
    }

    /// How it ended, once it has.
    fn ended(&mut self) -> Result<Option<String>> {
        let Some(status) = self.child.try_wait().context("cannot wait for QEMU")? else { return Ok(None) };
        let said = fs::read_to_string(&self.messages).unwrap_or_default();
        let said = said.trim();
        Ok(Some(match (status.code(), status.signal()) {
            (Some(0), _) if said.is_empty() => "it restarted or powered off".to_owned(),
            (Some(code), _) => format!("QEMU ended with {code}: {said}"),
            (None, signal) => format!("QEMU was killed by signal {}: {said}", signal.unwrap_or_default()),
        }))
    }
}

impl Drop for Qemu {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the tests have told, up to the last whole line.
fn events(dir: &Path) -> Vec<Event> {
    let text = fs::read_to_string(dir.join(TOLD)).unwrap_or_default();
    text.split_inclusive('\n')
        .filter(|line| line.ends_with('\n'))
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect()
}

/// What the kernel said at its end, if it panicked.
fn panic(dir: &Path) -> Option<String> {
    let text = console_text(dir);
    let line = text.lines().find(|line| line.contains("Kernel panic"))?;
    Some(line.split_once("] ").map_or(line, |(_, said)| said).to_owned())
}

/// The last lines of a guest's console.
fn last_lines(dir: &Path) -> String {
    const LINES: usize = 30;
    let text = console_text(dir);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LINES)..].join("\n")
}

fn console_text(dir: &Path) -> String {
    String::from_utf8_lossy(&fs::read(dir.join(CONSOLE)).unwrap_or_default()).replace('\r', "")
}

/// A path as one word of a shell.
fn quote(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', "'\\''"))
}
