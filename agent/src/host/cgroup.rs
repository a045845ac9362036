//! Finds the ID and the level of a cgroup, which the eBPF programs compare.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use nix::sys::statfs::{CGROUP2_SUPER_MAGIC, FsType, statfs};

use super::{Mount, mounts};

/// `CGROUP_SUPER_MAGIC` of include/uapi/linux/magic.h: version 1.
const CGROUP1_SUPER_MAGIC: FsType = FsType(0x0027_e0eb);

/// A cgroup of version 2.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cgroup {
    /// The path of its directory, without symbolic links.
    pub directory: PathBuf,
    /// The ID that `bpf_get_current_ancestor_cgroup_id` returns for it: the inode number of its directory, on a 64-bit kernel
    /// since 5.5 (fs/kernfs, commit 40430452fd5d).
    pub id: u64,
    /// Its level in the hierarchy; the root has level 0 (`struct cgroup::level`).
    pub level: u32,
}

/// The reason why a path is not a cgroup that can be captured.
#[derive(Debug, thiserror::Error)]
pub enum CgroupError {
    /// The cgroup cannot be read.
    #[error("could not read the cgroup {}", path.display())]
    Read {
        /// The path.
        path: PathBuf,
        /// The error of the system call.
        source: io::Error,
    },
    /// The path is a cgroup of version 1.
    #[error("{} is a cgroup of version 1, and quell requires version 2\nhint: use a cgroup of version 2 (mount -t cgroup2){hint}", path.display())]
    VersionOne {
        /// The path.
        path: PathBuf,
        /// The mount point of version 2, to append to the hint; empty if it is not mounted.
        hint: String,
    },
    /// The path is not a cgroup.
    #[error("{} is not a cgroup\nhint: use a directory such as /sys/fs/cgroup/system.slice{hint}", path.display())]
    NotACgroup {
        /// The path.
        path: PathBuf,
        /// The mount point of version 2, to append to the hint; empty if it is not mounted.
        hint: String,
    },
    /// quell runs in a cgroup namespace, in which the level of a cgroup cannot be determined.
    #[error("quell runs in a cgroup namespace other than the host's and cannot determine the level of {}\nhint: run quell in the cgroup namespace of the host", path.display())]
    Namespace {
        /// The path.
        path: PathBuf,
    },
}

/// The cgroup whose directory is `path`.
///
/// # Errors
/// The path cannot be read or is not a cgroup of version 2, or quell runs in a cgroup namespace.
pub fn cgroup(path: &Path) -> Result<Cgroup, CgroupError> {
    let read = |source: io::Error| CgroupError::Read { path: path.to_owned(), source };
    let directory = path.canonicalize().map_err(read)?;
    let metadata = directory.metadata().map_err(read)?;
    let mut mounts = mounts(&fs::read("/proc/self/mountinfo").map_err(read)?);
    mounts.retain(|mount| mount.kind == b"cgroup2");
    let hint =
        mounts.first().map(|mount| format!("; version 2 is mounted at {}", mount.point.display())).unwrap_or_default();
    match statfs(&directory).map_err(|errno| read(errno.into()))?.filesystem_type() {
        CGROUP2_SUPER_MAGIC if metadata.is_dir() => {}
        CGROUP1_SUPER_MAGIC => return Err(CgroupError::VersionOne { path: path.to_owned(), hint }),
        _ => return Err(CgroupError::NotACgroup { path: path.to_owned(), hint }),
    }
    if !super::in_initial_namespace("cgroup", INITIAL_NAMESPACE) {
        return Err(CgroupError::Namespace { path: path.to_owned() });
    }
    let level = level(&mounts, &directory).ok_or_else(|| CgroupError::NotACgroup { path: path.to_owned(), hint })?;
    Ok(Cgroup { directory, id: metadata.ino(), level })
}

/// `PROC_CGROUP_INIT_INO` of include/linux/proc_ns.h.
const INITIAL_NAMESPACE: u64 = 0xEFFF_FFFB;

fn level(mounts: &[Mount], directory: &Path) -> Option<u32> {
    // A path is resolved through the innermost mount.
    let mount = mounts
        .iter()
        .filter(|mount| directory.starts_with(&mount.point))
        .max_by_key(|mount| mount.point.components().count())?;
    let below = directory.strip_prefix(&mount.point).ok()?;
    let names = |path: &Path| path.components().filter(|part| matches!(part, Component::Normal(_))).count();
    u32::try_from(names(&mount.root) + names(below)).ok()
}

/// The maximum number of cgroups that are visited: users with delegated cgroups can create any number of them.
const MOST_CGROUPS: usize = 65_536;

/// The paths of cgroups of version 2 from the root of the mounted hierarchy, by ID. Cgroups that do not exist are omitted; the
/// map is empty if no such hierarchy is mounted. Only the first 65,536 cgroups are visited, level by level from the root.
#[must_use]
pub fn cgroup_paths(wanted: &BTreeSet<u64>) -> BTreeMap<u64, String> {
    let mut paths = BTreeMap::new();
    let mounts = mounts(&fs::read("/proc/self/mountinfo").unwrap_or_default());
    let Some(mount) = mounts.iter().find(|mount| mount.kind == b"cgroup2") else { return paths };
    let mut waiting = VecDeque::from([mount.point.clone()]);
    let mut seen = 1;
    while paths.len() < wanted.len()
        && let Some(directory) = waiting.pop_front()
    {
        let id = directory.symlink_metadata().map_or(0, |metadata| metadata.ino());
        if wanted.contains(&id) {
            let below = directory.strip_prefix(&mount.point).unwrap_or(&directory);
            paths.insert(id, Path::new("/").join(below).display().to_string());
        }
        let entries = fs::read_dir(&directory).into_iter().flatten().filter_map(Result::ok);
        let below = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        let before = waiting.len();
        waiting.extend(below.map(|entry| entry.path()).take(MOST_CGROUPS.saturating_sub(seen)));
        seen += waiting.len() - before;
    }
    paths
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mount(point: &str, root: &str) -> Mount {
        let (point, root) = (PathBuf::from(point), PathBuf::from(root));
        Mount { point, root, kind: b"cgroup2".to_vec(), options: Vec::new() }
    }

    #[test]
    fn the_level_counts_from_the_root_of_the_hierarchy() {
        let mounts = [mount("/sys/fs/cgroup", "/"), mount("/mnt/part", "/system.slice/one.service")];
        for (path, expected) in [
            ("/sys/fs/cgroup", Some(0)),
            ("/sys/fs/cgroup/system.slice", Some(1)),
            ("/sys/fs/cgroup/a/b/c", Some(3)),
            ("/mnt/part/x", Some(3)),
            ("/elsewhere", None),
        ] {
            assert_eq!(level(&mounts, Path::new(path)), expected, "{path}");
        }
    }

    #[test]
    fn a_directory_that_is_no_cgroup_is_told_apart_from_one_that_is_absent() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        assert!(matches!(cgroup(directory.path()), Err(CgroupError::NotACgroup { .. })));
        assert!(matches!(cgroup(&directory.path().join("absent")), Err(CgroupError::Read { .. })));
    }

    #[test]
    fn the_directory_is_where_a_link_leads() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let process = procfs::process::Process::myself().expect("/proc");
        let mounts = process.mountinfo().expect("the mounts");
        let Some(mount) = mounts.iter().find(|mount| mount.fs_type == "cgroup2") else {
            crate::skip!("a mounted cgroup hierarchy of version 2")
        };
        let link = directory.path().join("link");
        std::os::unix::fs::symlink(&mount.mount_point, &link).expect("a link");
        // In a cgroup namespace, cgroup() returns an error.
        if let Ok(found) = cgroup(&link) {
            assert_eq!(found.directory, mount.mount_point);
        }
    }

    #[test]
    fn mounted_roots_of_both_versions_are_told_apart() {
        let process = procfs::process::Process::myself().expect("/proc");
        for mount in process.mountinfo().expect("the mounts") {
            let found = cgroup(&mount.mount_point);
            match (mount.fs_type.as_str(), mount.root.as_str()) {
                ("cgroup", _) => assert!(matches!(found, Err(CgroupError::VersionOne { .. })), "{found:?}"),
                // The inode number of the root of a kernfs is 1 (fs/kernfs/dir.c).
                ("cgroup2", "/") if !matches!(found, Err(CgroupError::Namespace { .. })) => {
                    assert_eq!(found.map(|found| (found.id, found.level)).ok(), Some((1, 0)));
                }
                _ => {}
            }
        }
    }
}
