//! Positions in profiles, for errors.

use std::fmt;
use std::path::PathBuf;

use crate::text::{shown, shown_path};

/// A position in a profile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file; `NAME.toml` for a profile that comes with quell.
    pub file: PathBuf,
    /// The line number, starting at 1.
    pub line: usize,
    /// The key on the line.
    pub key: String,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", shown_path(&self.file), self.line, shown(&self.key))
    }
}
