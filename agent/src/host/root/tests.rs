//! Tests of trees with links that lead out of the tree.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use tempfile::TempDir;

use super::*;

/// A tree, and a directory next to it that no path in the tree may lead to.
struct Case {
    folder: TempDir,
    root: Root,
}

const OUTSIDE: &str = "as it was";

impl Case {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        for directory in ["tree/etc", "tree/inside", "outside"] {
            fs::create_dir_all(folder.path().join(directory)).expect("a folder");
        }
        fs::write(folder.path().join("outside/file"), OUTSIDE).expect("a file");
        let root = Root::at(&folder.path().join("tree")).expect("a tree");
        Self { folder, root }
    }

    fn at(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    /// The contents of the file outside the tree. Also checks that no other file was created there.
    fn outside(&self) -> String {
        assert_eq!(fs::read_dir(self.at("outside")).expect("a list").count(), 1);
        fs::read_to_string(self.at("outside/file")).expect("a file")
    }
}

/// Creates links to the file outside the tree: absolute, with `..`, through a linked directory, and through another link.
/// Returns paths that would lead to it.
fn escapes(case: &Case) -> Vec<&'static str> {
    let outside = case.at("outside");
    symlink(outside.join("file"), case.at("tree/absolute")).expect("a link");
    symlink("../outside/file", case.at("tree/upwards")).expect("a link");
    symlink(
        "../../../../../../../../../../../..".to_owned() + outside.join("file").to_str().expect("text"),
        case.at("tree/far"),
    )
    .expect("a link");
    symlink(&outside, case.at("tree/middle")).expect("a link");
    symlink("../outside", case.at("tree/middle-upwards")).expect("a link");
    symlink("absolute", case.at("tree/chain")).expect("a link");
    vec![
        "/absolute",
        "/upwards",
        "/far",
        "/middle/file",
        "/middle-upwards/file",
        "/chain",
        "/../outside/file",
        "/etc/../../outside/file",
    ]
}

#[test]
fn no_link_leads_out_of_a_tree() {
    for index in 0..escapes(&Case::new()).len() {
        let case = Case::new();
        let path = escapes(&case)[index];
        assert!(case.root.read(path).is_err(), "{path}");
        assert!(case.root.read_bytes(path).is_err(), "{path}");
        assert!(!case.root.has(path), "{path}");
        assert!(case.root.metadata(path).is_err(), "{path}");
        assert!(case.root.real_path(path).is_err(), "{path}");
        assert!(case.root.open_to_write(path).is_err(), "{path}");
        assert!(case.root.write(path, "changed").is_err(), "{path}");
        assert!(case.root.remove_directory(path).is_err(), "{path}");
        // A path that does not exist is not read-only.
        assert!(!case.root.is_read_only(path), "{path}");
        // An unused name may be created, but only inside the tree.
        let _ = case.root.put(path, "changed");
        let _ = case.root.replace_file(path, b"changed", |_, _| Ok(()));
        let _ = case.root.create_directories(path);
        assert_eq!(case.outside(), OUTSIDE, "{path}");
        assert!(case.root.list("/middle").map_or(true, |names| names.is_empty()), "{path}");
    }
}

#[test]
fn a_hard_link_is_not_written_through() {
    let case = Case::new();
    fs::hard_link(case.at("outside/file"), case.at("tree/etc/hard")).expect("a link");
    assert!(case.root.write("/etc/hard", "changed").is_err());
    assert!(case.root.open_to_write("/etc/hard").is_err());
    assert!(case.root.put("/etc/hard", "changed").is_err());
    assert_eq!(case.outside(), OUTSIDE);
    // A file that replaces it is a new file of the tree.
    case.root.replace_file("/etc/hard", b"changed", |_, _| Ok(())).expect("replaced");
    assert_eq!(case.outside(), OUTSIDE);
    assert_eq!(case.root.read("/etc/hard").expect("text"), "changed");
}

#[test]
fn links_are_followed_as_the_tree_would_see_them() {
    let case = Case::new();
    fs::write(case.at("tree/inside/file"), "inside\n").expect("a file");
    symlink("/inside/file", case.at("tree/etc/absolute")).expect("a link");
    symlink("../inside", case.at("tree/etc/directory")).expect("a link");
    // The parent of the root is the root itself.
    symlink("../../../../inside/file", case.at("tree/etc/above")).expect("a link");
    for path in ["/etc/absolute", "/etc/directory/file", "/etc/above"] {
        assert_eq!(case.root.read(path).expect("text"), "inside", "{path}");
        assert_eq!(case.root.real_path(path).expect("a path"), Path::new("/inside/file"));
        case.root.write(path, "inside").expect("written");
        case.root.replace_file(path, b"inside\n", |_, _| Ok(())).expect("replaced");
        assert!(case.at("tree/etc/absolute").is_symlink(), "{path}");
        assert_eq!(fs::read_to_string(case.at("tree/inside/file")).expect("a file"), "inside\n", "{path}");
    }
    assert_eq!(case.root.list("/etc/directory").expect("a list"), ["file"]);
    assert_eq!(case.root.link_name("/etc/absolute").as_deref(), Some("file"));
    // Removing a link does not remove its target.
    case.root.remove_file("/etc/absolute").expect("removed");
    assert_eq!(case.root.read("/inside/file").expect("text"), "inside");
}

#[test]
fn temporary_files_are_made_in_the_tree_and_under_names_that_nobody_can_plant() {
    let case = Case::new();
    fs::create_dir_all(case.at("tree/etc/default")).expect("a folder");
    fs::write(case.at("tree/etc/default/grub"), "A=1\n").expect("a file");
    // The temporary names of earlier versions.
    for name in [".grub.quell-new", ".grub.tmp"] {
        symlink(case.at("outside/file"), case.at("tree/etc/default").join(name)).expect("a link");
    }
    case.root.replace_file("/etc/default/grub", b"B=2\n", |_, _| Ok(())).expect("replaced");
    assert_eq!(case.outside(), OUTSIDE);
    assert_eq!(case.root.list("/etc/default").expect("a list"), [".grub.quell-new", ".grub.tmp", "grub"]);
    // A link to a directory outside the tree.
    symlink(case.at("outside"), case.at("tree/etc/grub.d")).expect("a link");
    assert!(case.root.replace_file("/etc/grub.d/99-quell.cfg", b"B=2\n", |_, _| Ok(())).is_err());
    assert_eq!(case.outside(), OUTSIDE);
}

#[test]
fn state_is_kept_in_the_tree_and_for_its_owner_alone() {
    for (link, path) in [("tree/run", "/run/quell"), ("tree/var", "/var/lib/quell/tune")] {
        let case = Case::new();
        symlink(case.at("outside"), case.at(link)).expect("a link");
        assert!(case.root.state_directory(path).is_err(), "{path}");
        assert!(case.root.write_state(&format!("{path}/x"), b"text").is_err(), "{path}");
        assert_eq!(case.outside(), OUTSIDE);
        fs::remove_file(case.at(link)).expect("removed");
        case.root.write_state(&format!("{path}/x"), b"text").expect("written");
        let mode = |path: &str| case.root.metadata(path).expect("it is there").permissions().mode() & 0o7777;
        assert_eq!((mode(path), mode(&format!("{path}/x"))), (0o700, 0o600));
        // Looser permissions are tightened.
        fs::set_permissions(case.at("tree").join(path.trim_start_matches('/')), Permissions::from_mode(0o777))
            .expect("chmod");
        case.root.state_directory(path).expect("a directory");
        assert_eq!(mode(path), 0o700);
    }
}

#[test]
fn only_regular_files_of_a_bounded_size_are_read() {
    let case = Case::new();
    nix::unistd::mkfifo(&case.at("tree/fifo"), nix::sys::stat::Mode::S_IRWXU).expect("a FIFO");
    symlink("/fifo", case.at("tree/link")).expect("a link");
    for path in ["/fifo", "/link", "/etc"] {
        assert!(case.root.read(path).is_err(), "{path}");
        assert!(case.root.write(path, "x").is_err(), "{path}");
    }
    let endless = File::create(case.at("tree/endless")).expect("a file");
    endless.set_len(1 << 40).expect("a hole");
    let error = case.root.read("/endless").expect_err("too long");
    assert_eq!(error.kind(), io::ErrorKind::FileTooLarge, "{error}");
}

/// Opening a FIFO for writing without blocking fails with ENXIO if it has no reader, and lets a waiting reader go on if it has one.
#[test]
fn what_is_no_regular_file_is_not_even_opened() {
    let case = Case::new();
    nix::unistd::mkfifo(&case.at("tree/fifo"), nix::sys::stat::Mode::S_IRWXU).expect("a FIFO");
    let written = case.root.write("/fifo", "x").expect_err("no file");
    let opened = case.root.open_to_write("/fifo").expect_err("no file");
    for error in [written, opened] {
        assert_eq!((error.raw_os_error(), error.to_string().as_str()), (None, "it is not a regular file"));
    }
}

#[test]
fn a_tree_stays_the_same_though_its_path_comes_to_stand_for_another() {
    let case = Case::new();
    fs::write(case.at("tree/etc/file"), "first").expect("a file");
    fs::rename(case.at("tree"), case.at("moved")).expect("moved");
    symlink("/", case.at("tree")).expect("a link");
    assert_eq!(case.root.read("/etc/file").expect("text"), "first");
    assert!(!case.root.has("/proc/self"));
    assert_eq!(case.root.real_path("/etc/file").expect("a path"), Path::new("/etc/file"));
}

#[test]
fn a_missing_file_is_told_from_a_refused_one() {
    let case = Case::new();
    assert_eq!(case.root.read("/no/such").expect_err("nothing").kind(), io::ErrorKind::NotFound);
    assert_eq!(case.root.remove_file("/no").expect_err("nothing").kind(), io::ErrorKind::NotFound);
    assert!(!case.root.is_host());
    assert!(Root::at(Path::new("/")).expect("this host").is_host());
    assert!(Root::at(&case.at("outside/file")).is_err());
}
