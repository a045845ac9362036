//! `cargo xtask ebpf`: the object in `ebpf/prebuilt`, its manifest, and whether both are up to date.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use crate::toolchain::{self, Origin, TARGET, Toolchain, Versions};
use crate::{Outcome, install, manifest, root, run};

/// `debuginfo` becomes BTF; `v3` has the atomics that return the old value, and 32-bit jumps (5.1).
const FLAGS: [&str; 6] = ["-C", "debuginfo=2", "-C", "target-cpu=v3", "-C", "link-arg=--btf"];

/// The machine that the programs run on: it decides the layout of `pt_regs`.
const BPF_TARGET_ARCH: &str = "x86_64";

/// Where crates come from: of cargo's variables, those that stay.
const KEPT: [&str; 3] = ["CARGO_HOME", "CARGO_NET_OFFLINE", "CARGO_HTTP_PROXY"];

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Rebuild in a new directory and compare; exit code 1 if sources or bytes differ
    ///
    /// If the versions of compiler or linker differ from the manifest, only the hashes of sources and object are compared, and a
    /// message says so.
    #[arg(long)]
    check: bool,
    /// Install missing tools first (Debian, as root; about three minutes)
    #[arg(long)]
    install: bool,
    /// Use only a toolchain of this origin
    #[arg(long, value_enum)]
    toolchain: Option<Origin>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    /// The SHA-256 hash of the sources.
    sources: String,
    /// The SHA-256 hash of the object.
    object: String,
    toolchain: Versions,
    flags: Vec<String>,
}

pub(crate) fn run_task(args: &Args) -> Result<Outcome> {
    let root = root();
    if args.install {
        install::run_debian(&root)?;
    }
    if args.check { check(&root, args.toolchain) } else { rebuild(&root, args.toolchain) }
}

fn rebuild(root: &Path, origin: Option<Origin>) -> Result<Outcome> {
    // The manifest may be missing, or of an older shape: it is about to be written anew.
    let recorded = read_manifest(root).ok();
    let toolchain = toolchain::find(root, origin, recorded.as_ref().map(|recorded| &recorded.toolchain))?;
    let sources = manifest::source_hash(root).context("cannot hash the eBPF sources")?;
    let built = build(root, &toolchain, &root.join("target/ebpf"))?;
    let object = fs::read(&built).with_context(|| format!("cannot read {}", built.display()))?;
    let new = Manifest {
        sources,
        object: manifest::hash(&object),
        toolchain: toolchain.versions,
        flags: FLAGS.map(str::to_owned).to_vec(),
    };
    write(&root.join(manifest::OBJECT), &object)?;
    write(&root.join(manifest::MANIFEST), (serde_json::to_string_pretty(&new)? + "\n").as_bytes())?;
    println!("{}: {} bytes, by {}", manifest::OBJECT, object.len(), new.toolchain.rustc);
    Ok(Outcome::Clean)
}

fn check(root: &Path, origin: Option<Origin>) -> Result<Outcome> {
    let recorded = read_manifest(root)?;
    let path = root.join(manifest::OBJECT);
    let object = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
    if manifest::source_hash(root).context("cannot hash the eBPF sources")? != recorded.sources {
        println!("different sources: {} was built from others; `cargo xtask ebpf` rebuilds it", manifest::OBJECT);
        return Ok(Outcome::Found);
    }
    if manifest::hash(&object) != recorded.object {
        println!("different object: {} is not what its manifest describes", manifest::OBJECT);
        return Ok(Outcome::Found);
    }
    let toolchain = toolchain::find(root, origin, Some(&recorded.toolchain))?;
    if toolchain.versions != recorded.toolchain {
        println!(
            "different toolchain: sources and object match the manifest, the bytes were not compared\n  \
             manifest: {}\n  here:     {}",
            describe(&recorded.toolchain),
            describe(&toolchain.versions)
        );
        return Ok(Outcome::Clean);
    }
    let target = tempfile::tempdir().context("cannot make a temporary directory")?;
    let built = build(root, &toolchain, target.path())?;
    if fs::read(&built).with_context(|| format!("cannot read {}", built.display()))? != object {
        println!("different bytes: the same sources and toolchain do not give {}", manifest::OBJECT);
        return Ok(Outcome::Found);
    }
    println!("{} is what its sources give, by {}", manifest::OBJECT, describe(&recorded.toolchain));
    Ok(Outcome::Clean)
}

/// Builds the object below `target` and returns its path.
fn build(root: &Path, toolchain: &Toolchain, target: &Path) -> Result<PathBuf> {
    // Before the paths to remap are listed: the first download makes the registry's directory.
    run(cargo(root, toolchain).arg("fetch"))?;
    let flags: Vec<String> = FLAGS.map(str::to_owned).into_iter().chain(remaps(root, toolchain)).collect();
    let mut command = cargo(root, toolchain);
    command.args(["build", "--package=quell-ebpf", "--profile=ebpf", "--target-dir"]).arg(target);
    if toolchain.versions.origin == Origin::Rustup {
        command.arg("-Zbuild-std=core");
    }
    command
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"))
        .env("CARGO_TARGET_BPFEL_UNKNOWN_NONE_LINKER", &toolchain.linker)
        .env("AYA_BPF_TARGET_ARCH", BPF_TARGET_ARCH);
    run(&mut command)?;
    Ok(target.join(TARGET).join("ebpf/quell-ebpf"))
}

/// The cargo of the toolchain, without environment variables for the host build.
fn cargo(root: &Path, toolchain: &Toolchain) -> Command {
    let mut command = Command::new(&toolchain.cargo);
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        let cargo = text.starts_with("CARGO") && !KEPT.contains(&text.as_ref());
        if cargo || text.starts_with("RUSTC") || text.starts_with("RUSTFLAGS") || text == "RUSTUP_TOOLCHAIN" {
            command.env_remove(&name);
        }
    }
    command
        .current_dir(root)
        .args(["--quiet", "--locked"])
        .env("CARGO_BUILD_TARGET", TARGET)
        .env("RUSTC", &toolchain.rustc)
        // aya-ebpf uses an unstable feature for BPF (asm_experimental_arch), and so does -Zbuild-std.
        .env("RUSTC_BOOTSTRAP", "1");
    command
}

/// Remaps paths of this machine in the debug information, so that builds in all directories are equal.
fn remaps(root: &Path, toolchain: &Toolchain) -> Vec<String> {
    let cargo_home = env::var_os("CARGO_HOME").map(PathBuf::from);
    let cargo_home = cargo_home.or_else(|| Some(env::home_dir()?.join(".cargo")));
    let registry = cargo_home.map(|home| home.join("registry/src")).and_then(|sources| {
        // One directory per registry, named by a hash: that of crates.io depends on the version of cargo.
        let index = fs::read_dir(&sources).ok()?.flatten().map(|entry| entry.path());
        Some(index.map(|index| (index, "/cargo")).collect::<Vec<_>>())
    });
    let mut paths = registry.unwrap_or_default();
    paths.push((root.to_owned(), "/quell"));
    if toolchain.versions.origin == Origin::Rustup {
        paths.push((toolchain.sysroot.clone(), "/rust"));
    }
    paths.into_iter().map(|(from, to)| format!("--remap-path-prefix={}={to}", from.display())).collect()
}

fn describe(versions: &Versions) -> String {
    format!("{}, LLVM {}, {}", versions.rustc, versions.llvm, versions.bpf_linker)
}

fn read_manifest(root: &Path) -> Result<Manifest> {
    let path = root.join(manifest::MANIFEST);
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{} is no manifest", path.display()))
}

/// Writes a file atomically, for builds that run at the same time.
fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let directory = path.parent().with_context(|| format!("{} has no directory", path.display()))?;
    fs::create_dir_all(directory).with_context(|| format!("cannot make {}", directory.display()))?;
    let unfinished = path.with_extension("unfinished");
    fs::write(&unfinished, bytes).with_context(|| format!("cannot write {}", unfinished.display()))?;
    fs::rename(&unfinished, path).with_context(|| format!("cannot rename to {}", path.display()))
}
