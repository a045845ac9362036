//! Why a table was not read.

use std::fmt;

/// Why a table was not read, in words; the caller adds the path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Damage {
    /// It is not what a writer writes.
    Wrong(String),
    /// It may be, and is larger than is read.
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
