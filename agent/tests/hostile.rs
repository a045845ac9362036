//! The binary, given recordings and arguments that were made to do harm to whoever looks at them.

use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use quell::recording::{Recording, Thread, ThreadTable};
use tempfile::TempDir;

/// Sets a terminal's title, turns a line around, and ends the line.
const HOSTILE: &str = "\u{1b}]0;owned\u{7}\u{9b}2J\u{202e}\u{2066}\u{200b}\u{ffff}\nforged";

fn hidden(text: &str) -> Option<char> {
    let hides = |letter: &char| {
        letter.is_control()
            || matches!(*letter, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{ffff}')
    };
    text.chars().filter(|letter| *letter != '\n').find(hides)
}

/// The committed recording with hostile names for its host and its threads.
fn recording() -> (TempDir, PathBuf) {
    let small = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data/small.quell");
    let mut recording: Recording = quell::recording::read(&small).expect("the committed recording");
    recording.meta.host.hostname = HOSTILE.to_owned();
    recording.meta.remarks.push(HOSTILE.to_owned());
    let mut threads = ThreadTable::default();
    for thread in recording.threads.rows() {
        threads.push(Thread { comm: format!("{}{HOSTILE}", thread.comm), ..thread.clone() });
    }
    recording.threads = threads;
    let parent = tempfile::tempdir().expect("a temporary directory");
    let dir = parent.path().join("x.quell");
    quell::recording::write(&recording, &dir).expect("a writable directory");
    (parent, dir)
}

fn quell<'a>(arguments: impl IntoIterator<Item = &'a std::ffi::OsStr>) -> (Output, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_quell")).args(arguments).output().expect("quell runs");
    let text =
        [output.stdout.as_slice(), &output.stderr].map(|bytes| String::from_utf8(bytes.to_vec()).expect("UTF-8"));
    (output, text.concat())
}

#[test]
fn nothing_of_a_recording_reaches_the_terminal_but_visible_characters() {
    let (_parent, dir) = recording();
    let report = |more: &[&str]| {
        let arguments = [std::ffi::OsStr::new("report"), dir.as_os_str()];
        quell(arguments.into_iter().chain(more.iter().map(std::ffi::OsStr::new)))
    };
    let (_, summary) = report(&[]);
    assert!(summary.contains(r"\u001b]0;owned\u0007"), "{summary}");
    let (_, warned) = report(&["--comm", "nobody"]);
    assert!(warned.contains("the selection is empty") && warned.contains(r"\u202e"), "{warned}");
    for text in [&summary, &warned] {
        assert_eq!(hidden(text), None, "{text}");
        assert!(!text.contains("\nforged"), "{text}");
    }
    for format in ["folded", "svg", "speedscope", "firefox", "html"] {
        let (output, text) = report(&["-o", "-", "--format", format]);
        assert!(output.status.success(), "{format}: {text}");
        assert_eq!(hidden(&text), None, "{format}");
    }
}

#[test]
fn errors_quote_arguments_and_files_without_obeying_them() {
    let parent = tempfile::tempdir().expect("a temporary directory");
    let dir = parent.path().join(format!("{HOSTILE}.quell"));
    let report = std::ffi::OsStr::new("report");
    let (output, missing) = quell([report, dir.as_os_str()]);
    assert_eq!(output.status.code(), Some(2), "{missing}");
    std::fs::create_dir(&dir).expect("a directory");
    std::fs::write(dir.join("meta.json"), format!(r#"{{"schema": 2, "quell": {:?}, "target": "{HOSTILE}"}}"#, "1"))
        .expect("a file");
    let (_, malformed) = quell([report, dir.as_os_str()]);
    let (output, usage) = quell([std::ffi::OsStr::new(HOSTILE)]);
    assert_eq!(output.status.code(), Some(2), "{usage}");
    let (_, bytes) = quell([report, std::ffi::OsStr::from_bytes(b"\x9b\xff\x1b[31m.quell")]);
    for text in [missing, malformed, usage, bytes] {
        assert!(!text.is_empty());
        assert_eq!(hidden(&text), None, "{text}");
    }
}

#[test]
fn lists_and_findings_are_visible_characters() {
    use std::ffi::OsStr;
    for arguments in
        [&["list", "probes"][..], &["list", "knobs"], &["list", "formats"], &["list", "knobs", "--json"], &["doctor"]]
    {
        let (_, text) = quell(arguments.iter().map(OsStr::new));
        assert_eq!(hidden(&text), None, "{arguments:?}");
    }
}
