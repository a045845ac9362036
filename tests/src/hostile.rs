//! The means of a hostile user of the host: ELF files with false sizes, and processes that execute them.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::{FileExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, ensure};

use crate::agent::{self, Workdir};

/// The UID and GID of the hostile user: `nobody` on Debian, but any user except root is suitable.
pub const USER: u32 = 65_534;

/// A process of the fixture `hostile`. Dropping this kills it and its children.
#[derive(Debug)]
pub struct Hostile(Child);

impl Hostile {
    /// Starts it as the hostile user, and waits until it is ready.
    pub fn start(arguments: &[&str]) -> Result<Self> {
        Self::launch(arguments)?.ready(arguments)
    }

    /// Starts it as the hostile user, in a mode that does not report when it is ready.
    pub fn launch(arguments: &[&str]) -> Result<Self> {
        let mut command = command(arguments)?;
        command.uid(USER).gid(USER);
        Ok(Self(command.spawn().context("cannot start the fixture `hostile`")?))
    }

    /// Starts it as root, and waits until it is ready.
    pub fn start_as_root(arguments: &[&str]) -> Result<Self> {
        Self(command(arguments)?.spawn().context("cannot start the fixture `hostile`")?).ready(arguments)
    }

    fn ready(mut self, arguments: &[&str]) -> Result<Self> {
        let mut line = String::new();
        BufReader::new(self.0.stdout.take().context("a pipe")?).read_line(&mut line)?;
        ensure!(line == "ready\n", "`hostile {}` has ended", arguments.join(" "));
        Ok(self)
    }

    /// The PID.
    pub fn pid(&self) -> u32 {
        self.0.id()
    }
}

fn command(arguments: &[&str]) -> Result<Command> {
    let mut command = Command::new(agent::target_dir()?.join("hostile"));
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    // A separate process group, so that its children are killed with it.
    command.process_group(0);
    Ok(command)
}

impl Drop for Hostile {
    fn drop(&mut self) {
        let group = nix::unistd::Pid::from_raw(self.0.id().cast_signed());
        // It may have exited already.
        let _ = nix::sys::signal::killpg(group, nix::sys::signal::Signal::SIGKILL);
        let _ = self.0.wait();
    }
}

/// An ELF file with an endless loop at offset 4 KiB, and one or more sections with arbitrary sizes in their headers.
#[derive(Clone, Debug, Default)]
pub struct HostileElf {
    sections: Vec<(u32, u64, u64, Vec<u8>)>,
    long: u64,
}

/// The constants `SHT_SYMTAB`, `SHT_STRTAB`, `SHT_NOTE` and `SHF_COMPRESSED` (System V ABI, chapter 4).
pub mod section {
    /// A symbol table.
    pub const SYMTAB: u32 = 2;
    /// The names of the symbols.
    pub const STRTAB: u32 = 3;
    /// Notes, such as the build ID.
    pub const NOTE: u32 = 7;
    /// The flag of a compressed section.
    pub const COMPRESSED: u64 = 1 << 11;
}

/// The file offset of the contents of the first section.
const CONTENT: u64 = 0x2000;

impl HostileElf {
    /// Adds a section. `claimed` is the size in the section header, by default the length of the contents.
    #[must_use]
    pub fn section(mut self, kind: u32, flags: u64, content: Vec<u8>, claimed: Option<u64>) -> Self {
        let claimed = claimed.unwrap_or(content.len() as u64);
        self.sections.push((kind, flags, claimed, content));
        self
    }

    /// Sets the minimum length of the file, in bytes. The additional length takes no space on the disk.
    #[must_use]
    pub fn sparse(mut self, length: u64) -> Self {
        self.long = length;
        self
    }

    /// Writes the file, which every user may read.
    pub fn write(&self, path: &Path) -> Result<()> {
        const NAMES: &[u8] = b"\0.symtab\0.strtab\0.note.gnu.build-id\0.shstrtab\0";
        let file = File::create(path)?;
        let mut code = [0x0f, 0x1f, 0x44, 0, 0].repeat(200);
        code.push(0xe9);
        code.extend((-(code.len() as i32 + 4)).to_le_bytes());
        file.write_all_at(&code, 0x1000)?;
        file.write_all_at(NAMES, 0x700)?;
        let mut headers = vec![0; 64];
        let mut at = CONTENT;
        for (kind, flags, claimed, content) in &self.sections {
            let name = match *kind {
                section::SYMTAB => 1,
                section::STRTAB => 9,
                _ => 17,
            };
            let linked = if *kind == section::SYMTAB { 2 } else { 0 };
            headers.extend(section_header(name, *kind, *flags, at, *claimed, linked));
            file.write_all_at(content, at)?;
            at += content.len() as u64;
        }
        headers.extend(section_header(36, section::STRTAB, 0, 0x700, NAMES.len() as u64, 0));
        let count = self.sections.len() as u16 + 2;
        file.write_all_at(&headers, 0x400)?;
        let mut header = b"\x7fELF\x02\x01\x01".to_vec();
        header.resize(16, 0);
        header.extend([3u16, 62].iter().flat_map(|word| word.to_le_bytes()));
        header.extend(1u32.to_le_bytes());
        header.extend([0u64, 64, 0x400].iter().flat_map(|word| word.to_le_bytes()));
        header.extend(0u32.to_le_bytes());
        header.extend([64u16, 56, 1, 64, count, count - 1].iter().flat_map(|word| word.to_le_bytes()));
        // A segment of 8 KiB, readable and executable.
        header.extend([1u32, 5].iter().flat_map(|word| word.to_le_bytes()));
        header.extend([0u64, 0, 0, 0x2000, 0x2000, 0x1000].iter().flat_map(|word| word.to_le_bytes()));
        file.write_all_at(&header, 0)?;
        file.set_len(at.max(self.long).max(CONTENT))?;
        Ok(())
    }
}

fn section_header(name: u32, kind: u32, flags: u64, offset: u64, size: u64, link: u32) -> Vec<u8> {
    let mut header = Vec::new();
    header.extend([name, kind].iter().flat_map(|word| word.to_le_bytes()));
    header.extend([flags, 0, offset, size].iter().flat_map(|word| word.to_le_bytes()));
    header.extend([link, 1].iter().flat_map(|word| word.to_le_bytes()));
    header.extend([8u64, if kind == section::SYMTAB { 24 } else { 0 }].iter().flat_map(|word| word.to_le_bytes()));
    header
}

/// Symbols for the code of a [`HostileElf`]. The names of all of them are at offset 1 of the string table.
#[must_use]
pub fn symbols(count: usize) -> Vec<u8> {
    let symbol = |number: usize| {
        let mut symbol = 1u32.to_le_bytes().to_vec();
        symbol.extend([0x12, 0, 1, 0]);
        symbol.extend([0x1000 + 5 * (number as u64 % 200), 5].iter().flat_map(|word| word.to_le_bytes()));
        symbol
    };
    (0..count).flat_map(symbol).collect()
}

/// A file with one of the longest paths that there are, which all users may map.
pub fn file_with_a_long_path(dir: &Workdir) -> Result<PathBuf> {
    let mut path = dir.path(".");
    while path.as_os_str().len() < 3_500 {
        path.push("x".repeat(250));
    }
    fs::create_dir_all(&path)?;
    fs::set_permissions(dir.path("."), fs::Permissions::from_mode(0o755))?;
    path.push("code");
    fs::write(&path, [0xcc; 4_096])?;
    Ok(path)
}
