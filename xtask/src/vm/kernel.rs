//! A kernel in the cache: unpacked, with its modules indexed.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use super::archive::Archive;
use super::cache::Cache;
use super::{image, matrix};
use crate::run;

/// A kernel to boot.
#[derive(Clone, Debug)]
pub(super) struct Kernel {
    /// What users and tables call it: `6.1`.
    pub(super) name: String,
    /// What it calls itself.
    pub(super) release: String,
    dir: PathBuf,
}

impl Kernel {
    /// The newest kernel of each name, downloaded unless it is in the cache.
    pub(super) fn get(cache: &Cache, names: &[String]) -> Result<Vec<Self>> {
        let kernels = cache.join("kernels");
        fs::create_dir_all(&kernels).with_context(|| format!("cannot make {}", kernels.display()))?;
        let archive = Archive::open(cache);
        let releases = match &archive {
            Ok(archive) => archive.releases()?,
            Err(error) => {
                eprintln!("{error:#}: only kernels that are in the cache can be booted");
                in_cache(&kernels)?
            }
        };
        let mut got = Vec::new();
        for name in names {
            let Some(release) = matrix::newest(name, &releases) else {
                bail!("no kernel `{name}`: say a series such as 6.1 or 6.1-rt, `newest`, or a release of {releases:?}");
            };
            let kernel = Self { name: name.clone(), release: release.to_owned(), dir: kernels.join(release) };
            if let (Ok(archive), false) = (&archive, kernel.dir.exists()) {
                kernel.fetch(archive, cache)?;
            }
            got.push(kernel);
        }
        Ok(got)
    }

    fn fetch(&self, archive: &Archive<'_>, cache: &Cache) -> Result<()> {
        println!("{}: downloading {}", self.name, self.release);
        // Renamed when whole: an interrupted download is not taken for a kernel.
        let unpacked = cache.temporary()?;
        archive.unpack(&self.release, unpacked.path())?;
        let modules = unpacked.path().join("lib/modules");
        if !modules.exists() {
            // Newer packages know only the merged /usr.
            fs::create_dir_all(unpacked.path().join("lib")).context("cannot make a directory for modules")?;
            symlink("../usr/lib/modules", &modules).context("cannot link the modules")?;
        }
        // Beside its modules since 7.3.
        let names = [format!("boot/vmlinuz-{}", self.release), format!("lib/modules/{}/vmlinuz", self.release)];
        let images = names.map(|name| unpacked.path().join(name));
        let image = images.iter().find(|image| image.exists());
        let image = image.with_context(|| format!("the packages of {} have no vmlinuz", self.release))?;
        image::extract(image, &unpacked.path().join("vmlinux"))?;
        run(Command::new("depmod").arg("--basedir").arg(unpacked.path()).arg(&self.release))?;
        fs::rename(unpacked.keep(), &self.dir).with_context(|| format!("cannot make {}", self.dir.display()))
    }

    /// The kernel as QEMU takes it.
    pub(super) fn vmlinux(&self) -> PathBuf {
        self.dir.join("vmlinux")
    }

    /// The root of its files: `lib/modules` is below.
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }
}

#[cfg(test)]
impl Kernel {
    /// A kernel that is nowhere.
    pub(super) fn example(name: &str) -> Self {
        Self { name: name.to_owned(), release: format!("{name}.0-1-amd64"), dir: PathBuf::new() }
    }
}

fn in_cache(kernels: &Path) -> Result<BTreeSet<String>> {
    let entries = fs::read_dir(kernels).with_context(|| format!("cannot list {}", kernels.display()))?;
    entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
}
