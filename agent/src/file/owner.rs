//! The owner of a file.

use std::fmt;

use nix::unistd::{Uid, User, geteuid};

/// The user that a file belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner(pub Uid);

impl Owner {
    /// Whether it is the effective user of this process.
    #[must_use]
    pub fn is_caller(self) -> bool {
        self.0 == geteuid()
    }

    /// Whether it is the caller or root. Neither of them needs to plant a file to harm the caller.
    #[must_use]
    pub fn is_trusted(self) -> bool {
        self.0.is_root() || self.is_caller()
    }
}

/// Displays `user mallory (uid 1001)`, or `uid 1001` if the user has no name.
impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match User::from_uid(self.0) {
            Ok(Some(user)) => write!(f, "user {} (uid {})", user.name.escape_default(), self.0),
            _ => write!(f, "uid {}", self.0),
        }
    }
}
