//! Whether a program's heap can be made of huge pages: what `GLIBC_TUNABLES` reaches.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::Read as _;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

/// Why `GLIBC_TUNABLES` may change nothing of how a program allocates; `None` where it does change it, or where that cannot be told: of a script,
/// say, or of what cannot be read.
#[must_use]
pub fn out_of_reach(program: &OsStr) -> Option<String> {
    let path = found(program)?;
    let mut file = Vec::new();
    fs::File::open(&path).ok()?.take(BEGINNING).read_to_end(&mut file).ok()?;
    let name = path.display();
    Some(match interpreter(&file)? {
        None => format!("{name} is linked statically, and whose malloc it has cannot be told"),
        Some(linker) => match glibc(&fs::read(&linker).ok()?) {
            Some(version) if version >= FIRST => return None,
            Some((major, minor)) => format!("{name} runs with glibc {major}.{minor}, and it takes 2.35"),
            None => format!("{name} runs with {}, which is no glibc of 2.35 or later", linker.display()),
        },
    })
}

/// Linkers put the headers, and the name of the dynamic linker, at a program's beginning.
const BEGINNING: u64 = 1 << 16;
/// The first with `glibc.malloc.hugetlb` (its NEWS for 2.35).
const FIRST: (u32, u32) = (2, 35);

/// As execvp(3) finds it.
fn found(program: &OsStr) -> Option<PathBuf> {
    if program.as_bytes().contains(&b'/') {
        return Some(program.into());
    }
    let executable =
        |path: &PathBuf| fs::metadata(path).is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0);
    env::split_paths(&env::var_os("PATH")?).map(|directory| directory.join(program)).find(executable)
}

/// The dynamic linker that a program names (`PT_INTERP`, elf(5)), if it names one; `None` where it is no program of 64 bits in
/// this machine's order of bytes.
fn interpreter(file: &[u8]) -> Option<Option<PathBuf>> {
    const CLASS_64: u8 = 2;
    const PT_INTERP: u32 = 3;
    let bytes = |at: usize, length: usize| file.get(at..at.checked_add(length)?);
    let word = |at: usize| Some(usize::from(u16::from_ne_bytes(bytes(at, 2)?.try_into().ok()?)));
    let long = |at: usize| usize::try_from(u64::from_ne_bytes(bytes(at, 8)?.try_into().ok()?)).ok();
    if bytes(0, 4)? != b"\x7fELF" || file.get(4) != Some(&CLASS_64) {
        return None;
    }
    // e_phoff, e_phentsize and e_phnum; p_type, p_offset and p_filesz.
    let (table, size, count) = (long(32)?, word(54)?, word(56)?);
    for header in (0..count).map(|index| table.saturating_add(index * size)) {
        if bytes(header, 4)? == PT_INTERP.to_ne_bytes() {
            let path = bytes(long(header.checked_add(8)?)?, long(header.checked_add(32)?)?)?;
            let end = path.iter().position(|byte| *byte == 0).unwrap_or(path.len());
            return Some(Some(OsString::from_vec(path[..end].to_vec()).into()));
        }
    }
    Some(None)
}

/// The version that a dynamic linker of glibc says it is of, for its `--version` (2.33): `ld.so (Debian GLIBC 2.36-9) stable
/// release version 2.36.`
fn glibc(linker: &[u8]) -> Option<(u32, u32)> {
    const SAYS: &[u8] = b"release version ";
    let at = linker.windows(SAYS.len()).position(|window| window == SAYS)? + SAYS.len();
    let rest = linker.get(at..(at + 16).min(linker.len()))?;
    let version: String =
        rest.iter().map(|byte| char::from(*byte)).take_while(|c| c.is_ascii_digit() || *c == '.').collect();
    let (major, rest) = version.split_once('.')?;
    let minor = rest.split('.').next()?;
    linker.windows(5).any(|window| window == b"GLIBC").then_some((major.parse().ok()?, minor.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// A program that names this dynamic linker, as a file.
    fn program(folder: &Path, linker: Option<&Path>) -> PathBuf {
        let mut file = b"\x7fELF\x02\x01\x01".to_vec();
        file.resize(64, 0);
        file[32..40].copy_from_slice(&64u64.to_ne_bytes());
        file[54..56].copy_from_slice(&56u16.to_ne_bytes());
        file[56..58].copy_from_slice(&2u16.to_ne_bytes());
        let path = linker.map(|linker| linker.as_os_str().as_bytes()).unwrap_or_default();
        for kind in [1u32, if linker.is_some() { 3 } else { 1 }] {
            let mut header = kind.to_ne_bytes().to_vec();
            header.resize(56, 0);
            header[8..16].copy_from_slice(&176u64.to_ne_bytes());
            header[32..40].copy_from_slice(&(path.len() as u64 + 1).to_ne_bytes());
            file.extend(header);
        }
        file.extend(path);
        file.push(0);
        let place = folder.join("program");
        fs::write(&place, file).expect("a file");
        place
    }

    fn said(linker: Option<&str>) -> Option<String> {
        let folder = tempfile::tempdir().expect("a folder");
        let place = folder.path().join("ld.so");
        fs::write(&place, linker.unwrap_or_default()).expect("a file");
        out_of_reach(program(folder.path(), linker.map(|_| place.as_path())).as_os_str())
    }

    #[test]
    fn a_program_is_out_of_reach_unless_a_glibc_of_2_35_allocates_for_it() {
        assert_eq!(said(Some("ld.so (Debian GLIBC 2.36-9) stable release version 2.36.\n")), None);
        assert_eq!(said(Some("ld.so (GNU libc) GLIBC_2.2.5 stable release version 2.35.\n")), None);
        let old = said(Some("ld.so (Debian GLIBC 2.34-1) stable release version 2.34.\n")).expect("too old");
        assert!(old.ends_with("runs with glibc 2.34, and it takes 2.35"), "{old}");
        let before = said(Some("\x7fELF GLIBC_2.31 GLIBC_PRIVATE")).expect("it does not say");
        assert!(before.ends_with("which is no glibc of 2.35 or later"), "{before}");
        let musl = said(Some("musl libc (x86_64)\nVersion %s\n")).expect("musl");
        assert!(musl.contains("/ld.so, which is no glibc"), "{musl}");
        assert!(said(None).is_some_and(|said| said.contains("is linked statically")));
    }

    #[test]
    fn what_cannot_be_told_is_not_said() {
        let folder = tempfile::tempdir().expect("a folder");
        let script = folder.path().join("script");
        fs::write(&script, "#!/bin/sh\n").expect("a file");
        assert_eq!(out_of_reach(script.as_os_str()), None);
        assert_eq!(out_of_reach(OsStr::new("/no/such/program")), None);
        fs::write(&script, b"\x7fELF\x02").expect("a file");
        assert_eq!(out_of_reach(script.as_os_str()), None, "cut off");
    }

    #[test]
    fn this_programs_own_shell_is_found_where_it_is() {
        let path = found(OsStr::new("sh")).expect("a shell");
        let file = fs::read(&path).expect("a file");
        let linker = interpreter(&file).expect("a program").expect("one that is linked dynamically");
        assert!(linker.exists(), "{}", linker.display());
    }
}
