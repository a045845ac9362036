//! Fake hosts: directories with the files of `/proc`, `/sys`, `/dev` and `/run` that tuning reads and writes, built from a
//! short description. `quell --root DIR` uses such a directory as the host.

mod behind;
mod catalog;
mod machine;
mod system;
mod tables;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use quell::host::{Host, Root};
use tempfile::TempDir;

use crate::memory;

pub use behind::Behind;
pub use catalog::{amd_with_eight_dies, container, large, small_vm, two_socket_intel};
pub use machine::{Card, Frequency, Machine};
pub use system::Boots;

/// A directory that represents a host. Dropping this removes the directory.
#[derive(Debug)]
pub struct FakeHost {
    folder: TempDir,
}

impl FakeHost {
    fn new() -> Self {
        Self { folder: tempfile::Builder::new().prefix("fake-host").tempdir_in(memory::directory()).expect("a folder") }
    }

    /// The directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Returns the directory, which the caller must remove.
    #[must_use]
    pub fn keep(self) -> std::path::PathBuf {
        let path = self.path().to_owned();
        // The directory is neither removed nor made writable.
        std::mem::forget(self);
        path
    }

    /// The state of the host, as tuning reads it now.
    #[must_use]
    pub fn host(&self) -> Host {
        Host::read(Root::at(self.path()).expect("a directory")).expect("a host")
    }

    /// The text of a file.
    #[must_use]
    pub fn read(&self, path: &str) -> String {
        fs::read_to_string(self.at(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// Writes a file, and the directories that it is in.
    pub fn put(&self, path: &str, text: impl AsRef<[u8]>) {
        let path = self.at(path);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        fs::write(path, text).expect("a file");
    }

    /// Removes the write permission from a directory: directories in `/proc` have none.
    fn seal_directory(&self, path: &str) {
        fs::set_permissions(self.at(path), fs::Permissions::from_mode(0o555)).expect("a directory");
    }

    /// Creates a relative symbolic link, as in sysfs.
    fn link(&self, path: &str, to: &str) {
        let path = self.at(path);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        symlink(to, path).expect("a link");
    }

    /// The path of a file of the host in the directory.
    #[must_use]
    pub fn at(&self, path: &str) -> std::path::PathBuf {
        self.path().join(path.trim_start_matches('/'))
    }

    /// The contents of all files except the state of quell, to check that nothing else has changed.
    #[must_use]
    pub fn snapshot(&self) -> BTreeMap<String, Vec<u8>> {
        let mut files = BTreeMap::new();
        let mut directories = vec![self.path().to_owned()];
        while let Some(directory) = directories.pop() {
            for entry in fs::read_dir(&directory).expect("a list") {
                let entry = entry.expect("an entry");
                let kind = entry.file_type().expect("a kind");
                let path = entry.path();
                let name = path.strip_prefix(self.path()).expect("below").display().to_string();
                if kind.is_dir() && name != "run/quell" && name != "var/lib/quell" {
                    directories.push(path);
                } else if kind.is_file() {
                    let mut bytes = fs::read(&path).expect("a file");
                    // The kernel appends a newline, and separates numbers by tabs, independent of the written text.
                    bytes.truncate(bytes.trim_ascii_end().len());
                    bytes.iter_mut().filter(|byte| **byte == b'\t').for_each(|byte| *byte = b' ');
                    files.insert(name, bytes);
                }
            }
        }
        files
    }

    /// Runs `act` with `/sys` (including cgroups), `/proc/sys` and `/proc/irq` mounted read-only, as in a container
    /// (`readonlyPaths` and the mounts in OCI's config-linux.md). File modes would not restrict root. Only the thread that
    /// runs `act` and its children see these mounts.
    ///
    /// # Errors
    /// This test may not mount file systems.
    pub fn sealed<T: Send>(&self, act: impl FnOnce() -> T + Send) -> nix::Result<T> {
        let seal = || -> nix::Result<()> {
            unshare(CloneFlags::CLONE_NEWNS)?;
            let none = None::<&str>;
            mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)?;
            for directory in ["sys", "proc/sys", "proc/irq"].map(|name| self.path().join(name)) {
                mount(Some(&directory), &directory, none, MsFlags::MS_BIND, none)?;
                // A bind mount can only be made read-only by a second call (mount(2)).
                let read_only = MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY;
                mount(none, &directory, none, read_only, none)?;
            }
            Ok(())
        };
        // The mounts disappear when the thread exits.
        std::thread::scope(|scope| scope.spawn(|| seal().map(|()| act())).join().expect("the act"))
    }
}

/// Makes the directories in `/proc/irq` writable: a user other than root cannot remove files from a read-only directory.
impl Drop for FakeHost {
    fn drop(&mut self) {
        let irqs = self.at("/proc/irq");
        let below = fs::read_dir(&irqs).into_iter().flatten().flatten().map(|entry| entry.path());
        for directory in below.chain([irqs]).filter(|path| path.is_dir()) {
            let _ = fs::set_permissions(directory, fs::Permissions::from_mode(0o755));
        }
    }
}
