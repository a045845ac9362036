//! A file, pipe or device to which a report is written.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use nix::fcntl::{AtFlags, OFlag};
use nix::unistd::{AccessFlags, faccessat};

use super::replacement::Placed;
use super::stream::Stream;
use super::{Directory, Entry, FileError, Kind, Place, Replacement};
use crate::sys::inherited::duplicate_writable;

/// The time to wait for the reader of a FIFO, since a shell starts writer and reader at the same time.
const READER_PATIENCE: Duration = Duration::from_secs(1);
const READER_PAUSE: Duration = Duration::from_millis(5);

/// The output of a report: checked before a capture begins, and again when it is written.
#[derive(Debug)]
pub struct OutputFile {
    to: To,
}

#[derive(Debug)]
enum To {
    File(Place),
    /// A FIFO or device.
    Stream(Place),
    Descriptor {
        file: File,
        path: PathBuf,
    },
}

/// A written report.
#[derive(Debug, Default)]
pub struct WrittenFile {
    /// The actual name and the reason, if the report could not get the requested name.
    beside: Option<(OsString, FileError)>,
}

impl OutputFile {
    /// Opens the directory of `path` and checks whether a report may be written there. `/dev/stdout`, `/dev/fd/N` and
    /// `/proc/self/fd/N` are inherited descriptors, which are duplicated.
    ///
    /// # Errors
    /// A report may not be written there, as far as this can be checked.
    pub fn open(path: &Path) -> Result<Self, FileError> {
        if let Some(number) = descriptor_of(path) {
            return Ok(Self { to: To::Descriptor { file: duplicate(number)?, path: path.to_owned() } });
        }
        let place = Place::open(path)?;
        match place.occupant()?.map(|entry| (entry.kind(), entry)) {
            None | Some((Kind::File, _)) => {
                place.directory().check_writable()?;
                Ok(Self { to: To::File(place) })
            }
            Some((Kind::Fifo | Kind::CharacterDevice, _)) => {
                faccessat(place.directory(), place.name(), AccessFlags::W_OK, AtFlags::empty())
                    .map_err(|errno| FileError::NotWritable { path: place.path(), source: errno.into() })?;
                Ok(Self { to: To::Stream(place) })
            }
            Some((_, entry)) => Err(place.unsuitable(&entry)),
        }
    }

    /// The current path of the file if its directory was moved since it was opened.
    #[must_use]
    pub fn moved_to(&self) -> Option<PathBuf> {
        match &self.to {
            To::File(place) | To::Stream(place) => place.directory().moved_to().map(|path| path.join(place.name())),
            To::Descriptor { .. } => None,
        }
    }

    /// Whether the output can be overwritten afterwards: it is a regular file.
    #[must_use]
    pub fn is_replaceable(&self) -> bool {
        matches!(self.to, To::File(_))
    }

    /// Writes the report. A file replaces an existing one when it is complete; pipes and devices are written directly. If the
    /// path of a file is no longer available, it gets another name in the same directory, see [`WrittenFile::in_place`].
    ///
    /// # Errors
    /// The errors of `write_contents`, and of writing. An existing file is then unchanged.
    pub fn write<E: From<FileError> + From<std::io::Error>>(
        &self,
        write_contents: impl FnOnce(&mut dyn Write) -> Result<(), E>,
    ) -> Result<WrittenFile, E> {
        match &self.to {
            To::Descriptor { file, path } => {
                write_stream(Stream { file: file.try_clone()?, path: path.clone() }, write_contents)?;
            }
            To::Stream(place) => match place.occupant()? {
                Some(entry) if matches!(entry.kind(), Kind::Fifo | Kind::CharacterDevice) => {
                    let file = open_stream(place, &entry)?;
                    write_stream(Stream { file, path: place.path() }, write_contents)?;
                }
                _ => return Err(FileError::Exchanged { path: place.path() }.into()),
            },
            To::File(place) => {
                let replacement = write_replacement(place.directory(), place.name(), write_contents)?;
                return Ok(match check_place(place) {
                    Ok(()) => {
                        replacement.keep_permissions()?;
                        replacement.commit_or_keep()?
                    }
                    Err(reason) => replacement.keep(reason)?,
                }
                .into());
            }
        }
        Ok(WrittenFile::default())
    }

    /// Overwrites the report.
    ///
    /// # Errors
    /// The errors of [`write`](Self::write). The previous report is then unchanged.
    pub fn write_again<E: From<FileError> + From<std::io::Error>>(
        &self,
        before: WrittenFile,
        write_contents: impl FnOnce(&mut dyn Write) -> Result<(), E>,
    ) -> Result<WrittenFile, E> {
        match (&self.to, before.beside) {
            (To::File(place), Some((name, reason))) => {
                write_replacement(place.directory(), &name, write_contents)?.commit()?;
                Ok(WrittenFile { beside: Some((name, reason)) })
            }
            _ => self.write(write_contents),
        }
    }

    /// The path of another name in the same directory, and the requested path.
    fn beside(&self, name: &OsStr) -> (PathBuf, PathBuf) {
        match &self.to {
            To::File(place) | To::Stream(place) => (place.directory().path_of(name), place.path()),
            To::Descriptor { path, .. } => (path.clone(), path.clone()),
        }
    }
}

impl WrittenFile {
    /// Checks that the report has the requested name.
    ///
    /// # Errors
    /// [`FileError::Kept`] with the actual name, if it has another one.
    pub fn in_place(self, output: &OutputFile) -> Result<(), FileError> {
        let Some((name, reason)) = self.beside else { return Ok(()) };
        let (kept, path) = output.beside(&name);
        Err(FileError::Kept { kept, path, source: Box::new(reason) })
    }
}

impl From<Placed> for WrittenFile {
    fn from(placed: Placed) -> Self {
        match placed {
            Placed::InPlace => Self::default(),
            Placed::Beside { name, reason } => Self { beside: Some((name, reason)) },
        }
    }
}

/// Checks that a file may still be written there.
fn check_place(place: &Place) -> Result<(), FileError> {
    match place.occupant()? {
        Some(entry) if entry.kind() != Kind::File => Err(place.unsuitable(&entry)),
        _ => Ok(()),
    }
}

fn write_replacement<'a, E: From<FileError> + From<std::io::Error>>(
    directory: &'a Directory,
    name: &OsStr,
    write_contents: impl FnOnce(&mut dyn Write) -> Result<(), E>,
) -> Result<Replacement<'a>, E> {
    let replacement = Replacement::create(directory, name)?;
    let mut out = BufWriter::new(replacement.file());
    write_contents(&mut out)?;
    out.flush()?;
    drop(out);
    Ok(replacement)
}

fn write_stream<E: From<FileError> + From<std::io::Error>>(
    stream: Stream,
    write_contents: impl FnOnce(&mut dyn Write) -> Result<(), E>,
) -> Result<(), E> {
    let mut out = BufWriter::new(stream);
    write_contents(&mut out)?;
    Ok(out.flush()?)
}

/// Opens the file that was checked: the name may refer to another file by now.
fn open_stream(place: &Place, entry: &Entry) -> Result<File, FileError> {
    let begin = Instant::now();
    let file = loop {
        match place.directory().open_with(place.name(), OFlag::O_WRONLY) {
            // No process has the FIFO open for reading (fifo(7)).
            Err(FileError::Io { source, .. }) if source.raw_os_error() == Some(libc::ENXIO) => {
                if begin.elapsed() > READER_PATIENCE {
                    return Err(FileError::NoReader { path: place.path() });
                }
                thread::sleep(READER_PAUSE);
            }
            file => break file?,
        }
    };
    if entry.is_same_as(&file) { Ok(file) } else { Err(FileError::Exchanged { path: place.path() }) }
}

/// The number of the descriptor of this process that a path refers to.
fn descriptor_of(path: &Path) -> Option<i32> {
    match path.to_str()? {
        "/dev/stdout" => return Some(1),
        "/dev/stderr" => return Some(2),
        _ => {}
    }
    let own = format!("/proc/{}/fd", std::process::id());
    let folder = path.parent()?;
    let is_own =
        ["/dev/fd", "/proc/self/fd", "/proc/thread-self/fd", &own].iter().any(|known| folder == Path::new(known));
    path.file_name().filter(|_| is_own)?.to_str()?.parse().ok().filter(|number| *number >= 0)
}

/// Duplicates a descriptor; the duplicate shares its file position. Opening the path again would require permissions that this
/// process may lack, and not every pipe can be opened.
fn duplicate(number: i32) -> Result<File, FileError> {
    let copy = duplicate_writable(number).map_err(|source| FileError::Io {
        operation: "duplicate",
        path: PathBuf::from(format!("/dev/fd/{number}")),
        source,
    })?;
    copy.map(File::from).ok_or(FileError::Descriptor { number })
}
