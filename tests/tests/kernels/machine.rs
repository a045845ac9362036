//! The machines are what they say: else a test that passes on one proves nothing.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use quell_tests::cpus;
use quell_tests::machine::{ISOLATED, LOCKED_DOWN, Machine, PLAIN};

use crate::harness::{Outcome, skip};

/// Whether this host can stand in for a machine.
pub(crate) fn is_like(machine: &Machine) -> bool {
    match machine {
        machine if *machine == PLAIN => true,
        machine if *machine == ISOLATED => cpus::isolated().is_some(),
        machine if *machine == LOCKED_DOWN => is_locked_down(),
        _ => false,
    }
}

pub(crate) fn plain() -> Result<Outcome> {
    has("/sys/devices/system/cpu/online", "0-3")?;
    has("/sys/devices/system/node/online", "0")?;
    Ok(Outcome::Holds)
}

pub(crate) fn isolated() -> Result<Outcome> {
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
    let mut drivers = BTreeSet::new();
    for device in fs::read_dir("/sys/class/net").context("cannot list the network devices")? {
        // `lo` has none.
        if let Ok(driver) = fs::canonicalize(device?.path().join("device/driver")) {
            drivers.extend(driver.file_name().map(|name| name.to_string_lossy().into_owned()));
        }
    }
    for driver in ["igb", "e1000e", "virtio_net", "vmxnet3"] {
        ensure!(drivers.contains(driver), "no network device of {driver}: there are {drivers:?}");
    }
    let frequencies = read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_available_frequencies")?;
    ensure!(frequencies.split_whitespace().count() == 5, "frequencies: {frequencies}");
    Ok(Outcome::Holds)
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
