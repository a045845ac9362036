//! Who pays for the time that a file takes.

use crate::inspect::Owner;
use crate::recording::Process;

/// The user who needs names: the user of a process with code in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Requester {
    /// The UID; `None` if it is not known.
    user: Option<u32>,
    /// Whether it is the user of a container.
    is_contained: bool,
}

impl Requester {
    /// An unknown user.
    pub(super) const UNKNOWN: Self = Self { user: None, is_contained: false };

    /// The user of a process.
    pub(super) fn of(process: &Process) -> Self {
        Self { user: process.user, is_contained: process.container.is_some() }
    }

    /// Whether it is root, in no container.
    pub(super) fn is_root(self) -> bool {
        self == Self { user: Some(0), is_contained: false }
    }

    /// The UID, if it is known.
    #[cfg(test)]
    pub(super) fn user(self) -> Option<u32> {
        self.user
    }
}

/// The user who pays for the time that a file takes.
///
/// This is the user who needs its names, whoever owns the file: any user can execute or map all files of root, at any number of
/// paths. But for a file that root executes, its owner pays, who can make it large.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Payer {
    uid: u32,
    /// The device of the file, for root in a container: each container has a file system of its own.
    device: Option<u64>,
}

impl Payer {
    /// Root in no container, whose files come first.
    pub(super) const ROOT: Self = Self { uid: 0, device: None };

    /// The payer for a file.
    pub(super) fn of(requester: Requester, owner: Owner) -> Self {
        let user = |uid| Self { uid, device: None };
        match requester {
            Requester { user: Some(0), is_contained: true } => Self { uid: 0, device: Some(owner.device) },
            // The overflow UID of the kernel does not tell more either.
            Requester { user: None, .. } if owner.uid == 0 => user(u32::MAX),
            Requester { user: Some(0) | None, .. } => user(owner.uid),
            Requester { user: Some(uid), .. } => user(uid),
        }
    }

    /// A user, for tests.
    #[cfg(test)]
    pub(super) fn user(uid: u32) -> Self {
        Self { uid, device: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_needs_a_file_pays_but_the_owner_of_what_root_executes() {
        let payer = |user, is_contained, uid| Payer::of(Requester { user, is_contained }, Owner { uid, device: 7 });
        assert_eq!(payer(Some(0), false, 0), Payer::ROOT);
        assert_eq!(payer(Some(1_000), false, 0), Payer::user(1_000), "a library of root");
        assert_eq!(payer(Some(1_000), false, 1_001), Payer::user(1_000), "a program of another user");
        assert_eq!(payer(Some(1_000), true, 0), Payer::user(1_000), "the name of a cgroup is no user");
        assert_eq!(payer(Some(0), false, 1_001), Payer::user(1_001));
        assert_eq!(payer(Some(0), true, 0), Payer { uid: 0, device: Some(7) });
        assert_eq!(payer(None, false, 1_001), Payer::user(1_001));
        assert_ne!(payer(None, false, 0), Payer::ROOT);
    }
}
