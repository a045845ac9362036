//! Where a host's files are: below `/`, or below a directory that stands for a host.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::unistd::{AccessFlags, access};

/// The directory that a host's absolute paths start from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Root(PathBuf);

impl Root {
    /// This host.
    #[must_use]
    pub fn host() -> Self {
        Self(PathBuf::from("/"))
    }

    /// A tree that stands for a host.
    ///
    /// # Errors
    /// It is no directory, or cannot be looked at.
    pub fn at(directory: &Path) -> io::Result<Self> {
        // Listed, since a path that exists may still be a file.
        fs::read_dir(directory)?;
        Ok(Self(directory.to_owned()))
    }

    /// Whether it is this host: only then there are system calls behind the files.
    #[must_use]
    pub fn is_host(&self) -> bool {
        self.0 == Path::new("/")
    }

    /// Whether systemd is its first process (sd_booted(3)).
    #[must_use]
    pub fn runs_systemd(&self) -> bool {
        self.has("/run/systemd/system")
    }

    /// Where an absolute path of the host is.
    #[must_use]
    pub fn path(&self, absolute: &str) -> PathBuf {
        self.0.join(absolute.trim_start_matches('/'))
    }

    /// The text of a file, without white space at its end.
    ///
    /// # Errors
    /// Those of reading, and of text that is not UTF-8.
    pub fn read(&self, absolute: &str) -> io::Result<String> {
        let mut text = fs::read_to_string(self.path(absolute))?;
        text.truncate(text.trim_end().len());
        Ok(text)
    }

    /// The bytes of a file: names of threads and paths in `/proc` need not be UTF-8.
    ///
    /// # Errors
    /// Those of reading.
    pub fn read_bytes(&self, absolute: &str) -> io::Result<Vec<u8>> {
        fs::read(self.path(absolute))
    }

    /// What a symbolic link says.
    ///
    /// # Errors
    /// Those of readlink(2).
    pub fn read_link(&self, absolute: &str) -> io::Result<PathBuf> {
        fs::read_link(self.path(absolute))
    }

    /// Writes to a file that exists, in one `write(2)`: what sysfs and procfs take for one value. A kernel does not see a write of
    /// nothing (proc_sys_call_handler, fs/proc/proc_sysctl.c): it gets an empty line.
    ///
    /// # Errors
    /// Those of opening and writing; a kernel's refusal is the error of the write.
    pub fn write(&self, absolute: &str, text: &str) -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).truncate(true).open(self.path(absolute))?;
        let text = if text.is_empty() && self.is_host() { "\n" } else { text };
        match file.write(text.as_bytes())? {
            written if written == text.len() => Ok(()),
            written => Err(io::Error::other(format!("only {written} of {} bytes were taken", text.len()))),
        }
    }

    /// The names in a directory, sorted; none where there is no such directory.
    ///
    /// # Errors
    /// Those of listing.
    pub fn list(&self, absolute: &str) -> io::Result<Vec<String>> {
        let entries = match fs::read_dir(self.path(absolute)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut names = Vec::new();
        for entry in entries {
            names.push(entry?.file_name().to_string_lossy().into_owned());
        }
        names.sort();
        Ok(names)
    }

    /// Whether a path is on a file system that is mounted read-only, which stops root too.
    #[must_use]
    pub fn is_read_only(&self, absolute: &str) -> bool {
        // access(2) says so before it looks at modes (sb_permission, fs/namei.c).
        access(&self.path(absolute), AccessFlags::W_OK) == Err(Errno::EROFS)
    }

    /// Whether there is something at a path.
    #[must_use]
    pub fn has(&self, absolute: &str) -> bool {
        self.path(absolute).exists()
    }

    /// The last part of what a symbolic link points to, as sysfs names a device's driver.
    #[must_use]
    pub fn link_name(&self, absolute: &str) -> Option<String> {
        let target = fs::read_link(self.path(absolute)).ok()?;
        Some(target.file_name()?.to_string_lossy().into_owned())
    }
}
