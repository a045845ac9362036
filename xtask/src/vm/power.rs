//! An ACPI table that gives each CPU of a guest frequencies and idle states.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, bail};

use super::tools;

/// In MHz, the fastest first as ACPI wants them.
const FREQUENCIES: [u32; 5] = [3000, 2600, 2200, 1800, 1200];

/// Ports of QEMU's q35 that nothing answers: a write is lost, a read gives ones. The kernel cannot tell.
const CONTROL_PORT: u32 = 0x0b00;
const STATUS_PORT: u32 = 0x0b02;

/// Writes the table for so many CPUs.
pub(super) fn table(cpus: u32, dir: &Path) -> Result<()> {
    let source = dir.join("power.asl");
    fs::write(&source, describe(cpus)).with_context(|| format!("cannot write {}", source.display()))?;
    // It ends the name of what it writes with .aml.
    let output = tools::command("iasl").arg("-p").arg(dir.join("power")).arg(&source).output();
    let output = output.context("cannot run `iasl`")?;
    if !output.status.success() {
        bail!("`iasl` refuses the power table:\n{}", String::from_utf8_lossy(&output.stdout));
    }
    Ok(())
}

/// ACPI specification 6.5, sections 8.4.1 (C-states) and 8.4.5 (P-states).
fn describe(cpus: u32) -> String {
    let mut text = String::from("DefinitionBlock (\"\", \"SSDT\", 2, \"QUELL\", \"POWER\", 1)\n{\n");
    for cpu in 0..cpus {
        // What QEMU calls them: hw/acpi/cpu.c, `CPU_NAME_FMT`.
        let name = format!("\\_SB.CPUS.C{cpu:03X}");
        let mut states = String::new();
        for (index, mhz) in FREQUENCIES.iter().enumerate() {
            let watts = mhz * 10;
            let _ = write!(states, "Package () {{ {mhz}, {watts}, 10, 10, {index}, {index} }}, ");
        }
        let _ = write!(
            text,
            "  External ({name}, DeviceObj)
  Scope ({name})
  {{
    Name (_PCT, Package () {{
      ResourceTemplate () {{ Register (SystemIO, 16, 0, 0x{CONTROL_PORT:04x}) }},
      ResourceTemplate () {{ Register (SystemIO, 16, 0, 0x{STATUS_PORT:04x}) }} }})
    Name (_PSS, Package () {{ {states}}})
    Name (_PPC, 0)
    Name (_PSD, Package () {{ Package () {{ 5, 0, {cpu}, 0xFC, 1 }} }})
    // Both of type C1: for deeper ones the kernel would read ports, and an idle CPU would spin.
    Name (_CST, Package () {{ 2,
      Package () {{ ResourceTemplate () {{ Register (FFixedHW, 1, 2, 0x00, 1) }}, 1, 1, 1000 }},
      Package () {{ ResourceTemplate () {{ Register (FFixedHW, 1, 2, 0x01, 1) }}, 1, 50, 500 }} }})
  }}
"
        );
    }
    text.push_str("}\n");
    text
}
