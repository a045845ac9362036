//! Where results go: checked before a capture begins, and written whole or not at all.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::file::{Directory, FileError, OutputFile, WrittenFile};
use crate::profile::Profile;
use crate::recording::Recording;
use crate::recording::{self, Destination, RecordingError};
use crate::report::{self, FORMATS, Format, ReportError};

/// A place for a result, and the form it is written in.
#[derive(Clone, Debug)]
pub struct Output {
    place: Place,
    form: Form,
}

/// Opened when the output is checked: what is written later goes to the directory that was looked at.
#[derive(Clone, Debug)]
enum Place {
    Stdout,
    File { path: PathBuf, file: Arc<OutputFile> },
    Recording { path: PathBuf, destination: Arc<Destination> },
}

/// What is written.
#[derive(Clone, Copy)]
pub enum Form {
    /// A profile, drawn.
    Report(&'static Format),
    /// The recording itself, a directory.
    Recording,
}

impl std::fmt::Debug for Form {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl PartialEq for Form {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name()
    }
}

impl Eq for Form {}

impl Form {
    /// As `--format` names it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Report(format) => format.name,
            Self::Recording => "recording",
        }
    }
}

/// Why a result cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum OutputError {
    /// The path does not tell the format.
    #[error("the extension of {} is not one of a known format\nhint: use one of {known}, or --format", path.display())]
    UnknownEnding {
        /// The path.
        path: PathBuf,
        /// Endings that tell.
        known: String,
    },
    /// There is no such format.
    #[error("unknown format `{name}`\nhint: use one of {known}")]
    UnknownFormat {
        /// What was asked for.
        name: String,
        /// What there is.
        known: String,
    },
    /// Standard output has no ending.
    #[error("-o - requires --format\nhint: use one of {known}")]
    StdoutFormat {
        /// Formats.
        known: String,
    },
    /// A directory does not go through a pipe.
    #[error(
        "a recording is a directory and cannot be written to standard output\nhint: use a path that ends in .quell"
    )]
    StdoutRecording,
    /// Nothing may be written there.
    #[error(transparent)]
    File(#[from] FileError),
    /// Writing failed; nothing is left behind.
    #[error("could not write {}", path.display())]
    Failed {
        /// The path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Drawing failed; nothing is left behind.
    #[error("could not write {}", path.display())]
    Report {
        /// The path.
        path: PathBuf,
        /// Why.
        source: ReportError,
    },
    /// Standard output failed.
    #[error(transparent)]
    Stdout(ReportError),
    /// Writing a recording failed.
    #[error(transparent)]
    Recording(#[from] RecordingError),
}

impl Output {
    /// From what `-o` and `--format` say, `-` for standard output. Also checks that the path can be written as far as
    /// that can be told beforehand, so that a capture is not made for nothing.
    ///
    /// # Errors
    /// The format is not known or not told, or the path cannot be written.
    pub fn new(path: &Path, format: Option<&str>) -> Result<Self, OutputError> {
        Self::among(FORMATS, path, format)
    }

    /// What is written.
    #[must_use]
    pub fn form(&self) -> Form {
        self.form
    }

    /// Where to; `None` for standard output.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        match &self.place {
            Place::Stdout => None,
            Place::File { path, .. } | Place::Recording { path, .. } => Some(path),
        }
    }

    /// Whether it can be written twice, the second in the place of the first: a pipe or a device cannot.
    #[must_use]
    pub fn is_replaceable(&self) -> bool {
        match &self.place {
            Place::Stdout => false,
            Place::File { file, .. } => file.is_replaceable(),
            Place::Recording { .. } => true,
        }
    }

    /// Writes a capture whose code has no names yet. What is written may have another name than it should have; that is told by
    /// [`write_named`](Self::write_named).
    ///
    /// # Errors
    /// Those of [`Output::write`], but [`FileError::Kept`].
    pub fn write_unnamed(&self, recording: &Recording, profile: &Profile) -> Result<Unnamed, OutputError> {
        Ok(match (&self.place, self.form) {
            (Place::Recording { destination, .. }, _) => {
                Unnamed::Recording(Box::new(recording::write_to(recording, destination)?))
            }
            (Place::File { path, file }, Form::Report(format)) => {
                Unnamed::File(file.write(|out| draw(format, profile, out)).map_err(|stopped| stopped.at(path))?)
            }
            _ => return Err(OutputError::StdoutRecording),
        })
    }

    /// Writes it again, in the same place, now that it has names.
    ///
    /// # Errors
    /// Those of [`Output::write`]; what was written without names stays then.
    pub fn write_named(&self, unnamed: Unnamed, recording: &Recording, profile: &Profile) -> Result<(), OutputError> {
        match (&self.place, unnamed, self.form) {
            (Place::Recording { destination, .. }, Unnamed::Recording(written), _) => {
                written.write_named(recording, destination)?.in_place(destination)?;
                Ok(())
            }
            (Place::File { path, file }, Unnamed::File(written), Form::Report(format)) => {
                let written = file.write_again(written, |out| draw(format, profile, out));
                Ok(written.map_err(|stopped| stopped.at(path))?.in_place(file)?)
            }
            _ => self.write(recording, profile, &mut io::sink()),
        }
    }

    /// Writes the profile, or for [`Form::Recording`] the recording. A file is written under another name in the same
    /// directory and renamed when it is whole. `stdout` is where `-o -` goes.
    ///
    /// # Errors
    /// Writing fails; then there is nothing new at the path, and what was there is as it was. Where it is only the path that cannot
    /// be had any more, what was written has another name in the same directory, and the error ([`FileError::Kept`],
    /// [`RecordingError::Kept`]) tells it.
    pub fn write(&self, recording: &Recording, profile: &Profile, stdout: &mut dyn Write) -> Result<(), OutputError> {
        match (&self.place, self.form) {
            (Place::Stdout, Form::Report(format)) => {
                format.sink.write(profile, stdout).map_err(OutputError::Stdout)?;
                stdout.flush().map_err(|error| OutputError::Stdout(error.into()))
            }
            (Place::Stdout, Form::Recording) => Err(OutputError::StdoutRecording),
            (Place::File { path, file }, Form::Report(format)) => {
                write_report(file, path, |out| format.sink.write(profile, out))
            }
            (Place::Recording { destination, .. }, Form::Recording) => {
                recording::write_to(recording, destination)?.in_place(destination)?;
                Ok(())
            }
            // `among` pairs them.
            (Place::File { .. }, Form::Recording) | (Place::Recording { .. }, Form::Report(_)) => unreachable!(),
        }
    }

    /// A recording in a directory of the caller's own, for a capture that has no other place any more.
    ///
    /// # Errors
    /// No random number is to be had for its name.
    pub fn recording_in(directory: Directory) -> Result<Self, OutputError> {
        let destination = Destination::new_in(directory)?;
        let path = destination.path().to_owned();
        Ok(Self { place: Place::Recording { path, destination: Arc::new(destination) }, form: Form::Recording })
    }

    fn among(formats: &'static [Format], path: &Path, format: Option<&str>) -> Result<Self, OutputError> {
        let form = match format {
            Some("recording") => Some(Form::Recording),
            Some(name) => {
                let format = formats.iter().find(|format| format.name == name);
                Some(Form::Report(
                    format
                        .ok_or_else(|| OutputError::UnknownFormat { name: name.to_owned(), known: names(formats) })?,
                ))
            }
            None if path.extension().is_some_and(|ending| ending == recording::ENDING) => Some(Form::Recording),
            None => report::format_among(formats, path).map(Form::Report),
        };
        if path == Path::new("-") {
            return match form {
                Some(Form::Recording) => Err(OutputError::StdoutRecording),
                Some(form) => Ok(Self { place: Place::Stdout, form }),
                None => Err(OutputError::StdoutFormat { known: drawn(formats).join(", ") }),
            };
        }
        let form = form.ok_or_else(|| OutputError::UnknownEnding { path: path.to_owned(), known: endings(formats) })?;
        let place = match form {
            Form::Report(_) => Place::File { path: path.to_owned(), file: Arc::new(OutputFile::open(path)?) },
            Form::Recording => {
                Place::Recording { path: path.to_owned(), destination: Arc::new(Destination::open(path)?) }
            }
        };
        Ok(Self { place, form })
    }
}

/// What [`Output::write_unnamed`] has written.
#[derive(Debug)]
pub enum Unnamed {
    /// A report.
    File(WrittenFile),
    /// A recording.
    Recording(Box<recording::Written>),
}

impl OutputError {
    /// Whether the result was written all the same, under another name.
    #[must_use]
    pub fn is_kept(&self) -> bool {
        matches!(self, Self::File(FileError::Kept { .. }) | Self::Recording(RecordingError::Kept { .. }))
    }
}

/// Formats that a profile is drawn in: all but the recording itself.
fn drawn(formats: &[Format]) -> Vec<&'static str> {
    formats.iter().map(|format| format.name).collect()
}

fn names(formats: &[Format]) -> String {
    [drawn(formats), vec!["recording"]].concat().join(", ")
}

fn endings(formats: &[Format]) -> String {
    let endings = formats.iter().flat_map(|format| format.endings).copied();
    endings.chain([recording::ENDING]).map(|ending| format!(".{ending}")).collect::<Vec<_>>().join(", ")
}

/// What stops the drawing of a report: the format, or the file.
enum Stopped {
    Format(ReportError),
    File(FileError),
}

impl From<FileError> for Stopped {
    fn from(error: FileError) -> Self {
        Self::File(error)
    }
}

impl From<io::Error> for Stopped {
    fn from(error: io::Error) -> Self {
        Self::Format(ReportError::Io(error))
    }
}

impl Stopped {
    fn at(self, path: &Path) -> OutputError {
        match self {
            Self::Format(ReportError::Io(source)) => OutputError::Failed { path: path.to_owned(), source },
            Self::Format(source) => OutputError::Report { path: path.to_owned(), source },
            Self::File(error) => OutputError::File(error),
        }
    }
}

fn draw(format: &Format, profile: &Profile, out: &mut dyn Write) -> Result<(), Stopped> {
    format.sink.write(profile, out).map_err(Stopped::Format)
}

fn write_report(
    file: &OutputFile,
    path: &Path,
    draw: impl FnOnce(&mut dyn Write) -> Result<(), ReportError>,
) -> Result<(), OutputError> {
    let written = file.write(|out| draw(out).map_err(Stopped::Format)).map_err(|stopped| stopped.at(path))?;
    Ok(written.in_place(file)?)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::report::Sink;

    struct Fixed;

    impl Sink for Fixed {
        fn write(&self, _: &Profile, out: &mut dyn Write) -> Result<(), ReportError> {
            Ok(out.write_all(b"whole")?)
        }
    }

    static TABLE: &[Format] = &[
        Format { name: "svg", endings: &["svg"], doc: "", sink: &Fixed },
        Format { name: "speedscope", endings: &["speedscope.json", "json"], doc: "", sink: &Fixed },
    ];

    fn output(path: &Path, format: Option<&str>) -> Result<Output, OutputError> {
        Output::among(TABLE, path, format)
    }

    fn names_in(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).expect("a folder");
        entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn the_ending_tells_the_format_and_an_explicit_one_outranks_it() {
        let folder = tempfile::tempdir().expect("a folder");
        for (name, format, form) in [
            ("a.svg", None, "svg"),
            ("a.speedscope.json", None, "speedscope"),
            ("a.svg", Some("speedscope"), "speedscope"),
            ("a.quell", None, "recording"),
        ] {
            let output = output(&folder.path().join(name), format).expect(name);
            assert_eq!(output.form().name(), form, "{name}");
        }
    }

    #[test]
    fn what_cannot_be_written_is_refused_beforehand_with_what_can() {
        let folder = tempfile::tempdir().expect("a folder");
        let message = |name: &str, format| {
            let path = if name == "-" { PathBuf::from("-") } else { folder.path().join(name) };
            output(&path, format).expect_err(name).to_string()
        };
        assert!(message("a.xyz", None).contains(".svg, .speedscope.json, .json, .quell"));
        assert!(message("a.svg", Some("pdf")).contains("svg, speedscope, recording"));
        assert!(message("-", None).contains("--format"));
        assert!(message("-", Some("recording")).contains("directory"));
        assert!(message("absent/a.svg", None).contains("absent"));
        fs::create_dir(folder.path().join("b.svg")).expect("a folder");
        assert!(message("b.svg", None).contains("b.svg is a directory of"));
    }

    fn write_whole(
        path: &Path,
        draw: impl FnOnce(&mut dyn Write) -> Result<(), ReportError>,
    ) -> Result<(), OutputError> {
        write_report(&OutputFile::open(path)?, path, draw)
    }

    #[test]
    fn a_file_appears_when_it_is_whole() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.svg");
        write_whole(&path, |out| {
            out.write_all(b"whole")?;
            assert!(!path.exists());
            Ok(())
        })
        .expect("a written file");
        assert_eq!(fs::read(&path).expect("a file"), b"whole");
        assert_eq!(names_in(folder.path()), ["a.svg"]);
    }

    #[test]
    fn a_failure_leaves_what_was_there_and_nothing_else() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.svg");
        fs::write(&path, "before").expect("a file");
        let error = write_whole(&path, |out| {
            out.write_all(b"half")?;
            Err(io::Error::from_raw_os_error(libc::ENOSPC).into())
        })
        .expect_err("a full disk");
        assert!(error.to_string().contains("a.svg"), "{error}");
        assert_eq!(fs::read(&path).expect("a file"), b"before");
        assert_eq!(names_in(folder.path()), ["a.svg"]);
    }

    #[test]
    fn a_device_is_written_and_stays_a_device() {
        write_whole(Path::new("/dev/null"), |out| Ok(out.write_all(b"gone")?)).expect("the null device");
        assert!(!fs::metadata("/dev/null").expect("the null device").is_file());
        let error = write_whole(Path::new("/dev/full"), |out| Ok(out.write_all(b"gone")?)).expect_err("a full device");
        assert!(error.to_string().contains("/dev/full"), "{error}");
    }
}
