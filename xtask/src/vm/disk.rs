//! The disk of a guest: the layer above the host's files, so what the guest has written, and a directory for tests.

use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::tools;
use crate::{output_of, run};

/// Big enough for what tests write, and sparse.
const BYTES: u64 = 1 << 30;

/// What the guest's boot loader would start it with: written by its first boot, see stage2.sh.
const ENTRY: &str = "files/boot/loader/entries/guest.conf";

/// Where the disk of a boot is.
pub(super) fn of(dir: &Path) -> PathBuf {
    dir.join("disk")
}

/// Makes the disk of a boot.
pub(super) fn make(dir: &Path) -> Result<PathBuf> {
    let disk = of(dir);
    File::create(&disk)
        .and_then(|file| file.set_len(BYTES))
        .with_context(|| format!("cannot make {}", disk.display()))?;
    run(tools::command("mke2fs").args(["-q", "-F", "-t", "ext4"]).arg(&disk))?;
    Ok(disk)
}

/// The command line that a boot loader would start the guest with: what its entry has behind `options`.
pub(super) fn options(disk: &Path) -> Result<String> {
    // The file system was not unmounted: its journal has what the file does not have yet.
    let _ = tools::command("e2fsck").args(["-p", "-E", "journal_only"]).arg(disk).output();
    let entry = output_of(tools::command("debugfs").args(["-R", &format!("cat {ENTRY}")]).arg(disk));
    let entry = entry.with_context(|| format!("debugfs cannot read {}", disk.display()))?;
    let options: Vec<&str> = entry.lines().filter_map(|line| line.strip_prefix("options ")).map(str::trim).collect();
    (!options.is_empty()).then(|| options.join(" ")).with_context(|| format!("{} has no {ENTRY}", disk.display()))
}
