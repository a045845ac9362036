//! The machines are what they say: else a test that passes on one proves nothing.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail, ensure};
use quell_tests::cpus;
use quell_tests::machine::{EQUIPPED, ISOLATED, LOCKED_DOWN, Machine, PLAIN};

use crate::harness::{Outcome, skip};

/// Whether this host can stand in for a machine.
pub(crate) fn is_like(machine: &Machine) -> bool {
    match machine {
        machine if *machine == PLAIN => true,
        machine if *machine == ISOLATED => cpus::isolated().is_some() && smt().is_ok_and(|smt| smt == "on"),
        machine if *machine == LOCKED_DOWN => is_locked_down(),
        _ => false,
    }
}

pub(crate) fn plain() -> Result<Outcome> {
    has("/sys/devices/system/cpu/online", "0-3")?;
    has("/sys/devices/system/node/online", "0")?;
    Ok(Outcome::Holds)
}

fn smt() -> Result<String> {
    read("/sys/devices/system/cpu/smt/control")
}

pub(crate) fn isolated() -> Result<Outcome> {
    has("/sys/devices/system/cpu/smt/control", "on")?;
    has("/sys/devices/system/cpu/cpu2/topology/thread_siblings_list", "2-3")?;
    has("/sys/devices/system/cpu/isolated", "2-3")?;
    // Not there without CONFIG_NO_HZ_FULL (drivers/base/cpu.c, 4.2).
    let nohz_full = "/sys/devices/system/cpu/nohz_full";
    if fs::exists(nohz_full)? {
        has(nohz_full, "2-3")?;
    }
    Ok(Outcome::Holds)
}

pub(crate) fn equipped() -> Result<Outcome> {
    has("/sys/devices/system/node/online", "0-1")?;
    has("/sys/devices/system/node/node1/cpulist", "2-3")?;
    let cards = cards()?;
    // Where profiles of hosts look for the CPUs that are near a card.
    for (index, model) in EQUIPPED.nics.iter().enumerate() {
        let (driver, node) = (driver_of(model)?, index % EQUIPPED.nodes as usize);
        let devices: Vec<_> = cards.iter().filter(|(_, of)| of == driver).map(|(device, _)| device).collect();
        let [device] = devices[..] else { bail!("{} network devices of {driver}: {cards:?}", devices.len()) };
        has(&device.join("numa_node").display().to_string(), &node.to_string())?;
    }
    let frequencies = read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_available_frequencies")?;
    ensure!(frequencies.split_whitespace().count() == 5, "frequencies: {frequencies}");
    Ok(Outcome::Holds)
}

/// The network cards: what is in sysfs of each, on its bus of PCI, and its driver.
fn cards() -> Result<Vec<(PathBuf, String)>> {
    let mut cards = Vec::new();
    for interface in fs::read_dir("/sys/class/net").context("cannot list the network devices")? {
        // `lo` has none.
        let Ok(device) = fs::canonicalize(interface?.path().join("device")) else { continue };
        let driver = fs::canonicalize(device.join("driver")).context("a network device without a driver")?;
        let driver = driver.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        // Those of virtio are on a bus of their own, below the card.
        let on_pci = device.ancestors().find(|dir| dir.join("numa_node").exists());
        cards.push((on_pci.context("a network device of no node")?.to_owned(), driver));
    }
    Ok(cards)
}

/// The driver of a model of network cards, by QEMU's name of that.
fn driver_of(model: &str) -> Result<&str> {
    match model {
        "virtio-net-pci" => Ok("virtio_net"),
        "igb" | "e1000e" | "vmxnet3" => Ok(model),
        _ => bail!("what drives {model}?"),
    }
}

pub(crate) fn idle_states() -> Result<Outcome> {
    let states = idle_states_of_the_first_cpu()?;
    if states.is_empty() {
        // Debian's 6.18 shows none for the table that gives the others theirs.
        return skip("this kernel makes no idle states of the machine's table");
    }
    // One that can be disabled, by trying.
    for state in states {
        let disable = state.join("disable");
        fs::write(&disable, "1").with_context(|| format!("cannot write {}", disable.display()))?;
        let disabled = read(&disable.display().to_string())?;
        fs::write(&disable, "0").with_context(|| format!("cannot write {}", disable.display()))?;
        ensure!(disabled == "1", "{} holds {disabled} after 1 was written", disable.display());
    }
    Ok(Outcome::Holds)
}

fn idle_states_of_the_first_cpu() -> Result<Vec<PathBuf>> {
    let dir = "/sys/devices/system/cpu/cpu0/cpuidle";
    if !fs::exists(dir)? {
        return Ok(Vec::new());
    }
    let states = fs::read_dir(dir).with_context(|| format!("cannot list {dir}"))?;
    states.map(|state| Ok(state?.path())).collect()
}

pub(crate) fn locked_down() -> Result<Outcome> {
    ensure!(is_locked_down(), "the level is {}", read("/sys/kernel/security/lockdown")?);
    Ok(Outcome::Holds)
}

fn is_locked_down() -> bool {
    read("/sys/kernel/security/lockdown").is_ok_and(|levels| levels.contains("[confidentiality]"))
}

fn has(path: &str, expected: &str) -> Result<()> {
    let found = read(path)?;
    ensure!(found == expected, "{path} holds `{found}`, not `{expected}`");
    Ok(())
}

fn read(path: &str) -> Result<String> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {path}"))?;
    Ok(text.trim_end().to_owned())
}
