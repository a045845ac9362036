//! A block that quell writes into a configuration file that others edit too: between two comments, at the end of the file.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, fchown};

use crate::host::Root;
use crate::sys::xattr;

const BEGIN: &str = "# quell: begin, written by `quell tune`, removed by `quell tune rollback`";
const BEGIN_NEW_FILE: &str = "# quell: begin, file made by `quell tune`, removed by `quell tune rollback`";
const END: &str = "# quell: end";

/// A configuration file, split into quell's block and the rest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct OwnedBlock {
    /// Everything outside the block, byte for byte; `None` if the file does not exist, or was created only for the block.
    pub(super) rest: Option<String>,
    /// The lines inside the block; empty if there is no block.
    pub(super) block: String,
}

impl OwnedBlock {
    /// Reads a file. For a missing file, both the block and the rest are empty.
    pub(super) fn read(root: &Root, file: &str) -> io::Result<Self> {
        match root.read_text(file) {
            Ok(text) => Ok(Self::parse(&text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self { rest: None, block: String::new() }),
            Err(error) => Err(error),
        }
    }

    fn parse(text: &str) -> Self {
        let begin = |line: &str| [BEGIN, BEGIN_NEW_FILE].contains(&line.trim_end());
        let (mut rest, mut block, mut inside, mut alone) = (String::new(), String::new(), false, false);
        for line in text.split_inclusive('\n') {
            match line.trim_end() {
                _ if begin(line) => (inside, alone) = (true, alone || line.trim_end() == BEGIN_NEW_FILE),
                END if inside => inside = false,
                _ if inside => block += line,
                _ => rest += line,
            }
        }
        let rest = if alone && rest.is_empty() { None } else { Some(rest) };
        Self { rest, block }
    }

    /// The text of the file; `None` if the file is to be removed.
    fn text(&self) -> Option<String> {
        match (&self.rest, self.block.as_str()) {
            (rest, "") => rest.clone(),
            (None, block) => Some(format!("{BEGIN_NEW_FILE}\n{block}{END}\n")),
            // If the last line has no newline, its bytes are kept: the block is inserted before it.
            (Some(rest), block) if rest.is_empty() || rest.ends_with('\n') => {
                Some(format!("{rest}{BEGIN}\n{block}{END}\n"))
            }
            (Some(rest), block) => {
                let (whole, last) = rest.split_at(rest.rfind('\n').map_or(0, |at| at + 1));
                Some(format!("{whole}{BEGIN}\n{block}{END}\n{last}"))
            }
        }
    }

    /// Writes the file, or removes it if it would be empty.
    pub(super) fn write(&self, root: &Root, file: &str) -> io::Result<()> {
        if let Some(text) = self.text() {
            return replace(root, file, &text);
        }
        match remove(root, file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            result => result,
        }
    }
}

fn remove(root: &Root, file: &str) -> io::Result<()> {
    let (directory, name) = root.parent(file)?;
    directory.remove_leftovers(&name);
    directory.remove_file(&name)?;
    Ok(directory.sync()?)
}

/// Replaces the content of a file atomically: a reader, also after a crash, sees either the old or the new content. Symbolic
/// links are followed, because `/etc/default` may be managed by links.
pub(super) fn replace(root: &Root, file: &str, text: &str) -> io::Result<()> {
    root.replace_file(file, text.as_bytes(), |old, new| match old {
        Some(old) => copy_attributes(old, new),
        // System configuration is world-readable.
        None => new.set_permissions(fs::Permissions::from_mode(0o644)),
    })
}

/// Copies the owner, the mode and the extended attributes of a file, such as access control lists and SELinux labels.
fn copy_attributes(from: &fs::File, to: &fs::File) -> io::Result<()> {
    let old = from.metadata()?;
    let new = to.metadata()?;
    if (old.uid(), old.gid()) != (new.uid(), new.gid()) {
        fchown(to, Some(old.uid()), Some(old.gid()))?;
    }
    // After the owner, because changing the owner clears bits of the mode, and before access control lists, because setting one
    // changes the mode. A text file needs no set-user-ID and set-group-ID bits.
    to.set_permissions(fs::Permissions::from_mode(old.permissions().mode() & 0o777))?;
    for name in xattr::names(from)? {
        // Checksums of the old content: the kernel computes new ones (Documentation/ABI/testing/evm, ima_policy). Capabilities
        // apply only to programs.
        if [c"security.ima", c"security.evm", c"security.capability"].contains(&name.as_c_str()) {
            continue;
        }
        let value = xattr::get(from, &name)?;
        // The file may have got this label on creation. The security policy may forbid setting it again.
        if xattr::get(to, &name).ok().as_ref() != Some(&value) {
            xattr::set(to, &name, &value)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_preserves_every_byte_of_the_rest() {
        let folder = tempfile::tempdir().expect("a folder");
        let root = Root::at(folder.path()).expect("a tree");
        for text in ["", "A=1\n", "A=1", "# a\n\nA=1\nB=2", "A=1\r\n"] {
            let path = folder.path().join("file");
            fs::write(&path, text).expect("write");
            let mut file = OwnedBlock::read(&root, "/file").expect("read");
            assert_eq!((file.rest.as_deref(), file.block.as_str()), (Some(text), ""));
            file.block = "C=3\n".to_owned();
            file.write(&root, "/file").expect("write");
            let mut again = OwnedBlock::read(&root, "/file").expect("read");
            assert_eq!((again.rest.as_deref(), again.block.as_str()), (Some(text), "C=3\n"), "{text:?}");
            again.block.clear();
            again.write(&root, "/file").expect("write");
            assert_eq!(fs::read_to_string(&path).expect("read"), text);
        }
    }

    #[test]
    fn a_file_that_was_created_for_the_block_is_removed_with_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let root = Root::at(folder.path()).expect("a tree");
        let path = folder.path().join("new/file");
        OwnedBlock { rest: None, block: "C=3\n".to_owned() }.write(&root, "/new/file").expect("write");
        let mut file = OwnedBlock::read(&root, "/new/file").expect("read");
        assert_eq!(file, OwnedBlock { rest: None, block: "C=3\n".to_owned() });
        file.block.clear();
        file.write(&root, "/new/file").expect("write");
        assert!(!path.exists());
    }

    #[test]
    fn a_file_keeps_its_owner_its_mode_and_its_attributes() {
        let folder = tempfile::tempdir().expect("a folder");
        let root = Root::at(folder.path()).expect("a tree");
        let path = folder.path().join("file");
        fs::write(&path, "A=1\n").expect("write");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).expect("chmod");
        let file = fs::File::open(&path).expect("open");
        // Only root may change the owner, and a file system may not support extended attributes.
        let owned = fchown(&file, Some(12), Some(34)).is_ok();
        let labelled = xattr::set(&file, c"user.label", b"some").is_ok();
        replace(&root, "/file", "B=2\n").expect("write");
        let file = fs::File::open(&path).expect("open");
        let now = file.metadata().expect("metadata");
        assert_eq!(now.permissions().mode() & 0o777, 0o640);
        assert!(!owned || (now.uid(), now.gid()) == (12, 34), "{now:?}");
        assert!(!labelled || xattr::get(&file, c"user.label").expect("the label") == b"some");
        assert_eq!(fs::read_to_string(&path).expect("read"), "B=2\n");
    }
}
