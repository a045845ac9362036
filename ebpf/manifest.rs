//! What the committed eBPF object was built from. Shared as source by `agent/build.rs`, which refuses an object of
//! other sources, and by `cargo xtask ebpf`, which writes the manifest: one definition of "the same sources".

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

/// The committed object, below the workspace root.
pub(crate) const OBJECT: &str = "ebpf/prebuilt/quell.bpf.o";

/// Its manifest, below the workspace root.
pub(crate) const MANIFEST: &str = "ebpf/prebuilt/manifest.json";

/// The directories and files that decide the object's bytes, below the workspace root.
pub(crate) const INPUTS: [&str; 6] = [
    "ebpf/common/Cargo.toml",
    "ebpf/common/src",
    "ebpf/programs/Cargo.toml",
    "ebpf/programs/src",
    "Cargo.toml",
    "Cargo.lock",
];

/// Sections of the workspace's Cargo.toml that do: the profile, the one it inherits from, and edition and version
/// (the version is part of every symbol's hash).
const SECTIONS: [&str; 3] = ["[workspace.package]", "[profile.release]", "[profile.ebpf]"];

/// Crates that run on the build machine only: their own dependencies do not reach the object.
const HOST_ONLY: [&str; 3] = ["aya-build", "aya-ebpf-macros", "rustversion"];

/// SHA-256, in hex.
pub(crate) fn hash(bytes: &[u8]) -> String {
    hex(Sha256::digest(bytes).as_slice())
}

/// The hash of everything in the workspace that decides the object's bytes, in hex.
pub(crate) fn source_hash(root: &Path) -> io::Result<String> {
    let mut hasher = Sha256::new();
    let mut add = |name: &str, content: &[u8]| {
        hasher.update(name.as_bytes());
        hasher.update([0]);
        hasher.update((content.len() as u64).to_le_bytes());
        hasher.update(content);
    };
    for input in INPUTS {
        let path = root.join(input);
        match input {
            "Cargo.toml" => add(input, sections(&read(&path)?).as_bytes()),
            "Cargo.lock" => add(input, locked(&read(&path)?).as_bytes()),
            _ => {
                for file in rust_files(&path)? {
                    let name = file.strip_prefix(root).map_err(io::Error::other)?;
                    add(&name.to_string_lossy(), read(&file)?.as_bytes());
                }
            }
        }
    }
    Ok(hex(hasher.finalize().as_slice()))
}

fn read(path: &Path) -> io::Result<String> {
    fs::read_to_string(path).map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
}

/// The Rust files below a directory, sorted; or the file itself.
fn rust_files(path: &Path) -> io::Result<Vec<PathBuf>> {
    if path.is_file() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(path)? {
        let entry = entry?.path();
        if entry.is_dir() {
            files.extend(rust_files(&entry)?);
        } else if entry.extension().is_some_and(|extension| extension == "rs") {
            files.push(entry);
        }
    }
    files.sort();
    Ok(files)
}

/// The [`SECTIONS`] of a manifest, without comments and blank lines.
fn sections(toml: &str) -> String {
    let mut wanted = false;
    let mut kept = String::new();
    for line in toml.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if line.starts_with('[') {
            wanted = SECTIONS.contains(&line);
        }
        if wanted {
            kept.push_str(line);
            kept.push('\n');
        }
    }
    kept
}

/// Names, versions and checksums of the locked crates that the object is compiled from.
fn locked(lock: &str) -> String {
    let packages: Vec<Locked<'_>> = lock.split("[[package]]").skip(1).map(Locked::parse).collect();
    let mut found = BTreeSet::new();
    let mut queue = vec!["quell-ebpf"];
    while let Some(wanted) = queue.pop() {
        // A dependency is listed as `name`, or `name version` where the name alone is ambiguous.
        let mut words = wanted.split(' ');
        let (name, version) = (words.next(), words.next());
        for package in packages
            .iter()
            .filter(|package| name == Some(package.name) && version.is_none_or(|version| version == package.version))
        {
            let line = format!("{} {} {}\n", package.name, package.version, package.checksum);
            // The dependencies of the shared ABI crate belong to its feature for the user side.
            let leaf = HOST_ONLY.contains(&package.name) || package.name == "quell-ebpf-common";
            if found.insert(line) && !leaf {
                queue.extend(&package.dependencies);
            }
        }
    }
    found.into_iter().collect()
}

struct Locked<'a> {
    name: &'a str,
    version: &'a str,
    checksum: &'a str,
    dependencies: Vec<&'a str>,
}

impl<'a> Locked<'a> {
    fn parse(package: &'a str) -> Self {
        let value = |key: &str| {
            let line = package.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(" = \""));
            line.and_then(|line| line.strip_suffix('"')).unwrap_or_default()
        };
        let dependencies = package.lines().filter_map(|line| line.strip_prefix(" \"")?.strip_suffix("\","));
        Self {
            name: value("name"),
            version: value("version"),
            checksum: value("checksum"),
            dependencies: dependencies.collect(),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCK: &str = r#"
[[package]]
name = "aya"
version = "0.14.0"

[[package]]
name = "aya-ebpf"
version = "0.2.1"
checksum = "c0"
dependencies = [
 "aya-build",
 "aya-ebpf-cty",
]

[[package]]
name = "aya-build"
version = "0.2.0"
dependencies = [
 "anyhow",
]

[[package]]
name = "aya-ebpf-cty"
version = "0.3.0"

[[package]]
name = "anyhow"
version = "1.0.0"

[[package]]
name = "quell-ebpf"
version = "0.1.0"
dependencies = [
 "aya-ebpf",
 "quell-ebpf-common",
]

[[package]]
name = "quell-ebpf-common"
version = "0.1.0"
dependencies = [
 "aya",
]
"#;

    #[test]
    fn the_hash_covers_what_is_compiled_for_bpf_and_not_what_only_the_host_runs() {
        let updated = |from: &str, to: &str| locked(&LOCK.replace(from, to));
        assert_ne!(updated("0.3.0", "0.3.1"), locked(LOCK), "a crate in the object");
        assert_ne!(updated("c0", "c1"), locked(LOCK), "the same version with other contents");
        assert_eq!(updated("0.14.0", "0.14.1"), locked(LOCK), "a crate of the user side");
        assert_eq!(updated("1.0.0", "1.0.1"), locked(LOCK), "a crate of a build script");
    }

    #[test]
    fn only_the_sections_that_decide_the_bytes_count() {
        let toml = "[profile.ebpf]\nlto = true\n[dependencies]\na = \"1\"\n";
        assert_eq!(sections(&toml.replace("lto", "# why\n\nlto")), sections(toml));
        assert_eq!(sections(&toml.replace("a = ", "b = ")), sections(toml));
        assert_ne!(sections(&toml.replace("true", "false")), sections(toml));
    }
}
