//! The reason why a table was not read.

use std::fmt;

/// The reason why a table was not read, as text. The caller adds the path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Damage {
    /// The table is damaged or was not written by quell.
    Wrong(String),
    /// The table may be valid, but exceeds a limit.
    Limit(String),
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Wrong(why) | Self::Limit(why)) = self;
        f.write_str(why)
    }
}

impl From<String> for Damage {
    fn from(why: String) -> Self {
        Self::Wrong(why)
    }
}

impl From<&str> for Damage {
    fn from(why: &str) -> Self {
        Self::Wrong(why.to_owned())
    }
}
