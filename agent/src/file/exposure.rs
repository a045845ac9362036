//! The other users who can change which file a path leads to.

use std::collections::BTreeSet;

use nix::sys::stat::FileStat;

use super::entry::owner;

/// Users who are neither root nor the caller, as the permissions of a directory define them. Write permission in an access
/// control list is visible in the group bits (acl(5), CORRESPONDENCE BETWEEN ACL ENTRIES AND FILE PERMISSION BITS).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Party {
    Owner(u32),
    Group(u32),
    Others,
}

/// The users who can replace the names in some directories with files that they did not create.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Exposure(BTreeSet<Party>);

impl Exposure {
    /// The users for the names in one directory. With the sticky bit, only the owner of the directory can rename or remove the
    /// files of another user (inode(7)). Others cannot move a directory of the caller into it either: moving a directory to
    /// another parent requires write permission for the moved directory (vfs_rename, fs/namei.c). They can move symbolic links
    /// and files into it.
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

    /// Whether the set is empty.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the set is a subset of another one.
    pub(super) fn is_within(&self, other: &Self) -> bool {
        self.0.is_subset(&other.0)
    }

    /// Adds the users of another directory.
    pub(super) fn add(&mut self, other: Self) {
        self.0.extend(other.0);
    }
}
