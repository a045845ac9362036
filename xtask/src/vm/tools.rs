//! The programs that booting needs, and their packages.

use std::env;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use super::cache::Cache;
use super::elf;
use crate::{output_of, run};

/// A program that this host must have.
struct Tool {
    program: &'static str,
    /// Debian's package that has it.
    package: &'static str,
    /// Whether the one that was found will do.
    suits: fn(&Path) -> bool,
}

/// A program of which any will do.
const fn any(program: &'static str, package: &'static str) -> Tool {
    Tool { program, package, suits: |_| true }
}

/// All of them. Tests in guests use `ethtool`.
const TOOLS: [Tool; 17] = [
    Tool { program: QEMU, package: "qemu-system-x86", suits: has_every_card },
    // There is no loader in an initramfs.
    Tool { program: "busybox", package: "busybox-static", suits: |file| elf::is_static(file).unwrap_or(false) },
    any("cpio", "cpio"),
    any("modprobe", "kmod"),
    any("depmod", "kmod"),
    any("mke2fs", "e2fsprogs"),
    any("debugfs", "e2fsprogs"),
    any("e2fsck", "e2fsprogs"),
    any("iasl", "acpica-tools"),
    any("xz", "xz-utils"),
    any("zstd", "zstd"),
    any("setpriv", "util-linux"),
    any("unshare", "util-linux"),
    any("ip", "iproute2"),
    any("ethtool", "ethtool"),
    // Guests start it; its package does not make it the host's first process.
    any("systemctl", "systemd"),
    any("apt-get", "apt"),
];

const QEMU: &str = "qemu-system-x86_64";

/// The card that came to QEMU last of those that machines have (8.0).
const NEWEST_CARD: &str = "igb";

/// Where administration programs are, which may not be in a user's PATH.
const ADMINISTRATION: [&str; 3] = ["/usr/local/sbin", "/usr/sbin", "/sbin"];

/// Fails with what to install, where something is missing.
pub(super) fn check() -> Result<()> {
    let missing = missing();
    if !missing.is_empty() {
        let lacks: Vec<_> = missing.iter().map(Lack::to_string).collect();
        bail!(
            "{}\non Debian, as root: `cargo xtask vm --install` (QEMU from backports where there are any)",
            lacks.join("\n")
        );
    }
    Ok(())
}

/// Installs what is missing, by Debian's packages.
pub(super) fn install(cache: &Cache) -> Result<()> {
    let packages = packages();
    if packages.is_empty() {
        return Ok(());
    }
    if !Path::new("/etc/debian_version").exists() {
        bail!("this is not Debian: install {}", packages.join(" "));
    }
    // A list of its own for backports, which the host's sources may not name: only newer QEMUs have every network card.
    let sources = cache.temporary()?;
    for (from, to) in [("/etc/apt/sources.list", "list"), ("/etc/apt/sources.list.d", "parts")] {
        if Path::new(from).exists() {
            run(Command::new("cp").arg("-r").arg(from).arg(sources.path().join(to)))?;
        }
    }
    let parts = sources.path().join("parts");
    fs::create_dir_all(&parts).context("cannot make a directory for apt's sources")?;
    let backports = backports()?;
    if let Some(suite) = &backports {
        let line = format!("deb http://deb.debian.org/debian {suite} main\n");
        fs::write(parts.join("quell-backports.list"), line).context("cannot write apt's sources")?;
    }
    let apt = |arguments: &[&str]| {
        let mut command = Command::new("apt-get");
        command.args(["-q", "-y", "-o"]).arg(format!("Dir::Etc::sourceparts={}", parts.display()));
        command.arg("-o").arg(format!("Dir::State::lists={}", sources.path().join("lists").display()));
        command.args(arguments).env("DEBIAN_FRONTEND", "noninteractive");
        command
    };
    fs::create_dir_all(sources.path().join("lists/partial")).context("cannot make a directory for apt's lists")?;
    run(&mut apt(&["update"])).context("apt-get needs root")?;
    let mut command = apt(&["install", "--no-install-recommends"]);
    if let Some(suite) = &backports {
        command.args(["--target-release", suite]);
    }
    run(command.args(packages)).context("apt-get needs root")
}

/// Debian's backports for this release, where QEMU would otherwise be too old.
fn backports() -> Result<Option<String>> {
    let facts = fs::read_to_string("/etc/os-release").context("cannot read /etc/os-release")?;
    let codename = facts.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME="));
    Ok((codename == Some("bookworm")).then(|| "bookworm-backports".to_owned()))
}

/// A tool that is not here, or not as it must be.
struct Lack {
    tool: &'static Tool,
    /// The one that will not do.
    found: Option<PathBuf>,
}

impl std::fmt::Display for Lack {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Tool { program, package, .. } = self.tool;
        match &self.found {
            None => write!(f, "missing: {program} (package {package})"),
            Some(file) if *program == QEMU => {
                write!(f, "too old: {} has no network card {NEWEST_CARD}: install QEMU 8.0 or newer", file.display())
            }
            Some(file) => write!(f, "not static: {}: install the package {package}", file.display()),
        }
    }
}

fn missing() -> Vec<Lack> {
    let lack = |tool: &'static Tool| match find(tool.program) {
        Some(file) if (tool.suits)(&file) => None,
        found => Some(Lack { tool, found }),
    };
    TOOLS.iter().filter_map(lack).collect()
}

/// The packages of what is missing, each once.
fn packages() -> Vec<&'static str> {
    let mut packages: Vec<_> = missing().iter().map(|lack| lack.tool.package).collect();
    packages.dedup();
    packages
}

fn has_every_card(qemu: &Path) -> bool {
    let devices = output_of(Command::new(qemu).args(["-device", "help"])).unwrap_or_default();
    devices.lines().any(|line| line.starts_with(&format!("name \"{NEWEST_CARD}\"")))
}

/// Where a program is.
pub(super) fn find(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let dirs = env::split_paths(&path).chain(ADMINISTRATION.map(PathBuf::from));
    dirs.map(|dir| dir.join(program))
        .find(|file| fs::metadata(file).is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0))
}

/// A command whose program may be one of administration.
pub(super) fn command(program: &str) -> Command {
    Command::new(find(program).unwrap_or_else(|| program.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_docs_have_a_line_that_installs_every_tool() {
        let page = fs::read_to_string(crate::root().join("docs/real-kernels.md")).expect("the page");
        let line = page.lines().find(|line| line.starts_with("apt-get install")).expect("a line of apt-get");
        for tool in TOOLS.iter().filter(|tool| tool.package != "apt") {
            assert!(line.split(' ').any(|word| word == tool.package), "{} is not in: {line}", tool.package);
        }
    }
}
