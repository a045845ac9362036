//! From the path of a cgroup to what eBPF programs compare.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use nix::sys::statfs::{CGROUP2_SUPER_MAGIC, FsType, statfs};

/// `CGROUP_SUPER_MAGIC` of include/uapi/linux/magic.h: version 1.
const CGROUP1_SUPER_MAGIC: FsType = FsType(0x0027_e0eb);

/// A cgroup of version 2.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cgroup {
    /// Its directory, without symbolic links: nobody but root changes what is there.
    pub directory: PathBuf,
    /// What `bpf_get_current_ancestor_cgroup_id` returns for it: the inode of its directory, on a 64-bit kernel from
    /// 5.5 on (fs/kernfs, commit 40430452fd5d).
    pub id: u64,
    /// How deep it lies below the root of the hierarchy, which has level 0 (`struct cgroup::level`).
    pub level: u32,
}

/// Why a path names no cgroup that can be captured.
#[derive(Debug, thiserror::Error)]
pub enum CgroupError {
    /// It cannot be read.
    #[error("could not read the cgroup {}", path.display())]
    Read {
        /// The path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is of version 1.
    #[error("{} is a cgroup of version 1; quell needs version 2 (mount -t cgroup2){hint}", path.display())]
    VersionOne {
        /// The path.
        path: PathBuf,
        /// Where version 2 is mounted, as a remark; empty where it is not.
        hint: String,
    },
    /// It is no cgroup at all.
    #[error("{} is no cgroup; give its directory, such as /sys/fs/cgroup/system.slice{hint}", path.display())]
    NotACgroup {
        /// The path.
        path: PathBuf,
        /// Where version 2 is mounted, as a remark; empty where it is not.
        hint: String,
    },
    /// quell runs in a cgroup namespace, from which the depth of a cgroup cannot be told.
    #[error("quell runs in a cgroup namespace of its own and cannot tell how deep {} lies; run it in the host's", path.display())]
    Namespace {
        /// The path.
        path: PathBuf,
    },
}

/// The cgroup whose directory is `path`.
///
/// # Errors
/// The path cannot be read, or is no cgroup of version 2, or quell runs in a cgroup namespace.
pub fn cgroup(path: &Path) -> Result<Cgroup, CgroupError> {
    let read = |source: io::Error| CgroupError::Read { path: path.to_owned(), source };
    let directory = path.canonicalize().map_err(read)?;
    let metadata = directory.metadata().map_err(read)?;
    let mounts = mounts(&fs::read("/proc/self/mountinfo").map_err(read)?);
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

struct Mount {
    point: PathBuf,
    /// What of the hierarchy is mounted there; `/` for all of it.
    root: PathBuf,
}

/// The mounts of version 2 in `/proc/self/mountinfo` (proc_pid_mountinfo(5)). Paths are bytes, with some of them in octal: what a
/// container or a user's mount is called is no reason not to find the others.
fn mounts(info: &[u8]) -> Vec<Mount> {
    let mount = |line: &[u8]| {
        let mut words = line.split(|&byte| byte == b' ');
        let (root, point) = (words.nth(3)?, words.next()?);
        // Of optional fields there are any number, up to a hyphen.
        words.by_ref().find(|word| *word == b"-")?;
        (words.next()? == b"cgroup2").then(|| Mount { point: unescaped(point), root: unescaped(root) })
    };
    info.split(|&byte| byte == b'\n').filter_map(mount).collect()
}

/// A path in which `\\040` stands for a space (mangle_path, fs/seq_file.c).
fn unescaped(text: &[u8]) -> PathBuf {
    let (mut path, mut rest) = (Vec::new(), text);
    while let Some((&byte, after)) = rest.split_first() {
        let code = after.get(..3).filter(|_| byte == b'\\').and_then(|code| std::str::from_utf8(code).ok());
        let escaped = code.and_then(|code| u8::from_str_radix(code, 8).ok());
        path.push(escaped.unwrap_or(byte));
        rest = if escaped.is_some() { &after[3..] } else { after };
    }
    PathBuf::from(OsString::from_vec(path))
}

fn level(mounts: &[Mount], directory: &Path) -> Option<u32> {
    // The innermost mount is the one that a path goes through.
    let mount = mounts
        .iter()
        .filter(|mount| directory.starts_with(&mount.point))
        .max_by_key(|mount| mount.point.components().count())?;
    let below = directory.strip_prefix(&mount.point).ok()?;
    let names = |path: &Path| path.components().filter(|part| matches!(part, Component::Normal(_))).count();
    u32::try_from(names(&mount.root) + names(below)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mount(point: &str, root: &str) -> Mount {
        Mount { point: PathBuf::from(point), root: PathBuf::from(root) }
    }

    #[test]
    fn mounts_are_found_whatever_others_are_called() {
        let info = b"30 1 0:26 / /sys rw - sysfs sysfs rw\n\
            31 30 0:27 / /mnt/\xff\xfe rw shared:1 - tmpfs tmpfs rw\n\
            32 30 0:28 /a\\040b /sys/fs/cgr\\134oup rw shared:9 master:1 - cgroup2 cgroup2 rw\n\
            33 30 0:28 / /mnt/k\xc3 rw - cgroup2 none rw\n\nbroken\n";
        let found = mounts(info);
        let expected = [("/sys/fs/cgr\\oup".into(), "/a b".into()), (unescaped(b"/mnt/k\xc3"), PathBuf::from("/"))];
        assert_eq!(
            found.into_iter().map(|mount| (mount.point, mount.root)).collect::<Vec<(PathBuf, PathBuf)>>(),
            expected
        );
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
        let Some(mount) = mounts.iter().find(|mount| mount.fs_type == "cgroup2") else { return };
        let link = directory.path().join("link");
        std::os::unix::fs::symlink(&mount.mount_point, &link).expect("a link");
        // In a cgroup namespace none is to be had.
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
                // The root of a kernfs has the number 1 (fs/kernfs/dir.c).
                ("cgroup2", "/") if !matches!(found, Err(CgroupError::Namespace { .. })) => {
                    assert_eq!(found.map(|found| (found.id, found.level)).ok(), Some((1, 0)));
                }
                _ => {}
            }
        }
    }
}
