//! Tuning a host that systemd runs: services are asked of systemd itself, and of the processes that it starts.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::{Child, Command};

use anyhow::{Context as _, Result, ensure};
use quell_tests::agent::{self, Ended, Workdir};
use quell_tests::turns;

use crate::harness::Outcome;

/// Where packages put their units.
const UNITS: &str = "/lib/systemd/system";
/// What the services of irqbalance read, as Debian has it.
const BANNED: &str = "/etc/default/irqbalance";
const NO_BAN: &str = "OPTIONS=\"--journal\"\n";
/// Where masks are, and links to what starts at boot.
const LINKS: &str = "/etc/systemd/system";

const SETTINGS: &str = r#"
summary = "services"
[[set]]
knob = "unit.state"
on = "guest-noisy.service"
value = "stopped"
reason = "it disturbs"
[[set]]
knob = "unit.enabled"
on = "guest-noisy.service"
value = "masked"
reason = "and is not to come back"
[[set]]
knob = "unit.state"
on = "guest-ticks.timer"
value = "stopped"
reason = "it disturbs"
[[set]]
knob = "unit.enabled"
on = "guest-quiet.service"
value = "disabled"
reason = "from the next boot on"
[[set]]
knob = "irq.irqbalance_banned_cpus"
value = "2-3"
reason = "they are ours"
[[set]]
knob = "isolation.partition"
value = "2-3"
reason = "they are ours"
"#;

/// What systemd says to a question, without its newline.
fn systemctl(words: &[&str]) -> Result<String> {
    let asked = Command::new("systemctl").args(words).output().context("cannot run systemctl")?;
    Ok(String::from_utf8_lossy(&asked.stdout).trim().to_owned())
}

/// ... to a command.
fn told(words: &[&str]) -> Result<()> {
    let told = Command::new("systemctl").args(words).output().context("cannot run systemctl")?;
    ensure!(told.status.success(), "systemctl {words:?}: {}", String::from_utf8_lossy(&told.stderr));
    Ok(())
}

/// The units that are installed first.
const INSTALLED: [&str; 4] = ["guest-noisy.service", "guest-quiet.service", "guest-ticks.timer", "irqbalance.service"];

/// What systemd says of each of them.
fn are(question: &str, expected: [&str; 4]) -> Result<()> {
    let said = systemctl(&[&[question], &INSTALLED[..]].concat())?;
    ensure!(said.lines().eq(expected), "systemctl {question} {INSTALLED:?}: {said}, not {expected:?}");
    Ok(())
}

/// A service that sleeps, and has this besides.
fn sleeping(more: &str) -> String {
    format!(
        "[Unit]\nDefaultDependencies=no\n[Service]\nExecStart=/bin/sleep infinity\n{more}\
         [Install]\nWantedBy=multi-user.target\n"
    )
}

/// A timer that waits for years: it is `active (waiting)`, and never `running`.
const TIMER: &str = "[Unit]\nDefaultDependencies=no\n[Timer]\nOnActiveSec=10years\nUnit=guest-noisy.service\n\
                     [Install]\nWantedBy=timers.target\n";

/// Installs units, and starts them now and at boot.
fn install(units: &[(&str, String)]) -> Result<()> {
    for (name, text) in units {
        fs::write(format!("{UNITS}/{name}"), text)?;
    }
    told(&["daemon-reload"])?;
    let names: Vec<&str> = units.iter().map(|(name, _)| *name).collect();
    told(&[&["enable", "--now"], &names[..]].concat())
}

/// A link by which the user has another target start a service: enabling would not bring it back.
const BY_HAND: &str = "/etc/systemd/system/graphical.target.wants/guest-quiet.service";

fn links_by_hand_are_not_lost() -> Result<()> {
    fs::create_dir_all("/etc/systemd/system/graphical.target.wants")?;
    symlink(format!("{UNITS}/guest-quiet.service"), BY_HAND)?;
    told(&["daemon-reload"])?;
    let dir = Workdir::new()?;
    let profile = dir.path("disabled.toml");
    let text = "summary = \"one\"\n[[set]]\nknob = \"unit.enabled\"\non = \"guest-quiet.service\"\n\
                value = \"disabled\"\nreason = \"a test\"\n";
    fs::write(&profile, text)?;
    let plan = tune(&["plan", &profile.display().to_string()])?;
    ensure!(format!("{}{}", plan.stdout, plan.stderr).contains("linked by hand"), "{plan:?}");
    fs::remove_file(BY_HAND)?;
    told(&["daemon-reload"])
}

/// A process that is put into the isolated cgroup, and ends with this.
struct Isolated(Child);

impl Isolated {
    fn start() -> Result<Self> {
        let isolated = Self(Command::new("sleep").arg("infinity").spawn().context("cannot run sleep")?);
        fs::write("/sys/fs/cgroup/quell-isolated/cgroup.procs", isolated.0.id().to_string())?;
        isolated.is_in("/quell-isolated")?;
        Ok(isolated)
    }

    fn is_in(&self, group: &str) -> Result<()> {
        let now = fs::read_to_string(format!("/proc/{}/cgroup", self.0.id()))?;
        let expected = format!("0::{group}");
        ensure!(now.lines().any(|line| line == expected), "it is in {now}, not in {group}");
        Ok(())
    }
}

impl Drop for Isolated {
    fn drop(&mut self) {
        // Fails where it has ended, which is what is wanted.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What the process of a service has in its environment for the CPUs that irqbalance leaves alone.
fn banned() -> Result<Option<String>> {
    let pid = systemctl(&["show", "--property=MainPID", "--value", "irqbalance.service"])?;
    let environment = fs::read(format!("/proc/{pid}/environ")).with_context(|| format!("no process {pid}"))?;
    let text = String::from_utf8_lossy(&environment).into_owned();
    Ok(text.split('\0').find_map(|word| word.strip_prefix("IRQBALANCE_BANNED_CPULIST=")).map(str::to_owned))
}

/// The files and links that say what is started.
fn links() -> Result<Vec<String>> {
    let found = Command::new("find").args([LINKS, "-printf", "%p %l\n"]).output().context("cannot run find")?;
    let text = String::from_utf8_lossy(&found.stdout).into_owned();
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    lines.sort();
    Ok(lines)
}

fn tune(words: &[&str]) -> Result<Ended> {
    Workdir::new()?.run([&["tune"], words].concat())
}

pub(crate) fn services() -> Result<Outcome> {
    fs::write(BANNED, NO_BAN)?;
    install(&[
        ("guest-noisy.service", sleeping("")),
        ("guest-quiet.service", sleeping("")),
        ("guest-ticks.timer", TIMER.to_owned()),
        ("irqbalance.service", sleeping(&format!("EnvironmentFile=-{BANNED}\n"))),
    ])?;
    links_by_hand_are_not_lost()?;
    ensure!(banned()?.is_none(), "CPUs are banned before anything was done");
    let before = links()?;

    let dir = Workdir::new()?;
    let profile = dir.path("services.toml");
    fs::write(&profile, SETTINGS)?;
    let applied = tune(&["apply", &profile.display().to_string(), "--yes"])?.expect_code(0)?;
    are("is-active", ["inactive", "active", "inactive", "active"])?;
    are("is-enabled", ["masked", "disabled", "enabled", "enabled"])?;
    ensure!(told(&["start", "guest-noisy.service"]).is_err(), "what is masked was started");
    ensure!(banned()?.as_deref() == Some("2-3"), "irqbalance was started with {:?}", banned()?);
    // Partitions are of kernels from 6.1 on.
    let isolated = fs::exists("/sys/fs/cgroup/quell-isolated")?.then(Isolated::start).transpose()?;

    // systemd gives cgroups the controllers that its units ask for, and takes them where none does.
    install(&[("guest-later.service", sleeping("MemoryMax=100M\nCPUWeight=50\n"))])?;
    told(&["restart", "irqbalance.service"])?;
    let verified = tune(&["verify"])?;
    ensure!(verified.code == Some(0), "{verified:?} after {}", applied.stdout);
    told(&["disable", "--now", "guest-later.service"])?;

    let rolled = tune(&["rollback"])?;
    if let Some(isolated) = &isolated {
        isolated.is_in("/")?;
        let pid = isolated.0.id().to_string();
        ensure!(format!("{}{}", rolled.stdout, rolled.stderr).contains(&pid), "{rolled:?} does not name {pid}");
    }
    ensure!(!fs::exists("/sys/fs/cgroup/quell-isolated")?, "the cgroup stays");
    rolled.expect_code(0)?;
    are("is-active", ["active"; 4])?;
    are("is-enabled", ["enabled"; 4])?;
    ensure!(banned()?.is_none(), "irqbalance was started with {:?}", banned()?);
    ensure!(fs::read_to_string(BANNED)? == NO_BAN, "{BANNED} is not as it was");
    ensure!(links()? == before, "{LINKS} has {:?}, and had {before:?}", links()?);
    Ok(Outcome::Holds)
}

/// Where a value is that any kernel has, and that nothing else needs.
const SWAPPINESS: &str = "/proc/sys/vm/swappiness";

/// The session of who types is over: systemd has killed all that was in its cgroup.
pub(crate) fn unconfirmed() -> Result<Outcome> {
    let dir = Workdir::new()?;
    let profile = dir.path("unconfirmed.toml");
    fs::write(&profile, "summary = \"one\"\n[[set]]\nknob = \"memory.swappiness\"\nvalue = 7\nreason = \"a test\"\n")?;
    let before = fs::read_to_string(SWAPPINESS)?;
    ensure!(before.trim() != "7", "there is nothing to change");
    let session = Command::new("systemd-run")
        .args(["--quiet", "--collect", "--property=KillMode=control-group"])
        .arg(agent::binary()?)
        .args(["tune", "apply", &profile.display().to_string(), "--yes", "--confirm-within", "5s"])
        .output()
        .context("cannot run systemd-run")?;
    ensure!(session.status.success(), "{}", String::from_utf8_lossy(&session.stderr));
    let is = |state: &str| {
        let history = tune(&["history"])?;
        let line = |line: &str| line.contains(" unconfirmed ") && line.contains(state);
        Ok(history.stdout.lines().any(line).then_some(()))
    };
    // An apply that fails undoes itself too: this one was whole.
    turns::until("it waits to be confirmed", || is(": to be confirmed within"))?;
    turns::until("what nobody confirmed is undone", || is(": rolled back"))?;
    ensure!(fs::read_to_string(SWAPPINESS)? == before, "{SWAPPINESS} is not as it was");
    Ok(Outcome::Holds)
}
