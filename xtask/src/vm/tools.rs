//! The programs that booting needs, and their packages.

use std::env;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::run;

/// Each program, and Debian's package that has it.
const TOOLS: [(&str, &str); 15] = [
    ("qemu-system-x86_64", "qemu-system-x86"),
    ("busybox", "busybox-static"),
    ("cpio", "cpio"),
    ("modprobe", "kmod"),
    ("depmod", "kmod"),
    ("mke2fs", "e2fsprogs"),
    ("debugfs", "e2fsprogs"),
    ("e2fsck", "e2fsprogs"),
    ("iasl", "acpica-tools"),
    ("xz", "xz-utils"),
    ("zstd", "zstd"),
    ("setpriv", "util-linux"),
    ("unshare", "util-linux"),
    ("ip", "iproute2"),
    ("apt-get", "apt"),
];

/// Models of network cards come from their option ROMs, which QEMU only recommends.
const ALSO: [&str; 1] = ["ipxe-qemu"];

/// Where administration programs are, which may not be in a user's PATH.
const ADMINISTRATION: [&str; 3] = ["/usr/local/sbin", "/usr/sbin", "/sbin"];

/// Fails with what to install, where something is missing.
pub(super) fn check() -> Result<()> {
    let packages = missing();
    if !packages.is_empty() {
        bail!(
            "missing: {}\non Debian, as root: `cargo xtask vm --install` (QEMU from backports where there are any)",
            packages.join(" ")
        );
    }
    Ok(())
}

/// Installs what is missing, by Debian's packages.
pub(super) fn install() -> Result<()> {
    let packages = missing();
    if packages.is_empty() {
        return Ok(());
    }
    if !Path::new("/etc/debian_version").exists() {
        bail!("this is not Debian: install {}", packages.join(" "));
    }
    // A list of its own for backports, which the host's sources may not name: only newer QEMUs have every network card.
    let sources = tempfile::tempdir().context("cannot make a directory for apt's sources")?;
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
    run(command.args(packages).args(ALSO)).context("apt-get needs root")
}

/// Debian's backports for this release, where QEMU would otherwise be too old.
fn backports() -> Result<Option<String>> {
    let facts = fs::read_to_string("/etc/os-release").context("cannot read /etc/os-release")?;
    let codename = facts.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME="));
    Ok((codename == Some("bookworm")).then(|| "bookworm-backports".to_owned()))
}

/// The packages of what is not here, each once.
fn missing() -> Vec<&'static str> {
    let mut packages: Vec<_> =
        TOOLS.iter().filter(|(program, _)| find(program).is_none()).map(|(_, package)| *package).collect();
    packages.dedup();
    packages
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
