//! Finding a compiler that can build for BPF, and a `bpf-linker`.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::output_of;

/// The target that the object is built for.
pub(crate) const TARGET: &str = "bpfel-unknown-none";

/// Where a toolchain comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Origin {
    /// A rustup toolchain with the component rust-src; `core` is built with the object.
    Rustup,
    /// Debian's rustc-web, whose `core` for BPF is prebuilt.
    Debian,
}

/// What decides the object's bytes beside its sources.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Versions {
    pub(crate) origin: Origin,
    pub(crate) rustc: String,
    pub(crate) llvm: String,
    pub(crate) bpf_linker: String,
}

/// A compiler and a linker that were found.
#[derive(Debug)]
pub(crate) struct Toolchain {
    pub(crate) cargo: PathBuf,
    pub(crate) rustc: PathBuf,
    pub(crate) sysroot: PathBuf,
    pub(crate) linker: PathBuf,
    pub(crate) versions: Versions,
}

/// A compiler that was found.
pub(crate) struct Compiler {
    origin: Origin,
    pub(crate) bin: PathBuf,
    sysroot: PathBuf,
    rustc: String,
    pub(crate) llvm: String,
}

/// Chooses a toolchain: the one that the committed object was built with where it is here, else the first found.
pub(crate) fn find(root: &Path, origin: Option<Origin>, recorded: Option<&Versions>) -> Result<Toolchain> {
    let compilers: Vec<_> =
        compilers().into_iter().filter(|found| origin.is_none_or(|origin| origin == found.origin)).collect();
    let Some(linker) = linker(root)? else {
        bail!("no bpf-linker in QUELL_BPF_LINKER, target/ebpf-tools/bin or PATH\n{HOW_TO_INSTALL}");
    };
    let bpf_linker = output_of(Command::new(&linker).arg("--version"))
        .with_context(|| format!("`{} --version` fails", linker.display()))?;
    let mut found: Vec<_> = compilers.into_iter().map(|found| found.with_linker(&linker, &bpf_linker)).collect();
    if found.is_empty() {
        bail!("no Rust compiler that can build for {TARGET}\n{HOW_TO_INSTALL}");
    }
    let same = found.iter().position(|found| Some(&found.versions) == recorded);
    Ok(found.swap_remove(same.unwrap_or(0)))
}

const HOW_TO_INSTALL: &str = "\
on Debian, as root: `cargo xtask ebpf --install`
elsewhere:          `rustup toolchain install nightly --component rust-src` and `cargo install bpf-linker`
                    (whose LLVM must be of the compiler's major version: `rustc -vV`)";

/// The compilers for BPF on this machine, in order of preference.
pub(crate) fn compilers() -> Vec<Compiler> {
    let active = output_of(Command::new("rustc").args(["--print", "sysroot"]));
    let nightly = output_of(Command::new("rustup").args(["run", "nightly", "rustc", "--print", "sysroot"]));
    let rustup = active.into_iter().chain(nightly).filter_map(|sysroot| {
        let sysroot = PathBuf::from(sysroot);
        let has_source = sysroot.join("lib/rustlib/src/rust/library/core").is_dir();
        has_source.then(|| Compiler::read(Origin::Rustup, sysroot))?
    });
    let debian = Path::new("/usr/lib/rustlib").join(TARGET).is_dir();
    let debian = debian.then(|| Compiler::read(Origin::Debian, PathBuf::from("/usr"))).flatten();
    rustup.chain(debian).collect()
}

/// The bpf-linker of this machine.
pub(crate) fn linker(root: &Path) -> Result<Option<PathBuf>> {
    if let Some(path) = env::var_os("QUELL_BPF_LINKER").map(PathBuf::from) {
        // rustc tells a linker's command line by the file's name.
        if !path.is_file() || path.file_name().is_none_or(|name| name != "bpf-linker") {
            bail!("QUELL_BPF_LINKER={}: not a file named bpf-linker", path.display());
        }
        return Ok(Some(path));
    }
    let own = tools(root).join("bin");
    let path = env::var_os("PATH").unwrap_or_default();
    let mut places = std::iter::once(own).chain(env::split_paths(&path));
    Ok(places.find_map(|place| Some(place.join("bpf-linker")).filter(|linker| linker.is_file())))
}

/// Where `--install` puts what no package has.
pub(crate) fn tools(root: &Path) -> PathBuf {
    root.join("target/ebpf-tools")
}

impl Compiler {
    fn read(origin: Origin, sysroot: PathBuf) -> Option<Self> {
        let bin = sysroot.join("bin");
        let version = output_of(Command::new(bin.join("rustc")).arg("-vV"))?;
        let llvm = version.lines().find_map(|line| line.strip_prefix("LLVM version: "))?.to_owned();
        let rustc = version.lines().next()?.to_owned();
        bin.join("cargo").is_file().then_some(Self { origin, bin, sysroot, rustc, llvm })
    }

    fn with_linker(self, linker: &Path, bpf_linker: &str) -> Toolchain {
        Toolchain {
            cargo: self.bin.join("cargo"),
            rustc: self.bin.join("rustc"),
            sysroot: self.sysroot,
            linker: linker.to_owned(),
            versions: Versions {
                origin: self.origin,
                rustc: self.rustc,
                llvm: self.llvm,
                bpf_linker: bpf_linker.to_owned(),
            },
        }
    }
}
