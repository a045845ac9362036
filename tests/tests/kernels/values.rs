//! Everything on a machine that tuning might change, read without quell.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};

/// Trees of files, each with a value.
const TREES: [&str; 9] = [
    "/proc/sys",
    "/sys/devices/system/cpu",
    "/sys/devices/system/node",
    "/sys/kernel/mm",
    "/sys/kernel/debug/sched",
    "/sys/devices/virtual/workqueue",
    "/sys/fs/cgroup",
    "/boot/loader",
    "/etc/systemd/system.conf.d",
];

/// What is in these trees, can be written to, and changes by itself, or cannot be read.
const RESTLESS: [&str; 10] = [
    "/proc/sys/kernel/ns_last_pid",
    "/proc/sys/kernel/random",
    "/proc/sys/kernel/perf_event_max_sample_rate",
    "/proc/sys/fs/binfmt_misc",
    "/proc/sys/net/netfilter",
    "/sys/devices/system/node/node0/compact",
    "/sys/devices/system/node/node1/compact",
    "/sys/kernel/debug/sched/debug",
    "/sys/fs/cgroup/cgroup.stat",
    "/proc/sys/vm/stat_refresh",
];

/// The same, wherever it is.
const RESTLESS_NAMES: [&str; 6] =
    [".pressure", ".peak", "max_newidle_lb_cost", "cgroup.procs", "cgroup.threads", "byte_queue_limits/limit"];

/// What `ethtool` shows of a network card.
const CARD: [&str; 8] = ["-c", "-g", "-l", "-k", "-a", "-x", "--show-eee", "-n"];

/// Values by what they are of.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Values(BTreeMap<String, String>);

impl Values {
    /// Those of this machine.
    pub(crate) fn read() -> Result<Self> {
        let mut values = BTreeMap::new();
        for tree in TREES {
            walk(Path::new(tree), &mut values);
        }
        files("/proc/irq", &["smp_affinity_list"], &mut values)?;
        files("/sys/bus/pci/devices", &["power/control"], &mut values)?;
        for value in ["/proc/irq/default_smp_affinity", "/sys/module/pcie_aspm/parameters/policy"] {
            values.extend(fs::read_to_string(value).ok().map(|text| (value.to_owned(), text)));
        }
        for card in cards()? {
            walk(&Path::new("/sys/class/net").join(&card).join("queues"), &mut values);
            for own in ["mtu", "tx_queue_len", "flags", "threaded", "gro_flush_timeout", "napi_defer_hard_irqs"] {
                let file = format!("/sys/class/net/{card}/{own}");
                values.extend(fs::read_to_string(&file).ok().map(|text| (file, text)));
            }
            for option in CARD {
                let shown = Command::new("ethtool").args([option, &card]).output().context("needs ethtool")?;
                values.insert(format!("ethtool {option} {card}"), String::from_utf8_lossy(&shown.stdout).into_owned());
            }
        }
        threads(&mut values)?;
        Ok(Self(values))
    }

    /// The value of a file.
    pub(crate) fn of(&self, what: &str) -> Option<&str> {
        self.0.get(what).map(|text| text.trim())
    }

    /// What differs, in words; threads that have come or gone do not count.
    pub(crate) fn differences(&self, now: &Self) -> Vec<String> {
        let names = self.0.keys().chain(now.0.keys().filter(|name| !self.0.contains_key(*name)));
        let differing = names.filter(|name| self.0.get(*name) != now.0.get(*name));
        let short = |value: Option<&String>| value.map_or("nothing".to_owned(), |text| text.trim().to_owned());
        let both = |name: &String| self.0.contains_key(name) && now.0.contains_key(name);
        differing
            .filter(|name| both(name) || !name.starts_with("thread "))
            .map(|name| {
                let (before, after) = (short(self.0.get(name)), short(now.0.get(name)));
                match (before.lines().count(), after.lines().count()) {
                    (0..=1, 0..=1) => format!("{name}: {before} -> {after}"),
                    _ => {
                        let lines = before.lines().zip(after.lines()).filter(|(before, after)| before != after);
                        let lines: Vec<_> = lines.map(|(before, after)| format!("{before} -> {after}")).collect();
                        format!("{name}: {}", lines.join("; "))
                    }
                }
            })
            .collect()
    }
}

/// The network cards: interfaces with a device.
pub(crate) fn cards() -> Result<Vec<String>> {
    let names = fs::read_dir("/sys/class/net").context("cannot list the network devices")?;
    let names = names.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
    let names: Vec<String> = names.collect::<Result<_>>()?;
    Ok(names.into_iter().filter(|name| Path::new("/sys/class/net").join(name).join("device").exists()).collect())
}

/// The files that can be written to and read below a directory.
fn walk(directory: &Path, values: &mut BTreeMap<String, String>) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        let name = path.display().to_string();
        let Ok(kind) = entry.file_type() else { continue };
        if RESTLESS.iter().any(|restless| name.starts_with(restless))
            || RESTLESS_NAMES.iter().any(|restless| name.ends_with(restless))
        {
            continue;
        }
        if kind.is_dir() {
            values.insert(name, String::new());
            walk(&path, values);
        } else if kind.is_file() && entry.metadata().is_ok_and(|data| data.permissions().mode() & 0o600 == 0o600) {
            values.extend(fs::read_to_string(&path).ok().map(|text| (name, text)));
        }
    }
}

/// The same files of each entry of a directory.
fn files(directory: &str, names: &[&str], values: &mut BTreeMap<String, String>) -> Result<()> {
    for entry in fs::read_dir(directory).with_context(|| format!("cannot list {directory}"))? {
        for name in names {
            let path = entry.as_ref().map_err(|error| anyhow::anyhow!("{directory}: {error}"))?.path().join(name);
            values.extend(fs::read_to_string(&path).ok().map(|text| (path.display().to_string(), text)));
        }
    }
    Ok(())
}

/// include/linux/sched.h
const PF_NO_SETAFFINITY: u64 = 0x0400_0000;

/// Where each process and kernel thread may run.
fn threads(values: &mut BTreeMap<String, String>) -> Result<()> {
    for entry in fs::read_dir("/proc").context("cannot list /proc")? {
        let path = entry?.path();
        let Ok(status) = fs::read_to_string(path.join("status")) else { continue };
        let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().trim();
        let (tid, name) = (field("Pid:"), field("Name:"));
        // The kernel moves workers and rescuers of workqueues (PF_NO_SETAFFINITY), and threads of interrupts, when their
        // interrupt next comes (irq_thread_check_affinity, kernel/irq/manage.c).
        let stat = fs::read_to_string(path.join("stat")).unwrap_or_default();
        let flags = stat.rsplit_once(") ").and_then(|(_, rest)| rest.split(' ').nth(6)?.parse::<u64>().ok());
        if flags.is_some_and(|flags| flags & PF_NO_SETAFFINITY == 0) && !name.starts_with("irq/") {
            values.insert(format!("thread {tid} {name}"), field("Cpus_allowed_list:").to_owned());
        }
    }
    Ok(())
}
