//! A CPU that goes offline during a capture, and comes back.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use nix::errno::Errno;
use nix::fcntl::AT_FDCWD;
use nix::sys::fanotify::{EventFFlags, Fanotify, InitFlags, MarkFlags, MaskFlags};
use quell_tests::fixture::{Burned, Fixture};
use quell_tests::recorded::Recorded;
use quell_tests::{cpus, turns};

use crate::cpu::{begin, is_on, is_whole};
use crate::harness::{self, Outcome, skip};

/// With perf events that need no more than `CAP_PERFMON`, which quell keeps.
pub(crate) fn hotplug() -> Result<Outcome> {
    if !harness::in_guest() {
        return skip("needs a machine whose CPUs it may take offline");
    }
    let _level = PerfEvents::restricted_to("2")?;
    let captured = Captured::new(|| Ok(()))?;
    captured.is_sampled()?;
    ensure!(captured.admins.is_empty(), "CAP_SYS_ADMIN is kept for nothing, by {:?}", captured.admins);
    Ok(Outcome::Holds)
}

/// With perf events that need `CAP_SYS_ADMIN`: quell drops it when the capture begins, and only its opener keeps it.
pub(crate) fn hotplug_restricted() -> Result<Outcome> {
    if !harness::in_guest() {
        return skip("needs a machine whose CPUs it may take offline");
    }
    let level = PerfEvents::restricted_to("3")?;
    let captured = Captured::new(|| Ok(()))?;
    captured.is_sampled()?;
    ensure!(captured.admins == ["quell-opener"], "CAP_SYS_ADMIN is kept by {:?}", captured.admins);
    drop(level);
    restricted_too_late()
}

/// With perf events that need `CAP_SYS_ADMIN` only after quell has dropped it: it says so.
fn restricted_too_late() -> Result<Outcome> {
    let level = PerfEvents::restricted_to("2")?;
    let Captured { recorded, burned, cpu, .. } = Captured::new(|| level.set("3"))?;
    ensure!(recorded.is_without(burned.pid), "CPU {cpu} is captured without CAP_SYS_ADMIN");
    let remark = format!("CPU {cpu} came online and is not captured: with kernel.perf_event_paranoid above 2");
    let remarks = &recorded.recording.meta.remarks;
    ensure!(remarks.iter().any(|found| found.starts_with(&remark)), "no `{remark}` in {remarks:?}");
    Ok(Outcome::Holds)
}

/// A capture of a fixture on a CPU that was offline for a part of it, and is online again before the fixture begins.
struct Captured {
    recorded: Recorded,
    burned: Burned,
    cpu: usize,
    /// The processes of quell that may use `CAP_SYS_ADMIN` during the capture, by name.
    admins: Vec<String>,
}

impl Captured {
    /// With what is to happen while the CPU is offline.
    fn new(meanwhile: impl FnOnce() -> Result<()>) -> Result<Self> {
        let cpu = *cpus::allowed()?.last().context("a CPU")?;
        let mut burn = Fixture::start("burn", &["--seconds", "1"])?;
        let looks = Looks::at(ONLINE)?;
        let capture = begin(&["-p", &burn.pid().to_string()])?;
        let quell = capture.pid()?;
        let offline = Offline::new(cpu)?;
        looks.two_by(quell)?;
        let admins = admins()?;
        meanwhile()?;
        offline.end()?;
        looks.two_by(quell)?;
        burn.pin(cpu)?;
        burn.go()?;
        let burned = burn.finish()?;
        Ok(Self { recorded: capture.ended()?, burned, cpu, admins })
    }

    fn is_sampled(&self) -> Result<()> {
        let Self { recorded, burned, cpu, .. } = self;
        is_whole(recorded, burned)?;
        is_on(recorded, burned, *cpu)?;
        let remarks = &recorded.recording.meta.remarks;
        let offline = format!("CPUs that were offline for a part of the capture: {cpu}");
        ensure!(remarks.contains(&offline), "no `{offline}` in {remarks:?}");
        let missing = remarks.iter().find(|remark| remark.contains("not captured") || remark.contains("have no names"));
        ensure!(missing.is_none(), "{missing:?}");
        Ok(())
    }
}

/// The processes of quell, by name, whose permitted capabilities include `CAP_SYS_ADMIN`.
fn admins() -> Result<Vec<String>> {
    const SYS_ADMIN: u64 = 1 << 21;
    let mut names = Vec::new();
    for process in fs::read_dir("/proc").context("cannot list /proc")? {
        // Other processes may exit in the meantime.
        let Ok(status) = fs::read_to_string(process?.path().join("status")) else { continue };
        let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        let Some(name) = field("Name:").filter(|name| name.starts_with("quell")) else { continue };
        let permitted = field("CapPrm:").context("a line CapPrm")?;
        if u64::from_str_radix(permitted, 16)? & SYS_ADMIN != 0 {
            names.push(name.to_owned());
        }
    }
    Ok(names)
}

const PARANOID: &str = "/proc/sys/kernel/perf_event_paranoid";

/// Who may open perf events, by the level of `kernel.perf_event_paranoid`. Dropping this sets it to what it was.
struct PerfEvents {
    before: String,
}

impl PerfEvents {
    fn restricted_to(level: &str) -> Result<Self> {
        let before = fs::read_to_string(PARANOID).with_context(|| format!("cannot read {PARANOID}"))?;
        let events = Self { before };
        events.set(level)?;
        Ok(events)
    }

    fn set(&self, level: &str) -> Result<()> {
        fs::write(PARANOID, level).with_context(|| format!("cannot write {PARANOID}"))
    }
}

impl Drop for PerfEvents {
    fn drop(&mut self) {
        let _ = fs::write(PARANOID, &self.before);
    }
}

/// Where quell reads which CPUs there are, each time that it reads its records.
const ONLINE: &str = "/sys/devices/system/cpu/online";

/// The processes that open a file.
struct Looks {
    group: Fanotify,
}

impl Looks {
    fn at(path: &str) -> Result<Self> {
        let flags = InitFlags::FAN_CLASS_NOTIF | InitFlags::FAN_NONBLOCK | InitFlags::FAN_CLOEXEC;
        let group = Fanotify::init(flags, EventFFlags::O_RDONLY).context("cannot use fanotify(7)")?;
        let marked = group.mark(MarkFlags::FAN_MARK_ADD, MaskFlags::FAN_OPEN, AT_FDCWD, Some(path));
        marked.with_context(|| format!("cannot watch {path}"))?;
        Ok(Self { group })
    }

    /// Waits until a process opens the file twice. It has read it, and done what follows from that, before the second time.
    fn two_by(&self, pid: u32) -> Result<()> {
        // Earlier ones, of which it may not know what was read.
        self.by(pid)?;
        let mut seen = 0;
        turns::until("quell looks which CPUs are online", || {
            seen += self.by(pid)?;
            Ok((seen >= 2).then_some(()))
        })
    }

    /// How often a process has opened it since the last call, at least.
    fn by(&self, pid: u32) -> Result<usize> {
        match self.group.read_events() {
            Ok(events) => Ok(events.iter().filter(|event| event.pid() == pid.cast_signed()).count()),
            Err(Errno::EAGAIN) => Ok(0),
            Err(error) => Err(error).context("cannot read events of fanotify(7)"),
        }
    }
}

/// A CPU that is offline. Dropping this brings it online again.
struct Offline {
    switch: PathBuf,
}

impl Offline {
    fn new(cpu: usize) -> Result<Self> {
        let offline = Self { switch: format!("/sys/devices/system/cpu/cpu{cpu}/online").into() };
        offline.set("0")?;
        Ok(offline)
    }

    fn end(self) -> Result<()> {
        self.set("1")
    }

    fn set(&self, value: &str) -> Result<()> {
        fs::write(&self.switch, value).with_context(|| format!("cannot write {value} to {}", self.switch.display()))
    }
}

impl Drop for Offline {
    fn drop(&mut self) {
        // It is online already where the test went on.
        let _ = self.set("1");
    }
}
