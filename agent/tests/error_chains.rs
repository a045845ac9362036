//! Errors say each cause once: an error whose text contains that of its cause does not return it as its source, too.

use std::error::Error;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use quell::file::FileError;
use quell::launch::LaunchError;
use quell::output::OutputError;
use quell::recording::RecordingError;
use quell::report::ReportError;

fn full() -> io::Error {
    io::Error::from_raw_os_error(28)
}

fn path() -> PathBuf {
    PathBuf::from("a.quell/samples.parquet")
}

fn file() -> FileError {
    FileError::Io { operation: "write", path: path(), source: full() }
}

fn recording() -> RecordingError {
    RecordingError::Write { path: path(), source: full() }
}

/// The texts of an error and of its causes, as they are printed.
fn printed(error: &(dyn Error + 'static)) -> String {
    let mut texts = vec![error.to_string()];
    let mut next = error.source();
    while let Some(cause) = next {
        texts.push(cause.to_string());
        next = cause.source();
    }
    texts.join(": ")
}

#[test]
fn the_text_of_a_system_call_is_printed_once() {
    let errors: [Box<dyn Error>; 9] = [
        Box::new(file()),
        Box::new(FileError::Kept { kept: path(), path: path(), source: Box::new(file()) }),
        Box::new(recording()),
        Box::new(RecordingError::Kept { kept: path(), path: path(), source: Box::new(recording()) }),
        Box::new(OutputError::from(file())),
        Box::new(OutputError::from(recording())),
        Box::new(OutputError::Failed { path: path(), source: full() }),
        Box::new(OutputError::Stdout(ReportError::from(full()))),
        Box::new(LaunchError::Execute { program: "x".into(), source: full() }),
    ];
    for error in errors {
        let printed = printed(&*error);
        assert_eq!(printed.matches("No space left on device").count(), 1, "{printed}");
    }
}

/// Calls `check` with each Rust file below a directory.
fn each_file(directory: &Path, check: &mut dyn FnMut(&Path, &str)) {
    for entry in fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            each_file(&path, check);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            check(&path, &fs::read_to_string(&path).expect("text"));
        }
    }
}

/// thiserror takes a field named `source` as the cause, unless it is written `r#source`.
#[test]
fn no_error_of_the_agent_prints_its_cause_and_returns_it() {
    let mut checked = 0;
    each_file(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut |path, text| {
        for part in text.split("#[error(").skip(1) {
            let Some((attribute, after)) = part.split_once(")]") else { continue };
            // The fields of the variant.
            let fields = after.split(['}', ';']).next().unwrap_or_default();
            let one = fields.split("///").next().unwrap_or_default();
            let returns = |name: &str| one.contains(&format!("({name}")) || one.contains(&format!("{name} "));
            if attribute.contains("{source}") {
                assert!(!fields.contains(" source: "), "{}: {attribute}", path.display());
                checked += 1;
            } else if attribute.contains("{0}") {
                assert!(!returns("#[source]") && !returns("#[from]"), "{}: {attribute}", path.display());
                checked += 1;
            }
        }
    });
    assert!(checked > 20, "{checked}");
}
