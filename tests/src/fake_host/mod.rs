//! Hosts that are directories: trees of the files of `/proc`, `/sys`, `/dev` and `/run` that tuning reads and writes, made
//! from a short description. `quell --root DIR` takes one for a host.

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

/// A directory that stands for a host, while this value lives.
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

    /// The directory, from now on for whoever asked to remove.
    #[must_use]
    pub fn keep(self) -> std::path::PathBuf {
        let path = self.path().to_owned();
        // Neither removed nor made writable.
        std::mem::forget(self);
        path
    }

    /// As tuning sees it now.
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

    /// Takes from a directory the permission to write, as those of `/proc` have none.
    fn seal_directory(&self, path: &str) {
        fs::set_permissions(self.at(path), fs::Permissions::from_mode(0o555)).expect("a directory");
    }

    /// A symbolic link, as sysfs has them: relative.
    fn link(&self, path: &str, to: &str) {
        let path = self.at(path);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        symlink(to, path).expect("a link");
    }

    /// Where a file of the host lies.
    #[must_use]
    pub fn at(&self, path: &str) -> std::path::PathBuf {
        self.path().join(path.trim_start_matches('/'))
    }

    /// Every file with its bytes, but for what tuning keeps itself: to see that nothing else changed.
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
                    // A kernel ends the line again, and puts tabs between numbers, whatever was written.
                    bytes.truncate(bytes.trim_ascii_end().len());
                    bytes.iter_mut().filter(|byte| **byte == b'\t').for_each(|byte| *byte = b' ');
                    files.insert(name, bytes);
                }
            }
        }
        files
    }

    /// Does something where `/sys` with its cgroups, and of `/proc` what sets something, are mounted read-only, as a container's
    /// are (`readonlyPaths` and the mounts of OCI's config-linux.md); modes of files would not stop root. Only the thread that does it, and what it starts, see them so.
    ///
    /// # Errors
    /// This test may not mount anything.
    pub fn sealed<T: Send>(&self, act: impl FnOnce() -> T + Send) -> nix::Result<T> {
        let seal = || -> nix::Result<()> {
            unshare(CloneFlags::CLONE_NEWNS)?;
            let none = None::<&str>;
            mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)?;
            for directory in ["sys", "proc/sys", "proc/irq"].map(|name| self.path().join(name)) {
                mount(Some(&directory), &directory, none, MsFlags::MS_BIND, none)?;
                // A bind mount is made read-only only once it is there (mount(2)).
                let read_only = MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY;
                mount(none, &directory, none, read_only, none)?;
            }
            Ok(())
        };
        // The mounts go with the thread.
        std::thread::scope(|scope| scope.spawn(|| seal().map(|()| act())).join().expect("the act"))
    }
}

/// Who is not root can remove nothing from a directory that has no permission to write.
impl Drop for FakeHost {
    fn drop(&mut self) {
        let irqs = self.at("/proc/irq");
        let below = fs::read_dir(&irqs).into_iter().flatten().flatten().map(|entry| entry.path());
        for directory in below.chain([irqs]).filter(|path| path.is_dir()) {
            let _ = fs::set_permissions(directory, fs::Permissions::from_mode(0o755));
        }
    }
}
