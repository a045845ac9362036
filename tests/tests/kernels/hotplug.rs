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
    let (recorded, burned, cpu) = captured()?;
    is_whole(&recorded, &burned)?;
    is_on(&recorded, &burned, cpu)?;
    remarks(&recorded, &format!("CPUs that were offline for a part of the capture: {cpu}"))?;
    Ok(Outcome::Holds)
}

/// With perf events that need `CAP_SYS_ADMIN`, which quell drops when the capture begins: it says so.
pub(crate) fn hotplug_restricted() -> Result<Outcome> {
    if !harness::in_guest() {
        return skip("needs a machine whose CPUs it may take offline");
    }
    let _level = PerfEvents::restricted_to("3")?;
    let (recorded, burned, cpu) = captured()?;
    ensure!(recorded.is_without(burned.pid), "CPU {cpu} is captured without CAP_SYS_ADMIN");
    let remark = format!("CPU {cpu} came online and is not captured: with kernel.perf_event_paranoid above 2");
    remarks(&recorded, &remark)?;
    Ok(Outcome::Holds)
}

fn remarks(recorded: &Recorded, remark: &str) -> Result<()> {
    let remarks = &recorded.recording.meta.remarks;
    ensure!(remarks.iter().any(|found| found.starts_with(remark)), "no `{remark}` in {remarks:?}");
    Ok(())
}

/// Captures a fixture on a CPU that was offline for a part of the capture, and is online again before the fixture begins.
fn captured() -> Result<(Recorded, Burned, usize)> {
    let cpu = *cpus::allowed()?.last().context("a CPU")?;
    let mut burn = Fixture::start("burn", &["--seconds", "1"])?;
    let looks = Looks::at(ONLINE)?;
    let capture = begin(&["-p", &burn.pid().to_string()])?;
    let quell = capture.pid()?;
    let offline = Offline::new(cpu)?;
    looks.two_by(quell)?;
    offline.end()?;
    looks.two_by(quell)?;
    burn.pin(cpu)?;
    burn.go()?;
    let burned = burn.finish()?;
    Ok((capture.ended()?, burned, cpu))
}

const PARANOID: &str = "/proc/sys/kernel/perf_event_paranoid";

/// Who may open perf events, by the level of `kernel.perf_event_paranoid`. Dropping this sets it to what it was.
struct PerfEvents {
    before: String,
}

impl PerfEvents {
    fn restricted_to(level: &str) -> Result<Self> {
        let before = fs::read_to_string(PARANOID).with_context(|| format!("cannot read {PARANOID}"))?;
        fs::write(PARANOID, level).with_context(|| format!("cannot write {PARANOID}"))?;
        Ok(Self { before })
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
