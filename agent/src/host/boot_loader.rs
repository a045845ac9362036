//! Where a host's boot loader takes the kernel's command line from.

use std::io;

use super::Root;
use crate::program::Program;

/// A boot loader's way to the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BootLoader {
    /// GRUB, which a program makes a menu for: from this file of shell assignments. The shell
    /// reads those of the folder in the order of their names: some come after quell's and add to the line, as Debian's
    /// `init-select.cfg` does. Whether quell's words are in the menu is looked at when it was made.
    Grub {
        /// From the host's root.
        file: String,
        /// The program that makes the menu, and where it writes it.
        generator: GrubGenerator,
    },
    /// An entry for each kernel, by the Boot Loader Specification: GRUB of Fedora and Red Hat, systemd-boot. And
    /// `/etc/kernel/cmdline`, where there is one, for the entries of kernels to come.
    Entries {
        /// Every file with a command line, from the host's root.
        files: Vec<String>,
    },
}

/// How GRUB's menu is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GrubGenerator {
    /// The program.
    pub program: Program,
    /// Its arguments.
    pub arguments: &'static [&'static str],
    /// What it writes, from the host's root.
    pub menu: &'static str,
}

const DEFAULT_GRUB: &str = "/etc/default/grub";
const DROP_INS: &str = "/etc/default/grub.d";
const DROP_IN: &str = "/etc/default/grub.d/99-quell.cfg";
/// Where entries are: of GRUB, and on an EFI partition.
const ENTRIES: [&str; 4] =
    ["/boot/loader/entries", "/efi/loader/entries", "/boot/efi/loader/entries", "/boot/efi/EFI/loader/entries"];
const KERNEL_COMMAND_LINE: &str = "/etc/kernel/cmdline";

const DEBIAN: GrubGenerator =
    GrubGenerator { program: Program::UpdateGrub, arguments: &[], menu: "/boot/grub/grub.cfg" };
const GENERATORS: [(&str, GrubGenerator); 3] = [
    ("/usr/sbin/update-grub", DEBIAN),
    (
        "/usr/sbin/grub2-mkconfig",
        GrubGenerator {
            program: Program::Grub2Mkconfig,
            arguments: &["-o", "/boot/grub2/grub.cfg"],
            menu: "/boot/grub2/grub.cfg",
        },
    ),
    (
        "/usr/sbin/grub-mkconfig",
        GrubGenerator {
            program: Program::GrubMkconfig,
            arguments: &["-o", "/boot/grub/grub.cfg"],
            menu: "/boot/grub/grub.cfg",
        },
    ),
];

impl GrubGenerator {
    /// That of a host, by the programs that it has; Debian's where it has none.
    #[must_use]
    pub fn of(root: &Root) -> Self {
        let known = GENERATORS.iter().find(|(path, _)| root.has(path) || root.has(&path.replace("sbin", "bin")));
        known.map_or(DEBIAN, |(_, generator)| *generator)
    }
}

impl BootLoader {
    /// That of a host; `None` where it has none that is known, as virtual machines do that are booted from outside.
    ///
    /// # Errors
    /// Directories that cannot be listed, and entries that cannot be read: what they say is not nothing.
    pub fn of(root: &Root) -> io::Result<Option<Self>> {
        let mut files = entries(root)?;
        if !files.is_empty() {
            files.extend(root.has(KERNEL_COMMAND_LINE).then(|| KERNEL_COMMAND_LINE.to_owned()));
            return Ok(Some(Self::Entries { files }));
        }
        if !root.has(DEFAULT_GRUB) {
            return Ok(None);
        }
        // Debian and Ubuntu read the folder; where there is none, the file itself has quell's part at its end.
        let file = if root.is_directory(DROP_INS) { DROP_IN } else { DEFAULT_GRUB };
        Ok(Some(Self::Grub { file: file.to_owned(), generator: GrubGenerator::of(root) }))
    }

    /// The files that say GRUB's command line, in the order of reading, where they are.
    ///
    /// # Errors
    /// Those of listing.
    pub fn grub_files(root: &Root) -> io::Result<Vec<String>> {
        let drop_ins = root.list(DROP_INS)?.into_iter().filter(|name| name.ends_with(".cfg"));
        let drop_ins = drop_ins.map(|name| format!("{DROP_INS}/{name}"));
        Ok([DEFAULT_GRUB.to_owned()].into_iter().chain(drop_ins).filter(|file| root.has(file)).collect())
    }

    /// Every file that may have words of quell's, whichever boot loader the host had when they were written.
    ///
    /// # Errors
    /// As for [`of`](Self::of).
    pub fn candidates(root: &Root) -> io::Result<Vec<String>> {
        let mut files = entries(root)?;
        files.extend(
            [KERNEL_COMMAND_LINE, DEFAULT_GRUB, DROP_IN].into_iter().filter(|file| root.has(file)).map(str::to_owned),
        );
        Ok(files)
    }

    /// Whether a file is one of GRUB's shell assignments.
    #[must_use]
    pub fn is_grub_file(file: &str) -> bool {
        file == DEFAULT_GRUB || file.starts_with(DROP_INS)
    }
}

/// The entries that have a command line.
fn entries(root: &Root) -> io::Result<Vec<String>> {
    let mut files = Vec::new();
    for folder in ENTRIES {
        for name in root.list(folder)?.into_iter().filter(|name| name.ends_with(".conf")) {
            let file = format!("{folder}/{name}");
            if root.read(&file)?.lines().any(|line| line.starts_with("options")) {
                files.push(file);
            }
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    fn put(root: &Path, path: &str, text: &str) {
        let path = root.join(path.trim_start_matches('/'));
        fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        fs::write(path, text).expect("a file");
    }

    #[test]
    fn entries_come_before_the_file_that_made_them_and_no_loader_is_none() {
        let folder = tempfile::tempdir().expect("a folder");
        let root = Root::at(folder.path()).expect("a root");
        let loader = || BootLoader::of(&root).expect("readable");
        assert_eq!(loader(), None);
        put(folder.path(), "/etc/default/grub", "GRUB_CMDLINE_LINUX=\"\"\n");
        put(folder.path(), "/usr/sbin/grub2-mkconfig", "");
        match loader() {
            Some(BootLoader::Grub { file, generator }) => {
                assert_eq!((file.as_str(), generator.program), ("/etc/default/grub", Program::Grub2Mkconfig));
            }
            other => panic!("{other:?}"),
        }
        put(folder.path(), "/etc/default/grub.d/10-site.cfg", "");
        assert!(matches!(loader(), Some(BootLoader::Grub { file, .. }) if file.ends_with("99-quell.cfg")));
        put(folder.path(), "/boot/loader/entries/a.conf", "title A\noptions root=/dev/sda1\n");
        put(folder.path(), "/etc/kernel/cmdline", "root=/dev/sda1\n");
        let files = vec!["/boot/loader/entries/a.conf".to_owned(), "/etc/kernel/cmdline".to_owned()];
        assert_eq!(loader(), Some(BootLoader::Entries { files }));
        let candidates = BootLoader::candidates(&root).expect("readable");
        assert!(candidates.contains(&"/etc/default/grub".to_owned()), "{candidates:?}");
        // No text.
        fs::write(folder.path().join("boot/loader/entries/a.conf"), [0xff]).expect("bytes");
        assert!(BootLoader::of(&root).is_err(), "and no GRUB either, whatever that file says");
    }
}
