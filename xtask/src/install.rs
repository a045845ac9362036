//! Installs Debian's toolchain for BPF.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::{output_of, run, toolchain};

/// A compiler, and `core` prebuilt for BPF, from one source package, so that their versions match.
const PACKAGES: [&str; 3] = ["rustc-web", "cargo-web", "libstd-rust-web-dev-bpf"];

/// The version of bpf-linker for the committed object.
const BPF_LINKER: &str = "0.13.0";

/// Installs a compiler for BPF and a bpf-linker, if they are missing.
pub(crate) fn run_debian(root: &Path) -> Result<()> {
    if toolchain::compilers().is_empty() {
        if !Path::new("/etc/debian_version").exists() {
            bail!("this is not Debian: install a rustup toolchain with rust-src, and bpf-linker");
        }
        run(Command::new("apt-get").args(["-q", "update"]))?;
        let mut install = Command::new("apt-get");
        install.args(["-q", "install", "-y", "--no-install-recommends"]).args(PACKAGES);
        run(install.env("DEBIAN_FRONTEND", "noninteractive")).context("apt-get needs root")?;
    }
    let compilers = toolchain::compilers();
    let compiler = compilers.first().context("the packages are installed, but there is no compiler for BPF")?;
    if toolchain::linker(root)?.is_some() {
        return Ok(());
    }

    let major = compiler.llvm.split('.').next().context("an LLVM version without numbers")?;
    let tools = toolchain::tools(root);
    // The build of bpf-linker asks for `lib/libLLVM.so` below LLVM_PREFIX; Debian has it by that name only in a
    // development package, which is large and not needed.
    let lib = tools.join("llvm/lib");
    fs::create_dir_all(&lib).with_context(|| format!("cannot make {}", lib.display()))?;
    let link = lib.join("libLLVM.so");
    let _ = fs::remove_file(&link);
    symlink(shared_llvm(major)?, &link).with_context(|| format!("cannot link {}", link.display()))?;

    // Not the rustup proxies of PATH: one compiler, Debian's, for the linker as for what it links.
    run(Command::new(compiler.bin.join("cargo"))
        .args(["install", "bpf-linker", "--version", BPF_LINKER, "--locked", "--no-default-features"])
        .arg(format!("--features=llvm-{major}"))
        .arg("--root")
        .arg(&tools)
        .env("PATH", "/usr/bin:/bin")
        .env("LLVM_PREFIX", tools.join("llvm"))
        .env_remove("RUSTC")
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env_remove("CARGO_TARGET_DIR")
        // Out of the workspace, whose configuration is not for this.
        .current_dir("/"))
}

fn shared_llvm(major: &str) -> Result<PathBuf> {
    let libraries = output_of(Command::new("/sbin/ldconfig").arg("-p")).context("`/sbin/ldconfig -p` fails")?;
    let name = format!("libLLVM.so.{major}");
    let found = libraries.lines().find(|line| line.trim_start().starts_with(&name));
    let path = found.and_then(|line| line.rsplit_once("=> ")).map(|(_, path)| PathBuf::from(path));
    path.with_context(|| format!("no {name} on this machine: `apt-get install libllvm{major}`"))
}
