//! The files from which the boot loader of a host takes the kernel command line.

use std::io;

use super::Root;
use crate::program::Program;

/// The boot loader of a host, with the files that determine the kernel command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BootLoader {
    /// GRUB, whose menu a program generates from shell assignments. The shell reads the files of the drop-in directory in the
    /// order of their names; some are read after quell's file and append to the command line, as Debian's `init-select.cfg`
    /// does. After the menu is generated, quell checks that it contains quell's parameters.
    Grub {
        /// The file to which quell writes its assignments, from the host's root.
        file: String,
        /// The program that generates the menu, and the file that it writes.
        generator: GrubGenerator,
    },
    /// One entry per kernel, as in the Boot Loader Specification: GRUB on Fedora and Red Hat, and systemd-boot. Also
    /// `/etc/kernel/cmdline`, if it exists, for the entries of kernels that are installed later.
    Entries {
        /// All files with a command line, from the host's root.
        files: Vec<String>,
    },
}

/// The command that generates GRUB's menu.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GrubGenerator {
    /// The program.
    pub program: Program,
    /// Its arguments.
    pub arguments: &'static [&'static str],
    /// The file that it writes, from the host's root.
    pub menu: &'static str,
}

const DEFAULT_GRUB: &str = "/etc/default/grub";
const DROP_INS: &str = "/etc/default/grub.d";
const DROP_IN: &str = "/etc/default/grub.d/99-quell.cfg";
/// The directories of boot entries: that of GRUB, and those on an EFI system partition.
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
    /// The generator of a host, according to the programs that it has; Debian's if it has none of them.
    #[must_use]
    pub fn of(root: &Root) -> Self {
        let known = GENERATORS.iter().find(|(path, _)| root.has(path) || root.has(&path.replace("sbin", "bin")));
        known.map_or(DEBIAN, |(_, generator)| *generator)
    }
}

impl BootLoader {
    /// The boot loader of a host; `None` if it has none that quell knows, as in a virtual machine whose kernel is loaded by the
    /// hypervisor.
    ///
    /// # Errors
    /// A directory cannot be listed, or an entry cannot be read; an unreadable entry is not treated as missing.
    pub fn of(root: &Root) -> io::Result<Option<Self>> {
        let mut files = entries(root)?;
        if !files.is_empty() {
            files.extend(root.has(KERNEL_COMMAND_LINE).then(|| KERNEL_COMMAND_LINE.to_owned()));
            return Ok(Some(Self::Entries { files }));
        }
        if !root.has(DEFAULT_GRUB) {
            return Ok(None);
        }
        // Debian and Ubuntu read the drop-in directory; if there is none, quell's section is at the end of the file itself.
        let file = if root.is_directory(DROP_INS) { DROP_IN } else { DEFAULT_GRUB };
        Ok(Some(Self::Grub { file: file.to_owned(), generator: GrubGenerator::of(root) }))
    }

    /// The existing files that set GRUB's command line, in the order in which they are read.
    ///
    /// # Errors
    /// The drop-in directory cannot be listed.
    pub fn grub_files(root: &Root) -> io::Result<Vec<String>> {
        let drop_ins = root.list(DROP_INS)?.into_iter().filter(|name| name.ends_with(".cfg"));
        let drop_ins = drop_ins.map(|name| format!("{DROP_INS}/{name}"));
        Ok([DEFAULT_GRUB.to_owned()].into_iter().chain(drop_ins).filter(|file| root.has(file)).collect())
    }

    /// All files that may contain kernel parameters of quell, whichever boot loader the host had when they were written.
    ///
    /// # Errors
    /// The errors of [`of`](Self::of).
    pub fn candidates(root: &Root) -> io::Result<Vec<String>> {
        let mut files = entries(root)?;
        files.extend(
            [KERNEL_COMMAND_LINE, DEFAULT_GRUB, DROP_IN].into_iter().filter(|file| root.has(file)).map(str::to_owned),
        );
        Ok(files)
    }

    /// Whether a file contains shell assignments for GRUB.
    #[must_use]
    pub fn is_grub_file(file: &str) -> bool {
        file == DEFAULT_GRUB || file.starts_with(DROP_INS)
    }
}

/// The boot entries that have a command line.
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
        // Not UTF-8.
        fs::write(folder.path().join("boot/loader/entries/a.conf"), [0xff]).expect("bytes");
        assert!(BootLoader::of(&root).is_err(), "and no GRUB either, whatever that file says");
    }
}
