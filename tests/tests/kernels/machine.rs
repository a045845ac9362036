//! The machines are what they say: else a test that passes on one proves nothing.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use quell_tests::machine::{ISOLATED, Machine, PLAIN};

use crate::harness::Outcome;

/// Whether this host can stand in for a machine.
pub(crate) fn is_like(machine: &Machine) -> bool {
    match machine {
        machine if *machine == PLAIN => true,
        machine if *machine == ISOLATED => read("/sys/devices/system/cpu/isolated").is_ok_and(|cpus| !cpus.is_empty()),
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

fn has(path: &str, expected: &str) -> Result<()> {
    let found = read(path)?;
    ensure!(found == expected, "{path} holds `{found}`, not `{expected}`");
    Ok(())
}

fn read(path: &str) -> Result<String> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {path}"))?;
    Ok(text.trim_end().to_owned())
}
