//! Outputs: checked before a capture begins, and written completely or not at all.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::file::{Directory, FileError, OutputFile, WrittenFile};
use crate::profile::Profile;
use crate::recording::Recording;
use crate::recording::{self, Destination, RecordingError};
use crate::report::{self, FORMATS, Format, ReportError};

/// An output: its path and its format.
#[derive(Clone, Debug)]
pub struct Output {
    place: Place,
    form: Form,
}

/// Opened when the output is checked, so that it is written to the directory that was checked.
#[derive(Clone, Debug)]
enum Place {
    Stdout,
    File { path: PathBuf, file: Arc<OutputFile> },
    Recording { path: PathBuf, destination: Arc<Destination> },
}

/// The form of an output.
#[derive(Clone, Copy)]
pub enum Form {
    /// A report in this format.
    Report(&'static Format),
    /// The recording, which is a directory.
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
    /// The name, for `--format`.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Report(format) => format.name,
            Self::Recording => "recording",
        }
    }
}

/// The reason why an output cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum OutputError {
    /// The path has no known file extension.
    #[error("the extension of {} is not one of a known format\nhint: use one of {known}, or --format", path.display())]
    UnknownEnding {
        /// The path of the output.
        path: PathBuf,
        /// The known file extensions.
        known: String,
    },
    /// The format is unknown.
    #[error("unknown format `{name}`\nhint: use one of {known}")]
    UnknownFormat {
        /// The unknown name.
        name: String,
        /// The known names.
        known: String,
    },
    /// Standard output has no file extension.
    #[error("-o - requires --format\nhint: use one of {known}")]
    StdoutFormat {
        /// The known names.
        known: String,
    },
    /// A directory cannot be written to standard output.
    #[error(
        "a recording is a directory and cannot be written to standard output\nhint: use a path that ends in .quell"
    )]
    StdoutRecording,
    /// The path may not be written.
    #[error(transparent)]
    File(#[from] FileError),
    /// Writing failed; nothing is left behind.
    #[error("could not write {}", path.display())]
    Failed {
        /// The path of the output.
        path: PathBuf,
        /// The error of the system call.
        source: io::Error,
    },
    /// The report could not be made; nothing is left behind.
    #[error("could not write {}", path.display())]
    Report {
        /// The path of the output.
        path: PathBuf,
        /// The error of the format.
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
    /// An output from `-o` and `--format`; `-` is standard output. Also checks, as far as possible, that the path can be written, so
    /// that a capture is not lost.
    ///
    /// # Errors
    /// The format is unknown or missing, or the path cannot be written.
    pub fn new(path: &Path, format: Option<&str>) -> Result<Self, OutputError> {
        Self::among(FORMATS, path, format)
    }

    /// The form of an output.
    #[must_use]
    pub fn form(&self) -> Form {
        self.form
    }

    /// The path; `None` for standard output.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        match &self.place {
            Place::Stdout => None,
            Place::File { path, .. } | Place::Recording { path, .. } => Some(path),
        }
    }

    /// The path where the output was written; `None` for standard output. It is written to the directory that was opened when the
    /// output was checked, which may have been moved since, and another directory may have its path.
    #[must_use]
    pub fn written_path(&self) -> Option<PathBuf> {
        match &self.place {
            Place::Stdout => None,
            Place::File { path, file } => Some(file.moved_to().unwrap_or_else(|| path.clone())),
            Place::Recording { path, destination } => Some(destination.moved_to().unwrap_or_else(|| path.clone())),
        }
    }

    /// Whether the output can be overwritten later. A pipe or a device cannot.
    #[must_use]
    pub fn is_replaceable(&self) -> bool {
        match &self.place {
            Place::Stdout => false,
            Place::File { file, .. } => file.is_replaceable(),
            Place::Recording { .. } => true,
        }
    }

    /// Writes a capture before symbolization. The file may get another name, which [`write_named`](Self::write_named) reports.
    ///
    /// # Errors
    /// The errors of [`Output::write`], except [`FileError::Kept`].
    pub fn write_unnamed(&self, recording: &Recording, profile: &Profile) -> Result<Unnamed, OutputError> {
        Ok(match (&self.place, self.form) {
            (Place::Recording { destination, .. }, _) => {
                Unnamed::Recording(Box::new(recording::write_to(recording, destination)?))
            }
            (Place::File { path, file }, Form::Report(format)) => {
                Unnamed::File(file.write(|out| write_format(format, profile, out)).map_err(|stopped| stopped.at(path))?)
            }
            _ => return Err(OutputError::StdoutRecording),
        })
    }

    /// Overwrites the output after symbolization.
    ///
    /// # Errors
    /// The errors of [`Output::write`]; the version without names is then kept.
    pub fn write_named(&self, unnamed: Unnamed, recording: &Recording, profile: &Profile) -> Result<(), OutputError> {
        match (&self.place, unnamed, self.form) {
            (Place::Recording { destination, .. }, Unnamed::Recording(written), _) => {
                written.write_named(recording, destination)?.in_place(destination)?;
                Ok(())
            }
            (Place::File { path, file }, Unnamed::File(written), Form::Report(format)) => {
                let written = file.write_again(written, |out| write_format(format, profile, out));
                Ok(written.map_err(|stopped| stopped.at(path))?.in_place(file)?)
            }
            _ => self.write(recording, profile, &mut io::sink()),
        }
    }

    /// Writes the profile, or for [`Form::Recording`] the recording. A file is written under a temporary name in the same directory and
    /// renamed when it is complete. `stdout` is used for `-o -`.
    ///
    /// # Errors
    /// Writing failed, and an existing file is unchanged. If only the path is no longer available, the result has another name in the same
    /// directory, which the error contains ([`FileError::Kept`], [`RecordingError::Kept`]).
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
            // `among` creates only matching pairs.
            (Place::File { .. }, Form::Recording) | (Place::Recording { .. }, Form::Report(_)) => unreachable!(),
        }
    }

    /// A recording in a private directory of the caller, for a capture whose outputs could not be written.
    ///
    /// # Errors
    /// No random number is available for its name.
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
                None => Err(OutputError::StdoutFormat { known: format_names(formats).join(", ") }),
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

/// The result of [`Output::write_unnamed`].
#[derive(Debug)]
pub enum Unnamed {
    /// A report.
    File(WrittenFile),
    /// A recording.
    Recording(Box<recording::Written>),
}

impl OutputError {
    /// The kind of the system call's error; `Other` for all other errors.
    #[must_use]
    pub fn kind(&self) -> io::ErrorKind {
        match self {
            Self::File(error) => error.kind(),
            Self::Recording(error) => error.kind(),
            Self::Failed { source, .. } => source.kind(),
            _ => io::ErrorKind::Other,
        }
    }

    /// Whether the result was written under another name.
    #[must_use]
    pub fn is_kept(&self) -> bool {
        matches!(self, Self::File(FileError::Kept { .. }) | Self::Recording(RecordingError::Kept { .. }))
    }
}

/// The names of the formats for reports, without the recording.
fn format_names(formats: &[Format]) -> Vec<&'static str> {
    formats.iter().map(|format| format.name).collect()
}

fn names(formats: &[Format]) -> String {
    [format_names(formats), vec!["recording"]].concat().join(", ")
}

fn endings(formats: &[Format]) -> String {
    let endings = formats.iter().flat_map(|format| format.endings).copied();
    endings.chain([recording::ENDING]).map(|ending| format!(".{ending}")).collect::<Vec<_>>().join(", ")
}

/// The cause of a failed report: the format, or the file.
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

fn write_format(format: &Format, profile: &Profile, out: &mut dyn Write) -> Result<(), Stopped> {
    format.sink.write(profile, out).map_err(Stopped::Format)
}

fn write_report(
    file: &OutputFile,
    path: &Path,
    write_contents: impl FnOnce(&mut dyn Write) -> Result<(), ReportError>,
) -> Result<(), OutputError> {
    let written = file.write(|out| write_contents(out).map_err(Stopped::Format)).map_err(|stopped| stopped.at(path))?;
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
    fn what_is_written_to_a_directory_that_was_moved_is_said_to_be_there() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("before")).expect("a folder");
        let recording = Recording::new(recording::example::meta());
        let profile = crate::profile::build(&recording, &crate::profile::Selection::default());
        for name in ["x.svg", "x.quell"] {
            let output = output(&at("before").join(name), None).expect("an output");
            assert_eq!(output.written_path(), Some(at("before").join(name)));
            fs::rename(at("before"), at("after")).expect("moved");
            fs::create_dir(at("before")).expect("another folder");
            output.write(&recording, &profile, &mut io::sink()).expect("written");
            let written = output.written_path().expect("a path");
            assert!(written.exists() && written.ends_with(Path::new("after").join(name)), "{}", written.display());
            assert!(names_in(&at("before")).is_empty());
            fs::remove_dir(at("before")).expect("empty");
            fs::rename(at("after"), at("before")).expect("moved back");
        }
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
        write_contents: impl FnOnce(&mut dyn Write) -> Result<(), ReportError>,
    ) -> Result<(), OutputError> {
        write_report(&OutputFile::open(path)?, path, write_contents)
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
