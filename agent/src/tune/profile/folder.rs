//! Where profiles are read from.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::bounded::{read_bounded, read_regular};
use crate::host::Root;
use crate::units::Bytes;

/// A profile is no larger than this.
const LIMIT: Bytes = Bytes(1 << 20);

/// A directory of profiles: one that the user named, or one of a host, which in a tree is resolved inside the tree.
#[derive(Clone, Debug)]
pub(super) enum Folder {
    Named(PathBuf),
    Host(Root, String),
}

/// The text of a profile. An error says nothing of what is in the file, which may be no profile.
fn text(bytes: Vec<u8>) -> io::Result<String> {
    String::from_utf8(bytes).map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8 text"))
}

impl Folder {
    /// The text of a file, by a path from the directory, and the file's path for messages.
    pub(super) fn read(&self, name: &str) -> (PathBuf, io::Result<String>) {
        match self {
            Self::Named(directory) => {
                let file = directory.join(name);
                let text = read_regular(&file, LIMIT).and_then(text);
                (file, text)
            }
            Self::Host(root, _) => {
                let file = self.below(name);
                let text = root.open(&file).and_then(|file| read_bounded(&file, LIMIT)).and_then(text);
                (root.display_path(&file), text)
            }
        }
    }

    /// The directory of a file in it, which its includes are relative to.
    pub(super) fn beside(&self, name: &str) -> Self {
        let parent = |path: &Path| path.parent().unwrap_or(Path::new("")).to_owned();
        match self {
            Self::Named(directory) => Self::Named(parent(&directory.join(name))),
            Self::Host(root, _) => {
                Self::Host(root.clone(), parent(Path::new(&self.below(name))).to_string_lossy().into_owned())
            }
        }
    }

    /// The names in it.
    pub(super) fn names(&self) -> Vec<String> {
        match self {
            Self::Named(directory) => {
                let entries = fs::read_dir(directory).into_iter().flatten().flatten();
                entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
            }
            Self::Host(root, directory) => root.list(directory).unwrap_or_default(),
        }
    }

    /// From the host's root.
    fn below(&self, name: &str) -> String {
        match self {
            Self::Host(_, directory) if !name.starts_with('/') => format!("{directory}/{name}"),
            _ => name.to_owned(),
        }
    }
}
