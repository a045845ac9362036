//! The tests themselves: none is skipped in silence, and none is forgotten.

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn text(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every Rust file of the packages that have tests, with its text.
fn sources() -> Vec<(PathBuf, String)> {
    let mut folders = ["agent", "benches", "ebpf/common", "tests", "xtask"].map(|name| root().join(name)).to_vec();
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder of the workspace") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push((path.clone(), text(path)));
            }
        }
    }
    assert!(files.len() > 100, "{} files", files.len());
    files
}

/// How a line of a source file begins, so that this file does not find itself.
fn lines_with<'a>(text: &'a str, begin: &'a str) -> impl Iterator<Item = &'a str> {
    text.lines().map(str::trim).filter(move |line| line.starts_with(begin))
}

const LONG: &str = "#[ignore = \"long: cargo xtask test --all\"]";

#[test]
fn a_test_is_ignored_because_it_is_long_or_starts_by_another_test() {
    let mut long = 0;
    for (path, text) in sources() {
        for line in lines_with(&text, "#[ignore") {
            long += usize::from(line == LONG);
            let known = line == LONG || line.starts_with("#[ignore = \"helper: ");
            assert!(known, "{}: {line}\na reason is `{LONG}`, or begins with `helper: `", path.display());
        }
    }
    assert!(long > 5, "{long} long tests");
}

#[test]
fn long_tests_run_in_ci_and_the_readme_says_how_to_run_them() {
    assert!(lines_with(&text(".ci/run"), "step 'test' cargo xtask test --all").count() == 1);
    assert!(text("README.md").contains("cargo xtask test --all"));
}

/// The test harness captures what `eprintln!` prints, and an early return says nothing: `needs!` and `skip!` do.
#[test]
fn a_test_that_needs_something_says_so_by_needs_or_skip() {
    for (path, text) in sources() {
        for begin in ["eprintln!(\"skip", "eprintln!(\"SKIP", "return eprintln!("] {
            let line = lines_with(&text, begin).next();
            assert_eq!(line, None, "{}: use `skip!` of tests/src/needs.rs", path.display());
        }
    }
}
