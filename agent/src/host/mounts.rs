//! The mounts of a mount namespace.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::path::PathBuf;

/// A line of `/proc/PID/mountinfo` (proc_pid_mountinfo(5)).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mount {
    /// The mount point.
    pub(crate) point: PathBuf,
    /// The directory of the file system that is mounted there; `/` for the whole file system.
    pub(crate) root: PathBuf,
    /// The type of the file system.
    pub(crate) kind: Vec<u8>,
    /// The options of the superblock, not those of the mount, separated by commas.
    pub(crate) options: Vec<u8>,
}

/// Parses the mounts of a `mountinfo`. Paths are bytes, some of them as octal escapes: a path of a container or a user that is
/// not UTF-8 must not hide the other mounts.
pub(crate) fn mounts(info: &[u8]) -> Vec<Mount> {
    let mount = |line: &[u8]| {
        let mut words = line.split(|&byte| byte == b' ');
        let (root, point) = (words.nth(3)?, words.next()?);
        // Any number of optional fields, terminated by a hyphen.
        words.by_ref().find(|word| *word == b"-")?;
        let (kind, options) = (words.next()?.to_vec(), words.nth(1)?.to_vec());
        Some(Mount { point: unescaped(point), root: unescaped(root), kind, options })
    };
    info.split(|&byte| byte == b'\n').filter_map(mount).collect()
}

/// Decodes the octal escapes of a path, such as `\040` for a space (mangle_path, fs/seq_file.c).
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_are_found_whatever_others_are_called() {
        let info = b"31 30 0:27 / /mnt/\xff\xfe rw shared:1 - tmpfs tmpfs rw\n\
            32 30 0:28 /a\\040b /sys/fs/cgr\\134oup rw shared:9 master:1 - cgroup2 cgroup2 rw,nsdelegate\n\
            33 30 0:28 / /mnt/k\xc3 rw - cgroup2 none rw\n\nbroken\n";
        let found: Vec<_> = mounts(info).into_iter().map(|mount| (mount.point, mount.root, mount.kind)).collect();
        let expected: [(&[u8], &str, &[u8]); 3] = [
            (b"/mnt/\xff\xfe", "/", b"tmpfs"),
            (b"/sys/fs/cgr\\oup", "/a b", b"cgroup2"),
            (b"/mnt/k\xc3", "/", b"cgroup2"),
        ];
        assert_eq!(
            found,
            expected.map(|(point, root, kind)| {
                (OsString::from_vec(point.to_vec()).into(), PathBuf::from(root), kind.to_vec())
            })
        );
        assert_eq!(mounts(info)[1].options, b"rw,nsdelegate");
    }
}
