//! The file that a name in a directory refers to.

use std::fmt;
use std::os::fd::{AsFd, OwnedFd};

use nix::sys::stat::{FileStat, SFlag, fstat};
use nix::unistd::Uid;

use super::Owner;

/// The type of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Link,
    /// A named pipe.
    Fifo,
    /// A UNIX domain socket.
    Socket,
    /// A character device.
    CharacterDevice,
    /// A block device.
    BlockDevice,
}

/// The type with its article, as used after `is`.
impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::File => "a file",
            Self::Directory => "a directory",
            Self::Link => "a symbolic link",
            Self::Fifo => "a FIFO",
            Self::Socket => "a socket",
            Self::CharacterDevice => "a character device",
            Self::BlockDevice => "a block device",
        })
    }
}

/// A file, held open by an `O_PATH` descriptor: its inode number cannot be reused for another file while this value exists.
#[derive(Debug)]
pub struct Entry {
    descriptor: OwnedFd,
    stat: FileStat,
}

impl Entry {
    pub(super) fn of(descriptor: OwnedFd) -> nix::Result<Self> {
        let stat = fstat(&descriptor)?;
        Ok(Self { descriptor, stat })
    }

    /// Its type.
    #[must_use]
    pub fn kind(&self) -> Kind {
        kind(&self.stat)
    }

    /// Its owner.
    #[must_use]
    pub fn owner(&self) -> Owner {
        owner(&self.stat)
    }

    /// Its permissions, without set-id and sticky bits.
    #[must_use]
    pub fn permissions(&self) -> u32 {
        self.stat.st_mode & 0o777
    }

    /// Whether it has a single name: no other hard links.
    #[must_use]
    pub fn has_one_name(&self) -> bool {
        self.stat.st_nlink == 1
    }

    /// Whether it is the null device, `/dev/null`: writing to it has no effect, regardless of who created the entry.
    #[must_use]
    pub fn is_null_device(&self) -> bool {
        // Documentation/admin-guide/devices.txt: 1 char, 3 = /dev/null.
        self.kind() == Kind::CharacterDevice && self.stat.st_rdev == nix::sys::stat::makedev(1, 3)
    }

    /// Whether an open file is the same file.
    #[must_use]
    pub fn is_same_as(&self, other: impl AsFd) -> bool {
        fstat(other).is_ok_and(|other| identity(&other) == identity(&self.stat))
    }

    pub(super) fn descriptor(&self) -> &OwnedFd {
        &self.descriptor
    }

    pub(super) fn into_descriptor(self) -> OwnedFd {
        self.descriptor
    }
}

pub(super) fn identity(stat: &FileStat) -> (u64, u64) {
    (stat.st_dev, stat.st_ino)
}

pub(super) fn owner(stat: &FileStat) -> Owner {
    Owner(Uid::from_raw(stat.st_uid))
}

pub(super) fn kind(stat: &FileStat) -> Kind {
    match SFlag::from_bits_truncate(stat.st_mode & SFlag::S_IFMT.bits()) {
        SFlag::S_IFDIR => Kind::Directory,
        SFlag::S_IFLNK => Kind::Link,
        SFlag::S_IFIFO => Kind::Fifo,
        SFlag::S_IFSOCK => Kind::Socket,
        SFlag::S_IFCHR => Kind::CharacterDevice,
        SFlag::S_IFBLK => Kind::BlockDevice,
        _ => Kind::File,
    }
}
