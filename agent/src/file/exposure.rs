//! Who else can change which file a path leads to.

use std::collections::BTreeSet;

use nix::sys::stat::FileStat;

use super::entry::owner;

/// Users who are neither root nor the caller, as a directory's permissions name them. Write permission of an access control list
/// shows in the group's bits (acl(5), CORRESPONDENCE BETWEEN ACL ENTRIES AND FILE PERMISSION BITS).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Party {
    Owner(u32),
    Group(u32),
    Others,
}

/// The users who can exchange the names in some directories for others that they did not make.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Exposure(BTreeSet<Party>);

impl Exposure {
    /// Of the names in one directory. In one with the sticky bit only its owner can rename or remove what belongs to another user
    /// (inode(7)). What belongs to the caller cannot be brought there either if it is a directory: a directory can be moved to
    /// another parent only by those who can write to it (vfs_rename, fs/namei.c). Links and files can.
    pub(super) fn of(directory: &FileStat) -> Self {
        let mut parties = BTreeSet::new();
        if !owner(directory).is_trusted() {
            parties.insert(Party::Owner(directory.st_uid));
        }
        if directory.st_mode & libc::S_ISVTX == 0 {
            if directory.st_mode & libc::S_IWGRP != 0 {
                parties.insert(Party::Group(directory.st_gid));
            }
            if directory.st_mode & libc::S_IWOTH != 0 {
                parties.insert(Party::Others);
            }
        }
        Self(parties)
    }

    /// Whether there is nobody.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether everybody in it is in another one too.
    pub(super) fn is_within(&self, other: &Self) -> bool {
        self.0.is_subset(&other.0)
    }

    /// Adds those of another directory.
    pub(super) fn add(&mut self, other: Self) {
        self.0.extend(other.0);
    }
}
