//! Places that others have prepared. What needs another user is tested with the binary (`tests/tests/written_files.rs`).

use std::ffi::OsStr;
use std::fs::{self, File, Permissions};
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;
use std::thread;

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use tempfile::TempDir;

use super::*;

/// A directory for the caller alone, and one in it that everybody can write to.
fn directories() -> (TempDir, TempDir) {
    let private = tempfile::tempdir().expect("a directory");
    let shared = tempfile::tempdir().expect("a directory");
    fs::set_permissions(shared.path(), Permissions::from_mode(0o777)).expect("chmod");
    (private, shared)
}

fn write(path: &Path, text: &str) -> Result<(), FileError> {
    OutputFile::open(path)?.write(|out| -> Result<(), WriteError> { Ok(out.write_all(text.as_bytes())?) }).map_err(
        |error| match error {
            WriteError::File(error) => error,
            WriteError::Io(error) => panic!("{error}"),
        },
    )
}

#[derive(Debug)]
enum WriteError {
    File(FileError),
    Io(io::Error),
}

impl From<FileError> for WriteError {
    fn from(error: FileError) -> Self {
        Self::File(error)
    }
}

impl From<io::Error> for WriteError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).expect("a file").mode() & 0o7777
}

fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(directory)
        .expect("a directory")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

#[test]
fn what_is_new_is_for_its_owner_alone() {
    let (private, shared) = directories();
    for folder in [private.path(), shared.path()] {
        let path = folder.join("x.html");
        write(&path, "page").expect("written");
        assert_eq!((mode(&path), fs::read_to_string(&path).expect("a file")), (0o600, "page".to_owned()));
        assert_eq!(names(folder), ["x.html"]);
        let directory = Directory::open(folder).expect("a directory");
        directory.create_directory(OsStr::new("d")).expect("a directory");
        assert_eq!(mode(&folder.join("d")), 0o700);
    }
}

#[test]
fn permissions_are_kept_but_no_set_id_bits_and_none_that_others_may_have_arranged() {
    let (private, shared) = directories();
    let path = private.path().join("x.html");
    fs::write(&path, "old").expect("a file");
    fs::set_permissions(&path, Permissions::from_mode(0o7644)).expect("chmod");
    write(&path, "new").expect("written");
    assert_eq!(mode(&path), 0o644);
    // Another name of a file that is somewhere else: its permissions were not meant for this place.
    let program = private.path().join("program");
    fs::write(&program, "#!").expect("a file");
    fs::set_permissions(&program, Permissions::from_mode(0o4755)).expect("chmod");
    let linked = private.path().join("y.html");
    fs::hard_link(&program, &linked).expect("a link");
    write(&linked, "new").expect("written");
    assert_eq!((mode(&linked), fs::read_to_string(&program).expect("a file")), (0o600, "#!".to_owned()));
    // Whoever can write to the directory may have moved a file of the caller's there.
    let moved = shared.path().join("z.html");
    fs::write(&moved, "old").expect("a file");
    fs::set_permissions(&moved, Permissions::from_mode(0o666)).expect("chmod");
    write(&moved, "new").expect("written");
    assert_eq!(mode(&moved), 0o600);
}

#[test]
fn a_link_is_followed_only_where_nobody_else_can_have_put_it() {
    let (private, shared) = directories();
    let file = private.path().join("file.svg");
    for folder in [private.path(), shared.path()] {
        fs::write(&file, "before").expect("a file");
        symlink(&file, folder.join("link.svg")).expect("a link");
        // Through another one, and relative.
        symlink("link.svg", folder.join("far.svg")).expect("a link");
    }
    write(&private.path().join("far.svg"), "after").expect("written");
    assert_eq!(fs::read_to_string(&file).expect("a file"), "after");
    assert!(private.path().join("link.svg").is_symlink() && private.path().join("far.svg").is_symlink());
    for name in ["link.svg", "far.svg"] {
        let error = write(&shared.path().join(name), "more").expect_err("a link that may be planted").to_string();
        assert!(error.contains("is a symbolic link of") && error.contains("\nhint: "), "{error}");
    }
    assert_eq!(fs::read_to_string(&file).expect("a file"), "after");
    // The place behind a link is looked at like any other.
    let target = shared.path().join("target.svg");
    symlink(&file, &target).expect("a link");
    symlink(&target, private.path().join("out.svg")).expect("a link");
    assert!(matches!(write(&private.path().join("out.svg"), "more"), Err(FileError::Planted { .. })));
    // To nothing: the file is made there.
    symlink("new.svg", private.path().join("dangling.svg")).expect("a link");
    write(&private.path().join("dangling.svg"), "new").expect("written");
    assert_eq!(fs::read_to_string(private.path().join("new.svg")).expect("a file"), "new");
}

#[test]
fn links_that_lead_to_themselves_are_an_error() {
    let (private, _) = directories();
    symlink("loop", private.path().join("loop")).expect("a link");
    let error = write(&private.path().join("loop"), "").expect_err("a loop").to_string();
    assert!(error.contains("more than 40 symbolic links"), "{error}");
    let error = write(&private.path().join("loop/x.svg"), "").expect_err("a loop").to_string();
    assert!(error.contains("more than 40 symbolic links"), "{error}");
}

#[test]
fn a_fifo_without_a_reader_is_an_error_and_one_with_a_reader_is_written() {
    let (_, shared) = directories();
    let path = shared.path().join("fifo");
    mkfifo(&path, Mode::S_IRWXU).expect("a FIFO");
    assert!(matches!(write(&path, "text"), Err(FileError::NoReader { .. })));
    // More than a pipe holds.
    let text = "line\n".repeat(100_000);
    let reader = thread::spawn({
        let path = path.clone();
        move || {
            let mut got = String::new();
            File::open(path).expect("a FIFO").read_to_string(&mut got).expect("text");
            got
        }
    });
    write(&path, &text).expect("written");
    assert!(reader.join().expect("a reader") == text);
    // With another name it may be anybody's.
    fs::hard_link(&path, shared.path().join("other")).expect("a link");
    assert!(matches!(write(&path, "text"), Err(FileError::Planted { kind: Kind::Fifo, .. })));
}

#[test]
fn sockets_and_directories_are_refused() {
    let (private, shared) = directories();
    for folder in [private.path(), shared.path()] {
        let socket = folder.join("socket");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).expect("a socket");
        let error = OutputFile::open(&socket).expect_err("a socket").to_string();
        assert!(error.contains("is a socket of"), "{error}");
        assert!(OutputFile::open(folder).is_err());
    }
}

#[test]
fn a_place_that_was_exchanged_after_it_was_looked_at_is_looked_at_again() {
    let (private, shared) = directories();
    let victim = private.path().join("victim");
    fs::write(&victim, "before").expect("a file");
    let path = shared.path().join("x.svg");
    let output = OutputFile::open(&path).expect("a free name");
    symlink(&victim, &path).expect("a link");
    let error = output.write(|out| -> Result<(), WriteError> { Ok(out.write_all(b"after")?) });
    assert!(matches!(error, Err(WriteError::File(FileError::Planted { kind: Kind::Link, .. }))));
    // While it is written: the link is replaced, not followed.
    fs::remove_file(&path).expect("removed");
    let output = OutputFile::open(&path).expect("a free name");
    let planted = output.write(|out| -> Result<(), WriteError> {
        symlink(&victim, &path).expect("a link");
        Ok(out.write_all(b"after")?)
    });
    planted.expect("written");
    assert!(!path.is_symlink());
    assert_eq!(fs::read_to_string(&victim).expect("a file"), "before");
}

#[test]
fn a_directory_that_is_moved_away_is_still_the_one_that_is_written() {
    let (private, _) = directories();
    let (before, elsewhere) = (private.path().join("a"), private.path().join("b"));
    fs::create_dir(&before).expect("a directory");
    let output = OutputFile::open(&before.join("x.svg")).expect("a free name");
    fs::rename(&before, &elsewhere).expect("moved");
    symlink("/nonexistent", &before).expect("a link");
    output.write(|out| -> Result<(), WriteError> { Ok(out.write_all(b"page")?) }).expect("written");
    assert_eq!(fs::read_to_string(elsewhere.join("x.svg")).expect("a file"), "page");
}

#[test]
fn names_are_single_components() {
    let (private, _) = directories();
    let directory = Directory::open(private.path()).expect("a directory");
    for name in ["..", ".", "", "a/b", "/etc/passwd", "../x"] {
        assert!(directory.create_file(OsStr::new(name)).is_err(), "{name}");
        assert!(directory.entry(OsStr::new(name)).is_err(), "{name}");
        assert!(directory.remove_file(OsStr::new(name)).is_err(), "{name}");
    }
    assert!(names(private.path()).is_empty());
}

#[test]
fn a_long_name_leaves_room_for_the_random_part() {
    let (private, _) = directories();
    let path = private.path().join("x".repeat(255));
    write(&path, "page").expect("written");
    assert_eq!(names(private.path()).len(), 1);
}

#[test]
fn a_file_may_have_the_same_name_in_another_directory() {
    let (private, shared) = directories();
    let (from, to) = (private.path().join("a"), private.path().join("b"));
    fs::create_dir(&from).expect("a directory");
    fs::create_dir(&to).expect("a directory");
    fs::write(from.join("samples"), "rows").expect("a file");
    symlink("/etc/passwd", from.join("planted")).expect("a link");
    let [from, target] = [&from, &to].map(|path| Directory::open(path).expect("a directory"));
    from.link_into(OsStr::new("samples"), &target).expect("a link");
    assert_eq!(fs::read_to_string(to.join("samples")).expect("a file"), "rows");
    // A link is linked itself, never what it points to.
    from.link_into(OsStr::new("planted"), &target).expect("a link");
    assert!(to.join("planted").is_symlink());
    drop(shared);
}

#[test]
fn a_descriptor_is_duplicated_and_must_be_open_for_writing() {
    for path in ["/dev/fd/987654", "/proc/self/fd/987654"] {
        let error = OutputFile::open(Path::new(path)).expect_err("no such descriptor").to_string();
        assert!(error.contains("descriptor 987654 is not open for writing"), "{error}");
    }
    // Opened by this process: not one that it was started with.
    let (private, _) = directories();
    let own = File::create(private.path().join("file")).expect("a file");
    let number = std::os::fd::AsRawFd::as_raw_fd(&own);
    assert!(matches!(OutputFile::open(Path::new(&format!("/dev/fd/{number}"))), Err(FileError::Descriptor { .. })));
}

#[test]
fn what_a_killed_writer_left_is_removed_and_nothing_that_is_called_alike() {
    let (private, _) = directories();
    let kept =
        [".grub.tmp", ".grub.0123456789abcde.tmp", ".grub.0123456789abcdeg.tmp", ".grubs.0123456789abcdef.tmp", "grub"];
    for name in kept.iter().chain(&[".grub.0123456789abcdef.tmp"]) {
        fs::write(private.path().join(name), "").expect("a file");
    }
    fs::create_dir(private.path().join(".grub.1123456789abcdef.tmp")).expect("a directory");
    Directory::open(private.path()).expect("a directory").remove_leftovers(OsStr::new("grub"));
    assert!(kept.iter().all(|name| private.path().join(name).exists()));
    assert_eq!(names(private.path()).len(), kept.len() + 1);
}
