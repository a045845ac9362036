//! Tests of places that other users have prepared. Cases that need another user are tested with the binary
//! (`tests/tests/written_files.rs`).

use std::ffi::OsStr;
use std::fs::{self, File, Permissions};
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::thread;

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use tempfile::TempDir;

use super::*;

/// A directory that only the caller can access, and another one that all users can write to.
fn directories() -> (TempDir, TempDir) {
    let private = tempfile::tempdir().expect("a directory");
    let shared = tempfile::tempdir().expect("a directory");
    fs::set_permissions(shared.path(), Permissions::from_mode(0o777)).expect("chmod");
    (private, shared)
}

fn write(path: &Path, text: &str) -> Result<(), FileError> {
    write_to(&OutputFile::open(path)?, text)
}

fn write_to(output: &OutputFile, text: &str) -> Result<(), FileError> {
    let written = output.write(|out| -> Result<(), WriteError> { Ok(out.write_all(text.as_bytes())?) });
    written.map_err(file_error)?.in_place(output)
}

fn file_error(error: WriteError) -> FileError {
    match error {
        WriteError::File(error) => error,
        WriteError::Io(error) => panic!("{error}"),
    }
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
    // A hard link to a file in another place: its permissions were not meant for this place.
    let program = private.path().join("program");
    fs::write(&program, "#!").expect("a file");
    fs::set_permissions(&program, Permissions::from_mode(0o4755)).expect("chmod");
    let linked = private.path().join("y.html");
    fs::hard_link(&program, &linked).expect("a link");
    write(&linked, "new").expect("written");
    assert_eq!((mode(&linked), fs::read_to_string(&program).expect("a file")), (0o600, "#!".to_owned()));
    // A user who can write to the directory may have moved a file of the caller there.
    let moved = shared.path().join("z.html");
    fs::write(&moved, "old").expect("a file");
    fs::set_permissions(&moved, Permissions::from_mode(0o666)).expect("chmod");
    write(&moved, "new").expect("written");
    assert_eq!(mode(&moved), 0o600);
    // The same holds for a directory with the sticky bit.
    fs::set_permissions(shared.path(), Permissions::from_mode(0o1777)).expect("chmod");
    fs::set_permissions(&moved, Permissions::from_mode(0o644)).expect("chmod");
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
        // A relative link to that link.
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
    // The target of a link is checked like any other place.
    let target = shared.path().join("target.svg");
    symlink(&file, &target).expect("a link");
    symlink(&target, private.path().join("out.svg")).expect("a link");
    assert!(matches!(write(&private.path().join("out.svg"), "more"), Err(FileError::Planted { .. })));
    // A dangling link: the file is created at its target.
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
    // More than the capacity of a pipe.
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
    // With a second hard link, it may serve another user.
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
    let kept = kept_by(write_to(&output, "after"), "is a symbolic link of");
    assert_eq!((fs::read_to_string(&kept).expect("a file"), mode(&kept)), ("after".to_owned(), 0o600));
    // A link that is planted during the write is not modified.
    fs::remove_file(&path).expect("removed");
    let output = OutputFile::open(&path).expect("a free name");
    let planted = output.write(|out| -> Result<(), WriteError> {
        symlink(&victim, &path).expect("a link");
        Ok(out.write_all(b"after")?)
    });
    kept_by(planted.expect("written").in_place(&output), "is a symbolic link of");
    assert!(path.is_symlink());
    assert_eq!(fs::read_to_string(&victim).expect("a file"), "before");
}

/// The path of a report that could not get its requested name.
fn kept_by(written: Result<(), FileError>, why: &str) -> PathBuf {
    match written {
        Err(FileError::Kept { kept, source, .. }) if source.to_string().contains(why) => kept,
        other => panic!("{other:?}"),
    }
}

/// Creates a file of some type at a path.
type Take = fn(&Path);

#[test]
fn a_place_that_is_taken_meanwhile_costs_the_name_and_not_the_report() {
    let (private, shared) = directories();
    let takes: [(&str, Take); 3] = [
        ("is a directory of", |path| fs::create_dir(path).expect("a directory")),
        ("is a FIFO of", |path| mkfifo(path, Mode::S_IRWXU).expect("a FIFO")),
        ("is a socket of", |path| drop(std::os::unix::net::UnixListener::bind(path).expect("a socket"))),
    ];
    for folder in [private.path(), shared.path()] {
        for (number, (why, take)) in takes.iter().enumerate() {
            let name = format!("{number}.pb.gz");
            let output = OutputFile::open(&folder.join(&name)).expect("a free name");
            take(&folder.join(&name));
            let kept = kept_by(write_to(&output, "page"), why);
            assert_eq!(fs::read_to_string(&kept).expect("a file"), "page");
            let kept = kept.file_name().expect("a name").to_string_lossy().into_owned();
            assert!(kept.starts_with(&format!("{number}.")) && kept.ends_with(".pb.gz"), "{kept}");
        }
        assert_eq!(names(folder).len(), 6, "{:?}", names(folder));
    }
    // A second write with other contents replaces the same file.
    let path = shared.path().join("again.html");
    let output = OutputFile::open(&path).expect("a free name");
    fs::create_dir(&path).expect("a directory");
    let first = output.write(|out| -> Result<(), WriteError> { Ok(out.write_all(b"raw")?) }).expect("written");
    let second = output.write_again(first, |out| -> Result<(), WriteError> { Ok(out.write_all(b"named")?) });
    let kept = kept_by(second.expect("written").in_place(&output), "is a directory of");
    assert_eq!(fs::read_to_string(kept).expect("a file"), "named");
    assert_eq!(names(shared.path()).iter().filter(|name| name.starts_with("again.")).count(), 2);
}

#[test]
fn a_name_beside_another_one_is_as_long_as_a_name_may_be_and_keeps_the_ending() {
    let visible = |like: &str| directory::visible_name(OsStr::new(like), 0xab).to_string_lossy().into_owned();
    assert_eq!(visible("m.html"), "m.00000000000000ab.html");
    assert_eq!(visible("m.pb.gz"), "m.00000000000000ab.pb.gz");
    assert_eq!(visible("m"), "m.00000000000000ab");
    assert_eq!(visible(".html"), ".html.00000000000000ab");
    assert_eq!(visible(&format!("{}.html", "x".repeat(250))).len(), 222);
    assert!(visible(&format!("x.{}.html", "y".repeat(248))).ends_with("y.html"));
    assert!(visible(&format!("{}.{}.svg", "x".repeat(120), "y".repeat(130))).len() <= 255);
}

#[test]
fn what_can_be_moved_by_others_is_neither_followed_nor_replaced_nor_taken_as_an_example() {
    let (private, shared) = directories();
    // Only the caller can write to the directory, but all users can change its name.
    let (inner, aside) = (shared.path().join("inner"), private.path().join("aside"));
    for folder in [&inner, &aside] {
        fs::create_dir(folder).expect("a directory");
        fs::set_permissions(folder, Permissions::from_mode(0o755)).expect("chmod");
    }
    write(&inner.join("x.svg"), "page").expect("written");
    let error = write(&inner.join("x.svg"), "more").expect_err("a file that others may mean").to_string();
    assert!(error.contains("another user may have moved there") && error.contains("\nhint: "), "{error}");
    symlink(&aside, inner.join("link")).expect("a link");
    symlink(&aside, shared.path().join("link")).expect("a link");
    for way in [inner.join("link/y.svg"), shared.path().join("link/y.svg"), inner.join("../link/y.svg")] {
        assert!(matches!(write(&way, "page"), Err(FileError::MovableLink { .. })), "{}", way.display());
    }
    symlink(inner.join("link"), private.path().join("far")).expect("a link");
    assert!(matches!(write(&private.path().join("far/y.svg"), "page"), Err(FileError::MovableLink { .. })));
    assert_eq!(names(&aside), Vec::<String>::new());
    // In a directory with the sticky bit, others cannot have moved a directory of the caller, but they may have moved a link
    // there.
    fs::set_permissions(shared.path(), Permissions::from_mode(0o1777)).expect("chmod");
    write(&inner.join("x.svg"), "more").expect("replaced");
    assert!(matches!(write(&shared.path().join("link/y.svg"), "page"), Err(FileError::MovableLink { .. })));
    write(&inner.join("link/y.svg"), "page").expect("written");
}

#[test]
fn a_directory_that_is_moved_away_is_still_the_one_that_is_written() {
    let (private, _) = directories();
    let (before, elsewhere) = (private.path().join("a"), private.path().join("b"));
    fs::create_dir(&before).expect("a directory");
    let output = OutputFile::open(&before.join("x.svg")).expect("a free name");
    fs::rename(&before, &elsewhere).expect("moved");
    symlink("/nonexistent", &before).expect("a link");
    write_to(&output, "page").expect("written");
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
    // The symbolic link itself is linked, never its target.
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
    // A descriptor that this process opened itself, not one that it inherited.
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
