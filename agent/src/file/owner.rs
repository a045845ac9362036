//! Who owns a file.

use std::fmt;

use nix::unistd::{Uid, User, geteuid};

/// The user that a file belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner(pub Uid);

impl Owner {
    /// Whether it is the user that this process acts as.
    #[must_use]
    pub fn is_caller(self) -> bool {
        self.0 == geteuid()
    }

    /// Whether it is the caller or root: neither needs a planted file to harm the caller.
    #[must_use]
    pub fn is_trusted(self) -> bool {
        self.0.is_root() || self.is_caller()
    }
}

/// `user mallory (uid 1001)`; the number alone where it has no name.
impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match User::from_uid(self.0) {
            Ok(Some(user)) => write!(f, "user {} (uid {})", user.name.escape_default(), self.0),
            _ => write!(f, "uid {}", self.0),
        }
    }
}
