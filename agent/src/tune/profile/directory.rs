//! Directories of profiles.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::bounded::{read_bounded, read_regular};
use crate::host::Root;
use crate::units::Bytes;

/// The maximum size of a profile.
const MAX_SIZE: Bytes = Bytes(1 << 20);

/// A directory of profiles: either one that the user named, or one of a host. A directory of a host is resolved inside its
/// tree.
#[derive(Clone, Debug)]
pub(super) enum ProfileDirectory {
    /// A path that the user named.
    Named(PathBuf),
    /// A path from the root of a host.
    Host(Root, String),
}

/// Converts the text of a profile to UTF-8. The error does not quote the file, which may not be a profile.
fn utf8(bytes: Vec<u8>) -> io::Result<String> {
    String::from_utf8(bytes).map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8 text"))
}

fn parent(path: &Path) -> PathBuf {
    path.parent().unwrap_or(Path::new("")).to_owned()
}

/// Whether the name of a profile is a path.
pub(in crate::tune) fn is_path(name: &str) -> bool {
    name.contains('/') || name.ends_with(".toml")
}

impl ProfileDirectory {
    /// The path of a file in the directory, for messages, and the text of the file.
    pub(super) fn read(&self, name: &str) -> (PathBuf, io::Result<String>) {
        match self {
            Self::Named(directory) => {
                let file = directory.join(name);
                let text = read_regular(&file, MAX_SIZE).and_then(utf8);
                (file, text)
            }
            Self::Host(root, _) => {
                let file = self.path_of(name);
                let text = root.open(&file).and_then(|file| read_bounded(&file, MAX_SIZE)).and_then(utf8);
                (root.display_path(&file), text)
            }
        }
    }

    /// The parent directory of a file in this directory. Included paths are relative to it.
    pub(super) fn parent_of(&self, name: &str) -> Self {
        match self {
            Self::Named(directory) => Self::Named(parent(&directory.join(name))),
            Self::Host(root, _) => {
                Self::Host(root.clone(), parent(Path::new(&self.path_of(name))).to_string_lossy().into_owned())
            }
        }
    }

    /// The names of the files in the directory.
    pub(super) fn names(&self) -> Vec<String> {
        match self {
            Self::Named(directory) => {
                let entries = fs::read_dir(directory).into_iter().flatten().flatten();
                entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
            }
            Self::Host(root, directory) => root.list(directory).unwrap_or_default(),
        }
    }

    /// The path of a file, from the root of the host.
    fn path_of(&self, name: &str) -> String {
        match self {
            Self::Host(_, directory) if !name.starts_with('/') => format!("{directory}/{name}"),
            _ => name.to_owned(),
        }
    }
}
