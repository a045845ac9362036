//! The walk to a directory: each component is opened relative to the previous one, and only symbolic links of trusted users are
//! followed.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::path::{Component, Path, PathBuf};

use nix::fcntl::{AT_FDCWD, OFlag, openat, readlinkat};
use nix::sys::stat::{FileStat, Mode, fstat};

use super::entry::owner;
use super::exposure::Exposure;
use super::open::open;
use super::{Entry, FileError, Kind};

/// The maximum number of symbolic links to follow, as in the kernel (MAXSYMLINKS, include/linux/namei.h).
pub(super) const MAX_LINKS: usize = 40;

const DIRECTORY: OFlag = OFlag::O_PATH.union(OFlag::O_DIRECTORY).union(OFlag::O_CLOEXEC);

/// The result of a walk.
pub(super) struct Walked {
    pub(super) descriptor: OwnedFd,
    /// The path, for errors.
    pub(super) path: PathBuf,
    /// The users who can make the same path lead elsewhere. Write permission for the directory itself does not count.
    pub(super) exposure: Exposure,
}

/// Opens the directory `path`, relative to `start` if it is relative; errors show the path given with `start`. A symbolic link
/// is followed only if no other user can have created it or moved it there: a user who moves a link, even one of root, to
/// another name chooses where that name leads.
pub(super) fn walk(start: Option<(OwnedFd, &Path)>, path: &Path) -> Result<Walked, FileError> {
    let (mut current, mut shown) = match start {
        Some((descriptor, shown)) if path.is_relative() => (descriptor, shown.to_owned()),
        _ if path.is_absolute() => (root(path)?, PathBuf::from("/")),
        _ => (start_at(".", path)?, PathBuf::new()),
    };
    let mut exposure = Exposure::default();
    let mut ahead: VecDeque<OsString> = components(path);
    let mut links = 0;
    while let Some(name) = ahead.pop_front() {
        let step = shown.join(&name);
        let failed =
            |errno: nix::errno::Errno| FileError::Io { operation: "open", path: step.clone(), source: errno.into() };
        let directory = fstat(&current).map_err(failed)?;
        exposure.add(Exposure::of(&directory));
        if name == OsStr::new("..") {
            current = openat(&current, "..", DIRECTORY, Mode::empty()).map_err(failed)?;
            shown = step;
            continue;
        }
        let entry = open(&current, &name, OFlag::O_PATH, Mode::empty()).and_then(Entry::of).map_err(failed)?;
        match entry.kind() {
            Kind::Directory => {
                current = entry.into_descriptor();
                shown = step;
            }
            Kind::Link if !entry.owner().is_trusted() => {
                return Err(FileError::ForeignLink { path: step, owner: entry.owner() });
            }
            Kind::Link if !(exposure.is_empty() && is_trusted(&directory)) => {
                return Err(FileError::MovableLink { path: step, owner: entry.owner() });
            }
            Kind::Link => {
                links += 1;
                if links > MAX_LINKS {
                    return Err(FileError::TooManyLinks { path: path.to_owned(), limit: MAX_LINKS });
                }
                let target = target(&entry).map_err(failed)?;
                if target.is_absolute() {
                    (current, shown) = (root(&target)?, PathBuf::from("/"));
                }
                for component in components(&target).into_iter().rev() {
                    ahead.push_front(component);
                }
            }
            _ => return Err(failed(nix::errno::Errno::ENOTDIR)),
        }
    }
    if shown.as_os_str().is_empty() {
        shown.push(".");
    }
    Ok(Walked { descriptor: current, path: shown, exposure })
}

/// Whether only root and the caller can write to a directory.
pub(super) fn is_trusted(directory: &FileStat) -> bool {
    owner(directory).is_trusted() && directory.st_mode & 0o022 == 0
}

/// The target of a symbolic link, read from its descriptor, so that it is the link whose owner was checked.
pub(super) fn target(link: &Entry) -> nix::Result<PathBuf> {
    // An empty path refers to the descriptor itself since Linux 2.6.39 (readlinkat(2)).
    Ok(PathBuf::from(readlinkat(link.descriptor(), "")?))
}

fn components(path: &Path) -> VecDeque<OsString> {
    let name = |component: Component<'_>| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some(OsString::from("..")),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    };
    path.components().filter_map(name).collect()
}

fn root(path: &Path) -> Result<OwnedFd, FileError> {
    start_at("/", path)
}

fn start_at(directory: &str, path: &Path) -> Result<OwnedFd, FileError> {
    let opened = openat(AT_FDCWD, directory, DIRECTORY, Mode::empty());
    opened.map_err(|errno| FileError::Io { operation: "open", path: path.to_owned(), source: errno.into() })
}
