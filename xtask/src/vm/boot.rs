//! Booting a guest, and watching it until it has done its job or is past hope.

use std::fs;
use std::io::Write as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use super::accelerator::Accelerator;
use super::attempt::{Attempt, Fate, Seen};
use super::cache::Cache;
use super::guest::{CONSOLE, Console, Guest};
use super::kernel::Kernel;
use super::programs::{Programs, Test};
use super::terminal::Terminal;
use super::{console, disk, initramfs, interrupt, tools};
use crate::machine::Init;
use crate::verdict::{EVENTS, Event, REBOOTED};

/// What a guest does once it is up, part by part: see there.
const STAGES: [(&str, &str); 2] = [("stage2", include_str!("stage2.sh")), ("stage3", include_str!("stage3.sh"))];

/// Between two looks at a guest.
const PAUSE: Duration = Duration::from_millis(50);

/// How long a guest may take to start, or a test to end, before it hangs: ten times what was seen.
pub(super) const PATIENCE: Duration = Duration::from_secs(120);

/// Where the guest finds the directory of its boot.
const JOB: &str = "/run/guest";

/// What is in that directory once the guest is up, ...
const STARTED: &str = "started";
/// ... what its tests tell of themselves, ...
const TOLD: &str = "events";
/// ... and how their run ended, once it has.
const STATUS: &str = "status";

/// What is booted, and with what.
#[derive(Clone, Copy)]
pub(super) struct Setup<'a> {
    pub(super) guest: &'a Guest,
    pub(super) kernel: &'a Kernel,
    pub(super) accelerator: Accelerator,
    pub(super) cache: &'a Cache,
}

/// Whether a guest comes up.
pub(super) enum Started {
    Yes,
    No(String),
}

/// Boots a guest that has nothing to do.
pub(super) fn starts(setup: Setup<'_>, dir: &Path, patience: Duration) -> Result<Started> {
    empty(dir)?;
    disk::make(dir)?;
    prepare(setup, dir, "")?;
    let mut qemu = Qemu::spawn(setup.command(dir, Console::File)?, dir)?;
    let begin = Instant::now();
    loop {
        let ended = qemu.ended()?;
        interrupt::check()?;
        if dir.join(STARTED).exists() {
            return Ok(Started::Yes);
        }
        if let Some(fate) = ended {
            return Ok(Started::No(fate.to_string()));
        }
        if begin.elapsed() > patience {
            return Ok(Started::No(Fate::Hung(patience).to_string()));
        }
        std::thread::sleep(PAUSE);
    }
}

/// Boots a guest and gives the terminal to a shell in it.
pub(super) fn shell(setup: Setup<'_>, dir: &Path, programs: &Programs) -> Result<()> {
    let job = format!(
        "export QUELL_BIN={quell} {EVENTS}={JOB}/{TOLD}\nmkdir /run/bin\nexport PATH=/run/bin:$PATH\n\
         ln -s {quell} /run/bin/quell\nln -s {tests} /run/bin/kernels\n\
         echo '`quell`, and `kernels` with the tests, are in PATH. `exit` ends the guest, Ctrl-A X kills it.'\n\
         cd $TMPDIR\nsetsid --ctty $(command -v bash || command -v sh) -i </dev/ttyS0 >/dev/ttyS0 2>&1\n",
        quell = quote(&programs.quell),
        tests = quote(&programs.tests)
    );
    empty(dir)?;
    disk::make(dir)?;
    prepare(setup, dir, &job)?;
    let command = setup.command(dir, Console::Terminal)?;
    let _terminal = Terminal::save();
    let mut qemu = Qemu::on_terminal(command, dir)?;
    loop {
        let ended = qemu.ended()?;
        interrupt::check()?;
        match ended {
            Some(Fate::Otherwise(how)) => bail!(how),
            Some(_) => return Ok(()),
            None => std::thread::sleep(PAUSE),
        }
    }
}

/// Boots a guest and runs tests in it, out of all that there are; and boots it once more, as its boot loader has it then, for
/// those that ask for that.
pub(super) fn tests(
    setup: Setup<'_>,
    dir: &Path,
    programs: &Programs,
    wanted: &[Test],
    all: &[Test],
) -> Result<Attempt> {
    empty(dir)?;
    let disk = disk::make(dir)?;
    let mut attempt = run(setup, dir, (programs, ""), wanted, all)?;
    if attempt.death.is_some() || attempt.rebooting.is_empty() {
        return Ok(attempt);
    }
    let mut guest = setup.guest.clone();
    guest.command_line = disk::options(&disk)?;
    let dir = dir.join("rebooted");
    empty(&dir)?;
    fs::rename(&disk, disk::of(&dir)).context("cannot give the disk to the next boot")?;
    let rebooted = format!("export {REBOOTED}=1\n");
    let again = run(Setup { guest: &guest, ..setup }, &dir, (programs, &rebooted), &attempt.rebooting, all)?;
    attempt.went_on(again);
    Ok(attempt)
}

/// Boots a guest with tests to run.
fn run(
    setup: Setup<'_>,
    dir: &Path,
    (programs, environment): (&Programs, &str),
    wanted: &[Test],
    all: &[Test],
) -> Result<Attempt> {
    // The harness takes one filter, but any number of what to leave out.
    let others = all.iter().filter(|test| !wanted.iter().any(|wanted| wanted.name == test.name));
    let skip: String = others.map(|test| format!(" --skip '{}'", test.name)).collect();
    let job = format!(
        "{environment}export QUELL_BIN={} {EVENTS}={JOB}/{TOLD}\ncd $TMPDIR\n\
         {} --test-threads=1 --exact{skip} >{JOB}/output 2>&1\necho $? >{JOB}/{STATUS}\n",
        quote(&programs.quell),
        quote(&programs.tests)
    );
    prepare(setup, dir, &job)?;
    let mut qemu = Qemu::spawn(setup.command(dir, Console::File)?, dir)?;
    let seen = Seen {
        fate: watch(&mut qemu, dir)?,
        started: dir.join(STARTED).exists(),
        status: fs::read_to_string(dir.join(STATUS)).ok(),
        events: events(dir),
        console: console::read(dir),
    };
    Ok(Attempt::of(&seen, wanted, setup.accelerator, dir.join(CONSOLE)))
}

/// Waits until a guest has ended, or there is no hope that it will.
fn watch(qemu: &mut Qemu, dir: &Path) -> Result<Fate> {
    let (mut news, mut seen) = (Instant::now(), 0);
    loop {
        let ended = qemu.ended()?;
        // After the end: a signal to all of a terminal ends QEMU too, which is no fate of the guest.
        interrupt::check()?;
        if let Some(fate) = ended {
            return Ok(fate);
        }
        let progress = usize::from(dir.join(STARTED).exists()) + events(dir).len();
        if progress > seen {
            (news, seen) = (Instant::now(), progress);
        }
        if news.elapsed() > PATIENCE {
            return Ok(Fate::Hung(PATIENCE));
        }
        std::thread::sleep(PAUSE);
    }
}

impl Setup<'_> {
    /// QEMU, with the files of `dir`.
    fn command(&self, dir: &Path, console: Console) -> Result<Command> {
        self.guest.command(self.kernel, self.accelerator, dir, console)
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
fn prepare(setup: Setup<'_>, dir: &Path, job: &str) -> Result<()> {
    let Setup { guest, kernel, cache, .. } = setup;
    let busybox = tools::find("busybox").context("no busybox")?;
    initramfs::build(kernel, &busybox, cache, &dir.join("initramfs"))?;
    let settings = format!(
        "MODULES={}\nDEVICES={}\nLOAD='{}'\nINIT={}\n",
        quote(&kernel.dir().join("lib/modules")),
        if guest.has_devices() { "yes" } else { "" },
        guest.modules().join(" "),
        match guest.init {
            Init::Script => "",
            Init::Systemd => "systemd",
        }
    );
    for (name, text) in STAGES.into_iter().chain([("settings", settings.as_str()), ("job", job)]) {
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
        let messages = messages(dir);
        let file = fs::File::create(&messages).with_context(|| format!("cannot create {}", messages.display()))?;
        let again = file.try_clone().context("cannot share QEMU's messages")?;
        command.stdin(Stdio::null()).stdout(file).stderr(again);
        Self::on_terminal(command, dir)
    }

    /// ... with the terminal for itself.
    fn on_terminal(mut command: Command, dir: &Path) -> Result<Self> {
        let _ = fs::File::create(dir.join("command")).and_then(|mut file| writeln!(file, "{command:?}"));
        Ok(Self { child: command.spawn().context("cannot run QEMU")?, messages: messages(dir) })
    }

    /// How it ended, once it has.
    fn ended(&mut self) -> Result<Option<Fate>> {
        let Some(status) = self.child.try_wait().context("cannot wait for QEMU")? else { return Ok(None) };
        let said = fs::read_to_string(&self.messages).unwrap_or_default();
        let said = said.trim();
        Ok(Some(match (status.code(), status.signal()) {
            // Its warnings of what TCG lacks are of no interest.
            (Some(0), _) => Fate::Restarted,
            (Some(code), _) => Fate::Otherwise(format!("QEMU ended with {code}: {said}")),
            (None, signal) => {
                Fate::Otherwise(format!("QEMU was killed by signal {}: {said}", signal.unwrap_or_default()))
            }
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

/// Where QEMU's messages go.
fn messages(dir: &Path) -> PathBuf {
    dir.join("qemu")
}

/// A path as one word of a shell.
fn quote(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', "'\\''"))
}
