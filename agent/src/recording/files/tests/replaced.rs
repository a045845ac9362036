//! The path of a recording, and the files that existed there before.

use std::ffi::OsStr;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use tempfile::TempDir;

use super::super::{Destination, RecordingError, read, replace, write, write_to};
use super::{assert_same, entries, smallest, written};

#[test]
fn an_older_recording_is_replaced_and_nothing_else_is_left() {
    let (parent, dir) = written(&smallest());
    let mut newer = smallest();
    newer.samples.clear();
    write(&newer, &dir).expect("a recording to replace");
    assert_same(&newer, &read(&dir).expect("the newer one"));
    assert_eq!(entries(parent.path()), ["x.quell"]);
}

#[test]
fn a_directory_of_something_else_is_neither_read_nor_replaced() {
    let parent = TempDir::new().expect("a temporary directory");
    let dir = parent.path().join("photos");
    fs::create_dir(&dir).expect("a directory");
    fs::write(dir.join("cat.jpg"), "meow").expect("a file");
    assert!(matches!(write(&smallest(), &dir), Err(RecordingError::Occupied { .. })));
    assert!(matches!(read(&dir), Err(RecordingError::NotARecording { .. })));
    assert!(matches!(read(&parent.path().join("none.quell")), Err(RecordingError::Missing { .. })));
    assert_eq!(entries(parent.path()), ["photos"]);
    assert_eq!(entries(&dir), ["cat.jpg"]);
}

#[test]
fn a_recording_with_something_else_in_it_is_not_replaced() {
    let (parent, dir) = written(&smallest());
    for (name, make) in [
        ("notes.txt", (|path| fs::write(path, "mine").expect("a file")) as fn(&Path)),
        ("more", |path| fs::create_dir(path).expect("a directory")),
    ] {
        make(&dir.join(name));
        let before = entries(&dir);
        let error = write(&smallest(), &dir).expect_err("it is somebody's").to_string();
        assert!(error.contains(name) && error.contains("\nhint: "), "{error}");
        assert_eq!((entries(parent.path()), entries(&dir)), (vec!["x.quell".to_owned()], before));
        let _ = fs::remove_file(dir.join(name)).or_else(|_| fs::remove_dir(dir.join(name)));
    }
    write(&smallest(), &dir).expect("a recording to replace");
    // A file that is added in the meantime is kept as well.
    let destination = Destination::open(&dir).expect("a recording to replace");
    fs::write(dir.join("notes.txt"), "mine").expect("a file");
    let error = write_to(&smallest(), &destination).expect("written").in_place(&destination).expect_err("elsewhere");
    let RecordingError::Kept { kept, .. } = &error else { panic!("{error}") };
    assert!(error.to_string().contains("notes.txt"), "{error}");
    assert_same(&smallest(), &read(kept).expect("the new one"));
    assert_same(&smallest(), &read(&dir).expect("the older one"));
    assert_eq!(entries(parent.path()).len(), 2);
}

#[test]
fn a_recording_is_not_replaced_where_others_can_have_moved_it() {
    let (parent, dir) = written(&smallest());
    fs::set_permissions(parent.path(), fs::Permissions::from_mode(0o777)).expect("chmod");
    // At the path where it was written, a recording may be replaced; at another path, another user may have moved it there.
    write(&smallest(), &dir).expect("replaced");
    let elsewhere = parent.path().join("z.quell");
    fs::rename(&dir, &elsewhere).expect("moved");
    let error = write(&smallest(), &elsewhere).expect_err("a recording that others may mean").to_string();
    assert!(error.contains("another user may have moved there") && error.contains("\nhint: "), "{error}");
    fs::rename(&elsewhere, &dir).expect("moved back");
    // A recording that is moved to the path in the meantime, before and after symbolization.
    let destination = Destination::open(&parent.path().join("y.quell")).expect("a free name");
    fs::rename(&dir, parent.path().join("y.quell")).expect("moved");
    let unnamed = write_to(&smallest(), &destination).expect("written");
    let named = unnamed.write_named(&smallest(), &destination).expect("written");
    let Err(RecordingError::Kept { kept, .. }) = named.in_place(&destination) else { panic!("not kept") };
    assert_same(&smallest(), &read(&kept).expect("the new one"));
    assert_same(&smallest(), &read(&parent.path().join("y.quell")).expect("the older one"));
    assert_eq!(entries(parent.path()).len(), 2);
    // With the sticky bit, other users cannot move directories.
    fs::set_permissions(parent.path(), fs::Permissions::from_mode(0o1777)).expect("chmod");
    write(&smallest(), &parent.path().join("y.quell")).expect("a recording to replace");
    assert_eq!(entries(parent.path()).len(), 2);
}

#[test]
fn a_recording_that_cannot_be_written_leaves_nothing_behind() {
    let parent = TempDir::new().expect("a temporary directory");
    let dir = parent.path().join("x.quell");
    let destination = Destination::open(&dir).expect("a free name");
    let staging = replace::Staging::new(&destination).expect("a directory");
    let mut file = staging.directory().create_file(OsStr::new("samples.parquet")).expect("a file");
    file.write_all(b"half").expect("written");
    assert_eq!(entries(parent.path()).len(), 1);
    drop(staging);
    assert!(entries(parent.path()).is_empty());
}

#[test]
fn a_recording_in_a_missing_directory_is_an_error_that_names_it() {
    let error = write(&smallest(), Path::new("/nonexistent/x.quell")).expect_err("no such directory").to_string();
    assert!(error.contains("/nonexistent") && error.contains("No such file"), "{error}");
}
