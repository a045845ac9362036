//! The little that is needed of an ELF file beside its symbols (System V ABI, chapters 4 and 5; 64 bit, the byte order
//! of the host).

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Program or section headers read at most.
const MAX_HEADERS: u16 = 4_096;

const PT_LOAD: u32 = 1;
const SHT_SYMTAB: u32 = 2;

/// What an ELF file says of itself.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Elf {
    /// File offset, size in the file, and virtual address of each segment.
    segments: Vec<(u64, u64, u64)>,
    /// Whether it has more than the symbols that it exports.
    pub(super) has_symbols: bool,
}

impl Elf {
    /// Reads the headers; `None` where the file is no such file.
    pub(super) fn read(file: &File) -> Option<Self> {
        let mut header = [0; 64];
        file.read_exact_at(&mut header, 0).ok()?;
        let byte_order = if cfg!(target_endian = "little") { 1 } else { 2 };
        if header[..4] != *b"\x7fELF" || header[4] != 2 || header[5] != byte_order {
            return None;
        }
        let programs = table(file, u64_at(&header, 32)?, u16_at(&header, 54)?, u16_at(&header, 56)?)?;
        let sections = table(file, u64_at(&header, 40)?, u16_at(&header, 58)?, u16_at(&header, 60)?);
        let segments = programs
            .iter()
            .filter(|row| u32_at(row, 0) == Some(PT_LOAD))
            .filter_map(|row| Some((u64_at(row, 8)?, u64_at(row, 32)?, u64_at(row, 16)?)))
            .collect();
        // Files without section headers have lost their symbols with them.
        let has_symbols = sections.is_some_and(|rows| rows.iter().any(|row| u32_at(row, 4) == Some(SHT_SYMTAB)));
        Some(Self { segments, has_symbols })
    }

    /// The virtual address of a file offset.
    pub(super) fn address(&self, offset: u64) -> Option<u64> {
        self.segments.iter().find_map(|(start, size, address)| {
            let inside = offset.checked_sub(*start).filter(|inside| inside < size)?;
            address.checked_add(inside)
        })
    }
}

/// Where distributions put the symbols that they strip from the file with this build ID.
pub(super) fn debug_file(build_id: &str) -> Option<PathBuf> {
    let (folder, name) = build_id.split_at_checked(2)?;
    let path = Path::new("/usr/lib/debug/.build-id").join(folder).join(format!("{name}.debug"));
    path.is_file().then_some(path)
}

fn table(file: &File, offset: u64, row_size: u16, rows: u16) -> Option<Vec<Vec<u8>>> {
    if rows > MAX_HEADERS || !(40..=256).contains(&row_size) {
        return None;
    }
    let mut bytes = vec![0; usize::from(rows) * usize::from(row_size)];
    file.read_exact_at(&mut bytes, offset).ok()?;
    Some(bytes.chunks(usize::from(row_size)).map(<[u8]>::to_vec).collect())
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_binary_has_symbols_and_a_text_file_is_no_elf_file() {
        let own = File::open("/proc/self/exe").expect("the test binary");
        let elf = Elf::read(&own).expect("an ELF file");
        assert!(elf.has_symbols);
        assert_eq!(elf.address(0), elf.segments.first().map(|(_, _, address)| *address));
        assert_eq!(elf.address(u64::MAX), None);

        let source = File::open(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")).expect("a text file");
        assert_eq!(Elf::read(&source), None);
    }
}
