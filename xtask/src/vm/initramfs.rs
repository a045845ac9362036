//! What a guest begins with: busybox, the modules that reach the host's files, and a script that changes to them.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

use super::cache::Cache;
use super::kernel::Kernel;
use crate::{output_of, run};

/// The first process: see there.
const INIT: &str = include_str!("init.sh");

/// What the guest needs before it can load anything from its root: the host's files, a layer above them, and a disk.
const MODULES: [&str; 6] = ["virtio_pci", "9p", "9pnet_virtio", "overlay", "virtio_blk", "ext4"];

/// Writes the archive for a kernel.
pub(super) fn build(kernel: &Kernel, busybox: &Path, cache: &Cache, to: &Path) -> Result<()> {
    let tree = cache.temporary()?;
    for dir in ["bin", "modules", "proc", "dev", "root", "lower", "upper"] {
        fs::create_dir(tree.path().join(dir)).with_context(|| format!("cannot make {dir} of the initramfs"))?;
    }
    fs::copy(busybox, tree.path().join("bin/busybox")).with_context(|| format!("cannot copy {}", busybox.display()))?;
    let mut order = String::new();
    for module in modules(kernel)? {
        let name = module.file_stem().and_then(|stem| stem.to_str()).context("a module without a name")?;
        let name = name.trim_end_matches(".ko");
        unpack(&module, &tree.path().join("modules").join(name))?;
        order += &format!("{name}\n");
    }
    fs::write(tree.path().join("modules/order"), order).context("cannot write the order of modules")?;
    let init = tree.path().join("init");
    fs::write(&init, INIT).context("cannot write the first process")?;
    fs::set_permissions(&init, fs::Permissions::from_mode(0o755)).context("cannot make it executable")?;
    pack(tree.path(), to)
}

/// The files of the modules and of what they need, in the order of loading.
fn modules(kernel: &Kernel) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for module in MODULES {
        let depends =
            output_of(Command::new("modprobe").args(["--show-depends", "--dirname"]).arg(kernel.dir()).args([
                "--set-version",
                &kernel.release,
                module,
            ]));
        let depends = depends.with_context(|| format!("{} has no module {module}", kernel.release))?;
        for line in depends.lines() {
            // `insmod PATH`, or `builtin NAME`.
            let path = line.strip_prefix("insmod ").and_then(|rest| rest.split(' ').next()).map(PathBuf::from);
            files.extend(path.filter(|path| !files.contains(path)));
        }
    }
    Ok(files)
}

fn unpack(module: &Path, to: &Path) -> Result<()> {
    let program = match module.extension().and_then(|ending| ending.to_str()) {
        Some("xz") => "xz",
        Some("zst") => "zstd",
        Some("gz") => "gzip",
        _ => {
            fs::copy(module, to).with_context(|| format!("cannot copy {}", module.display()))?;
            return Ok(());
        }
    };
    let file = File::create(to).with_context(|| format!("cannot create {}", to.display()))?;
    run(Command::new(program).arg("-dc").arg(module).stdout(file))
}

fn pack(tree: &Path, to: &Path) -> Result<()> {
    let file = File::create(to).with_context(|| format!("cannot create {}", to.display()))?;
    let mut cpio = Command::new("cpio")
        .args(["--create", "--format=newc", "--null", "--quiet", "--owner=+0:+0"])
        .current_dir(tree)
        .stdin(Stdio::piped())
        .stdout(file)
        .spawn()
        .context("cannot run `cpio`")?;
    let names = cpio.stdin.take().context("stdin is a pipe")?;
    run(Command::new("find").args([".", "-mindepth", "1", "-print0"]).current_dir(tree).stdout(names))?;
    let status = cpio.wait().context("cannot wait for `cpio`")?;
    if !status.success() {
        bail!("`cpio` cannot write {}: {status}", to.display());
    }
    Ok(())
}
