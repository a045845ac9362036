//! Putting a directory in its place when it is whole, so that a kill at any moment leaves a whole one or none.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};

use super::{META_FILE, RecordingError};

/// A directory under a hidden temporary name beside its final one. Dropped before [`Staging::publish`], it is removed.
pub(super) struct Staging {
    temporary: PathBuf,
    destination: PathBuf,
}

impl Staging {
    /// Creates the temporary directory for `destination`, which must be free or hold a recording.
    pub(super) fn new(destination: &Path) -> Result<Self, RecordingError> {
        // An existing name may be a link to a recording elsewhere: that one is replaced, not the link.
        let destination = match destination.canonicalize() {
            Ok(real) if is_recording(&real) => real,
            Ok(_) => return Err(RecordingError::Occupied { path: destination.to_owned() }),
            Err(_) => destination.to_owned(),
        };
        let temporary = hidden_sibling(&destination, "tmp")?;
        let failed = |source| RecordingError::Write { path: destination.clone(), source };
        remove(&temporary).map_err(failed)?;
        fs::create_dir(&temporary).map_err(failed)?;
        Ok(Self { temporary, destination })
    }

    /// Where the files go.
    pub(super) fn dir(&self) -> &Path {
        &self.temporary
    }

    /// Renames the directory to its final name. Its files must be synced already.
    pub(super) fn publish(self) -> Result<(), RecordingError> {
        self.rename().map_err(|source| RecordingError::Write { path: self.destination.clone(), source })
        // Dropping `self` removes what the temporary name now holds: an older recording, or nothing.
    }

    fn rename(&self) -> io::Result<()> {
        File::open(&self.temporary)?.sync_all()?;
        // Linux 3.15. EEXIST where there is something to replace; EINVAL where the file system cannot do it.
        match self.rename_with(RenameFlags::RENAME_NOREPLACE) {
            Err(Errno::EEXIST) => match self.rename_with(RenameFlags::RENAME_EXCHANGE) {
                Err(Errno::EINVAL | Errno::ENOSYS) => self.rename_around()?,
                result => result?,
            },
            Err(Errno::EINVAL | Errno::ENOSYS) if self.destination.exists() => self.rename_around()?,
            Err(Errno::EINVAL | Errno::ENOSYS) => fs::rename(&self.temporary, &self.destination)?,
            result => result?,
        }
        let parent = self.destination.parent().filter(|parent| !parent.as_os_str().is_empty());
        File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
    }

    fn rename_with(&self, flags: RenameFlags) -> nix::Result<()> {
        renameat2(AT_FDCWD, &self.temporary, AT_FDCWD, &self.destination, flags)
    }

    /// Without an atomic exchange: for a moment neither stands under the name, but both are whole.
    fn rename_around(&self) -> io::Result<()> {
        let aside = hidden_sibling(&self.destination, "old").map_err(io::Error::other)?;
        remove(&aside)?;
        fs::rename(&self.destination, &aside)?;
        if let Err(error) = fs::rename(&self.temporary, &self.destination) {
            fs::rename(&aside, &self.destination)?;
            return Err(error);
        }
        remove(&aside)
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        if let Err(error) = remove(&self.temporary) {
            tracing::warn!("could not remove {}: {error}", self.temporary.display());
        }
    }
}

/// Whether `dir` holds what [`super::write()`] writes.
pub(super) fn is_recording(dir: &Path) -> bool {
    #[derive(serde::Deserialize)]
    struct Marks {
        #[expect(dead_code, reason = "its presence is what counts")]
        schema: u32,
        #[expect(dead_code, reason = "its presence is what counts")]
        quell: String,
    }
    fs::read(dir.join(META_FILE)).is_ok_and(|meta| serde_json::from_slice::<Marks>(&meta).is_ok())
}

fn hidden_sibling(path: &Path, ending: &str) -> Result<PathBuf, RecordingError> {
    let name = path.file_name().ok_or_else(|| RecordingError::BadName { path: path.to_owned() })?;
    let mut hidden = OsString::from(".");
    hidden.push(name);
    hidden.push(format!(".{}.{ending}", std::process::id()));
    Ok(path.with_file_name(hidden))
}

fn remove(dir: &Path) -> io::Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
