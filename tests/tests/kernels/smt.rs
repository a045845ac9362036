//! Turning SMT off with all that names CPUs: the second threads go, and come back with what they had.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use quell_tests::agent::Workdir;
use serde_json::Value as Json;

use crate::harness::Outcome;
use crate::tune::{ends_as_it_began, is_verified, tune};
use crate::values::Values;

/// The CPUs of one core stay isolated, by one of them.
const ISOLATED: &str = "isolated=2-3";

const SETTINGS: [(&str, &str); 6] = [
    ("cpu.smt", "off"),
    ("isolation.kernel_threads", "${housekeeping}"),
    ("isolation.workqueue_cpumask", "${housekeeping}"),
    ("irq.default_affinity", "${housekeeping}"),
    ("sched.watchdog_cpumask", "${housekeeping}"),
    ("memory.stat_interval", "17"),
];

pub(crate) fn without_smt() -> Result<Outcome> {
    let dir = Workdir::new()?;
    let profile = dir.path("smt.toml").display().to_string();
    let setting = |(knob, value): (&str, &str)| {
        format!("[[set]]\nknob = \"{knob}\"\nvalue = \"{value}\"\nreason = \"a test\"\noptional = true\n")
    };
    let polls = "[[set]]\nknob = \"cpu.resume_latency\"\non = \"${isolated}\"\nvalue = 7\nreason = \"a test\"\n";
    fs::write(&profile, format!("summary = \"a test\"\n{polls}{}", SETTINGS.map(setting).concat()))?;
    let before = Values::read()?;
    // One that could not keep its value would be refused, and the exit code 1.
    tune(&["apply", &profile, "--set", ISOLATED, "--yes"])?.expect_code(0)?;
    let now = Values::read()?;
    for (file, expected) in [
        ("/sys/devices/system/cpu/online", "0,2"),
        ("/proc/irq/default_smp_affinity", "1"),
        ("/sys/devices/virtual/workqueue/cpumask", "1"),
    ] {
        let found = now.of(file).map_or_else(|| fs::read_to_string(file), |value| Ok(value.to_owned()))?;
        ensure!(found.trim() == expected, "{file}: {found}, not {expected}");
    }
    is_verified()?;
    let again = tune(&["plan", &profile, "--set", ISOLATED, "--json"])?.expect_code(0)?;
    let again: Json = serde_json::from_str(&again.stdout)?;
    let steps = again["steps"].as_array().context("steps")?;
    ensure!(steps.is_empty(), "it is not done: {steps:?}");
    tune(&["rollback"])?.expect_code(0)?;
    ends_as_it_began(&before)?;
    Ok(Outcome::Holds)
}
