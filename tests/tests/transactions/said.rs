//! What verbs say, and when.

use std::fs;

use anyhow::{Context as _, Result};

use crate::case::Case;

const BOOT: &str = "/proc/sys/kernel/random/boot_id";

#[test]
fn after_a_boot_status_tells_what_to_type_with_all_that_was_given() -> Result<()> {
    let setting =
        "[variables]\nspare = \"\"\n[[set]]\nknob = \"memory.swappiness\"\nvalue = \"${spare}\"\nreason = \"a test\"\n";
    let case = Case::with(setting)?;
    let (root, profile) = (case.host.path().display().to_string(), case.dir.path("case.toml"));
    fs::rename(case.apply()[1], case.dir.path("it's.toml"))?;
    fs::rename(case.dir.path("it's.toml"), &profile)?;
    // By a path that means something only where it was typed.
    let words = ["tune", "--root", &root, "apply", "./case.toml", "--set", "spare=17", "--set", "isolated=1", "--yes"];
    case.dir.run(words)?.expect_code(0)?;
    case.host.put(BOOT, "00000000-0000-0000-0000-000000000000\n");
    case.host.put("/proc/sys/vm/swappiness", "60\n");
    let status = case.quell(&["status"])?.expect_code(1)?;
    let line = format!("quell tune apply {} --set isolated=1 --set spare=17` sets again", profile.display());
    assert!(status.stdout.contains(&line), "{line}: {}", status.stdout);
    Ok(())
}

#[test]
fn what_is_to_be_typed_is_quoted_for_a_shell() -> Result<()> {
    let case = Case::new()?;
    let path = case.dir.path("it's mine.toml");
    fs::copy(case.apply()[1], &path)?;
    case.quell(&["apply", path.to_str().context("text")?, "--yes"])?.expect_code(0)?;
    case.host.put(BOOT, "00000000-0000-0000-0000-000000000000\n");
    case.host.put("/proc/sys/vm/swappiness", "60\n");
    let status = case.quell(&["status"])?.expect_code(1)?;
    let line = format!("quell tune apply '{}'` sets again", path.display().to_string().replace('\'', "'\\''"));
    assert!(status.stdout.contains(&line), "{line}: {}", status.stdout);
    Ok(())
}
