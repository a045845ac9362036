//! Reads the needed parts of an ELF file besides its symbols, and creates a copy of its symbols that is safe to map (System V
//! ABI, chapters 4 and 5; only the byte order of the host).
//!
//! An ELF file is untrusted, and may change while it is read. So every length is checked against a limit before memory is
//! allocated, and symbols are looked up in a copy that no other process can truncate.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use nix::sys::memfd::{MFdFlags, memfd_create};

use crate::child::DEBUG_FILES;

/// The maximum size of the symbol and string tables that are copied from a file, in bytes: sufficient for a browser with all
/// symbols.
pub(super) const MAX_SYMBOLS: u64 = 512 << 20;

/// The maximum length of a build ID, in bytes: that of SHA-512.
const MAX_BUILD_ID: usize = 64;

/// The maximum size of the notes that are read from a file, in bytes.
const MAX_NOTES: u64 = 64 << 10;

/// The maximum length of a symbol name, in bytes. Longer names are truncated.
const MAX_NAME: usize = 4_096;

const PT_LOAD: u32 = 1;
const PT_NOTE: u32 = 4;
const SHT_SYMTAB: u32 = 2;
const SHT_STRTAB: u32 = 3;
const SHT_NOTE: u32 = 7;
const SHT_NOBITS: u32 = 8;
const SHT_DYNSYM: u32 = 11;
const SHF_COMPRESSED: u64 = 1 << 11;
const NT_GNU_BUILD_ID: u32 = 3;

/// The reason why the symbols of a file cannot be read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ElfError {
    /// The file is not an ELF file, or is inconsistent.
    Damaged,
    /// The file exceeds a limit.
    TooLarge,
    /// The file cannot be read.
    Unreadable,
}

impl From<io::Error> for ElfError {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::UnexpectedEof { Self::Damaged } else { Self::Unreadable }
    }
}

/// The headers of an ELF file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Elf {
    layout: &'static Layout,
    header: Vec<u8>,
    programs: Vec<u8>,
    segments: Vec<Segment>,
    sections: Vec<Section>,
    section_headers: Vec<u8>,
    /// The virtual address of the entry point; 0 for most shared libraries.
    entry: u64,
    /// Whether it has symbols in addition to the exported ones.
    pub(super) has_symbols: bool,
}

#[derive(Debug, PartialEq, Eq)]
struct Segment {
    kind: u32,
    offset: u64,
    size: u64,
    address: u64,
}

#[derive(Debug, PartialEq, Eq)]
struct Section {
    kind: u32,
    flags: u64,
    offset: u64,
    size: u64,
}

/// The positions of fields for one ELF class: offsets in bytes, and whether addresses have 8 or 4 bytes.
#[derive(Debug, PartialEq, Eq)]
struct Layout {
    wide: bool,
    header: usize,
    entry: usize,
    program_table: usize,
    section_table: usize,
    /// The offset of `e_phentsize`, which is followed by `e_phnum`, `e_shentsize` and `e_shnum`.
    sizes: usize,
    program: usize,
    program_offset: usize,
    program_address: usize,
    program_size: usize,
    section: usize,
    section_flags: usize,
    section_offset: usize,
    section_size: usize,
}

static WIDE: Layout = Layout {
    wide: true,
    header: 64,
    entry: 24,
    program_table: 32,
    section_table: 40,
    sizes: 54,
    program: 56,
    program_offset: 8,
    program_address: 16,
    program_size: 32,
    section: 64,
    section_flags: 8,
    section_offset: 24,
    section_size: 32,
};

static NARROW: Layout = Layout {
    wide: false,
    header: 52,
    entry: 24,
    program_table: 28,
    section_table: 32,
    sizes: 42,
    program: 32,
    program_offset: 4,
    program_address: 8,
    program_size: 16,
    section: 40,
    section_flags: 8,
    section_offset: 16,
    section_size: 20,
};

impl Layout {
    /// Reads an address or an offset.
    fn word(&self, bytes: &[u8], at: usize) -> Option<u64> {
        if self.wide { u64_at(bytes, at) } else { u32_at(bytes, at).map(u64::from) }
    }

    fn put(&self, bytes: &mut [u8], at: usize, word: u64) -> Option<()> {
        if self.wide {
            *bytes.get_mut(at..)?.first_chunk_mut()? = word.to_ne_bytes();
        } else {
            *bytes.get_mut(at..)?.first_chunk_mut()? = u32::try_from(word).ok()?.to_ne_bytes();
        }
        Some(())
    }
}

impl Elf {
    /// Reads the headers.
    ///
    /// # Errors
    /// Any [`ElfError`].
    pub(super) fn read(file: &File) -> Result<Self, ElfError> {
        let mut header = vec![0; 64];
        file.read_exact_at(&mut header[..52], 0)?;
        let byte_order = if cfg!(target_endian = "little") { 1 } else { 2 };
        if header[..4] != *b"\x7fELF" || header[5] != byte_order {
            return Err(ElfError::Damaged);
        }
        let layout = match header[4] {
            1 => &NARROW,
            2 => &WIDE,
            _ => return Err(ElfError::Damaged),
        };
        header.truncate(layout.header);
        file.read_exact_at(&mut header, 0)?;
        let size = |index: usize| u16_at(&header, layout.sizes + 2 * index).ok_or(ElfError::Damaged);
        let word = |at: usize| layout.word(&header, at).ok_or(ElfError::Damaged);
        let programs = table(file, word(layout.program_table)?, (size(0)?, layout.program), size(1)?)?;
        // A file without section headers has no symbol tables either.
        let section_headers =
            table(file, word(layout.section_table)?, (size(2)?, layout.section), size(3)?).unwrap_or_default();
        let segments = rows(&programs, layout.program, |row| {
            Some(Segment {
                kind: u32_at(row, 0)?,
                offset: layout.word(row, layout.program_offset)?,
                size: layout.word(row, layout.program_size)?,
                address: layout.word(row, layout.program_address)?,
            })
        });
        let sections = rows(&section_headers, layout.section, |row| {
            Some(Section {
                kind: u32_at(row, 4)?,
                flags: layout.word(row, layout.section_flags)?,
                offset: layout.word(row, layout.section_offset)?,
                size: layout.word(row, layout.section_size)?,
            })
        });
        let has_symbols = sections.iter().any(|section| section.kind == SHT_SYMTAB);
        let entry = word(layout.entry)?;
        Ok(Self { layout, header, programs, segments, sections, section_headers, entry, has_symbols })
    }

    /// The distance of a file offset from the entry point, if it is in the function at the entry point. This distinguishes a
    /// complete stack of a stripped program from a truncated one.
    pub(super) fn behind_entry(&self, offset: u64) -> Option<u64> {
        let behind = self.address(offset)?.checked_sub(self.entry)?;
        (self.entry != 0 && behind < ENTRY_SIZE).then_some(behind)
    }

    /// The virtual address of a file offset.
    pub(super) fn address(&self, offset: u64) -> Option<u64> {
        self.segments.iter().filter(|segment| segment.kind == PT_LOAD).find_map(|segment| {
            let inside = offset.checked_sub(segment.offset).filter(|inside| *inside < segment.size)?;
            segment.address.checked_add(inside)
        })
    }

    /// The build ID, from the notes of the segments, or from the notes of the sections if no segment has one.
    pub(super) fn build_id(&self, file: &File) -> Option<Vec<u8>> {
        let segments = self.segments.iter().filter(|segment| segment.kind == PT_NOTE);
        let sections = self.sections.iter().filter(|section| section.kind == SHT_NOTE && !section.is_compressed());
        let places = segments.map(|row| (row.offset, row.size)).chain(sections.map(|row| (row.offset, row.size)));
        let mut left = MAX_NOTES;
        for (offset, size) in places {
            let mut notes = vec![0; usize::try_from(size.min(left)).ok()?];
            let read = file.read_at(&mut notes, offset).unwrap_or(0);
            left -= size.min(left);
            if let Some(id) = build_id(&notes[..read]) {
                return Some(id.to_vec());
            }
        }
        None
    }

    /// Copies the headers, the symbol tables and their string tables into memory of this process, as an ELF file with the same
    /// addresses. Each name in it ends within 4 KiB.
    ///
    /// # Errors
    /// Any [`ElfError`].
    pub(super) fn copy_symbols(&self, file: &File) -> Result<File, ElfError> {
        let layout = self.layout;
        let damaged = || ElfError::Damaged;
        let copy = File::from(memfd_create("symbols", MFdFlags::MFD_CLOEXEC).map_err(io::Error::from)?);
        let mut header = self.header.clone();
        let mut headers = self.section_headers.clone();
        let program_table = layout.header as u64;
        let section_table = program_table + self.programs.len() as u64;
        layout.put(&mut header, layout.program_table, program_table).ok_or_else(damaged)?;
        layout.put(&mut header, layout.section_table, section_table).ok_or_else(damaged)?;
        // Symbol tables are aligned to 8 bytes.
        let mut at = (section_table + headers.len() as u64).next_multiple_of(8);
        let mut copied = 0u64;
        for (section, row) in self.sections.iter().zip(headers.chunks_exact_mut(layout.section)) {
            if !matches!(section.kind, SHT_SYMTAB | SHT_DYNSYM | SHT_STRTAB) || section.is_compressed() {
                // The copy does not contain this section, so it is marked as empty.
                row[4..8].copy_from_slice(&SHT_NOBITS.to_ne_bytes());
                layout.put(row, layout.section_size, 0).ok_or_else(damaged)?;
                layout.put(row, layout.section_offset, 0).ok_or_else(damaged)?;
                continue;
            }
            copied = copied.saturating_add(section.size);
            if copied > MAX_SYMBOLS {
                return Err(ElfError::TooLarge);
            }
            layout.put(row, layout.section_offset, at).ok_or_else(damaged)?;
            copy_section(file, section, &copy, at)?;
            at = (at + section.size).next_multiple_of(8);
        }
        copy.set_len(at)?;
        copy.write_all_at(&header, 0)?;
        copy.write_all_at(&self.programs, program_table)?;
        copy.write_all_at(&headers, section_table)?;
        (&copy).flush()?;
        Ok(copy)
    }
}

impl Section {
    fn is_compressed(&self) -> bool {
        self.flags & SHF_COMPRESSED != 0
    }
}

fn copy_section(file: &File, section: &Section, copy: &File, to: u64) -> Result<(), ElfError> {
    let mut buffer = vec![0; 1 << 20];
    let (mut done, mut run) = (0, 0);
    while done < section.size {
        let length = usize::try_from(section.size - done).map_or(buffer.len(), |left| left.min(buffer.len()));
        let piece = &mut buffer[..length];
        let from = section.offset.checked_add(done).ok_or(ElfError::Damaged)?;
        file.read_exact_at(piece, from)?;
        if section.kind == SHT_STRTAB {
            end_names(piece, &mut run);
        }
        copy.write_all_at(piece, to + done)?;
        done += length as u64;
    }
    Ok(())
}

/// Truncates all names that are longer than [`MAX_NAME`]. `run` is the number of bytes of an unterminated name before `piece`.
fn end_names(piece: &mut [u8], run: &mut usize) {
    for byte in piece {
        *run = if *byte == 0 { 0 } else { *run + 1 };
        if *run > MAX_NAME {
            *byte = 0;
            *run = 0;
        }
    }
}

/// The function at the entry point of an ELF file, as named by the C runtimes.
pub(super) const ENTRY: &str = "_start";

/// The assumed size of this function, in bytes: those of glibc and musl have 34 to 60 bytes on x86-64 and aarch64.
const ENTRY_SIZE: u64 = 64;

/// The file in [`DEBUG_FILES`] that contains the symbols of the file with this build ID.
pub(super) fn debug_file(build_id: &str) -> Option<PathBuf> {
    let (folder, name) = build_id.split_at_checked(2)?;
    let path = Path::new(DEBUG_FILES).join(folder).join(format!("{name}.debug"));
    path.is_file().then_some(path)
}

/// The GNU build ID in a sequence of notes. A note has three words (length of the name, length of the description, type), then
/// the name and the description, each padded to 4 bytes.
fn build_id(mut notes: &[u8]) -> Option<&[u8]> {
    loop {
        let [name, description, kind] = [u32_at(notes, 0)?, u32_at(notes, 4)?, u32_at(notes, 8)?];
        let padded = |length: u32| usize::try_from(length).ok()?.checked_next_multiple_of(4);
        let begin = 12usize.checked_add(padded(name)?)?;
        if kind == NT_GNU_BUILD_ID && notes.get(12..16) == Some(b"GNU\0") && name == 4 {
            let id = notes.get(begin..begin.checked_add(description as usize)?)?;
            return (!id.is_empty() && id.len() <= MAX_BUILD_ID).then_some(id);
        }
        notes = notes.get(begin.checked_add(padded(description)?)?..)?;
    }
}

/// Reads a table of headers. The rows must have the size that the ELF class defines; there are at most 65,535.
fn table(file: &File, offset: u64, (row, expected): (u16, usize), rows: u16) -> Result<Vec<u8>, ElfError> {
    if rows > 0 && usize::from(row) != expected {
        return Err(ElfError::Damaged);
    }
    let mut bytes = vec![0; usize::from(rows) * expected];
    file.read_exact_at(&mut bytes, offset)?;
    Ok(bytes)
}

fn rows<T>(table: &[u8], size: usize, row: impl Fn(&[u8]) -> Option<T>) -> Vec<T> {
    table.chunks_exact(size).filter_map(row).collect()
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

    fn note(name: &[u8], description: &[u8], kind: u32) -> Vec<u8> {
        let mut note = Vec::new();
        for word in [name.len() as u32, description.len() as u32, kind] {
            note.extend(word.to_ne_bytes());
        }
        for part in [name, description] {
            note.extend(part);
            note.resize(note.len().next_multiple_of(4), 0);
        }
        note
    }

    #[test]
    fn this_binary_has_symbols_and_a_text_file_is_no_elf_file() {
        let own = File::open("/proc/self/exe").expect("the test binary");
        let elf = Elf::read(&own).expect("an ELF file");
        assert!(elf.has_symbols);
        let first = elf.segments.iter().find(|segment| segment.kind == PT_LOAD).map(|segment| segment.address);
        assert_eq!(elf.address(0), first);
        assert_eq!(elf.address(u64::MAX), None);
        let source = File::open(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")).expect("a text file");
        assert_eq!(Elf::read(&source), Err(ElfError::Damaged));
    }

    #[test]
    fn a_copy_has_the_symbols_and_nothing_else_of_the_size() {
        let own = File::open("/proc/self/exe").expect("the test binary");
        let copy = Elf::read(&own).and_then(|elf| elf.copy_symbols(&own)).expect("a copy");
        let (before, after) = (Elf::read(&own).expect("ELF"), Elf::read(&copy).expect("ELF"));
        assert_eq!((before.segments, before.entry), (after.segments, after.entry));
        let symbols =
            |elf: &[Section]| elf.iter().filter(|row| row.kind == SHT_SYMTAB).map(|row| row.size).sum::<u64>();
        assert_eq!(symbols(&before.sections), symbols(&after.sections));
        let size = |file: &File| file.metadata().expect("readable").len();
        assert!(size(&copy) < size(&own), "{} of {}", size(&copy), size(&own));
    }

    #[test]
    fn a_build_id_is_found_among_other_notes_and_is_of_a_usual_length() {
        let others = [note(b"GNU\0", b"abi!", 1), note(b"stapsdt\0", b"probe", NT_GNU_BUILD_ID)].concat();
        let with = |id: &[u8]| [&others[..], &note(b"GNU\0", id, NT_GNU_BUILD_ID)].concat();
        assert_eq!(build_id(&with(&[7; 20])), Some(&[7; 20][..]));
        assert_eq!(build_id(&with(&[7; MAX_BUILD_ID])), Some(&[7; MAX_BUILD_ID][..]));
        for id in [&[7; MAX_BUILD_ID + 1][..], &[]] {
            assert_eq!(build_id(&with(id)), None);
        }
        assert_eq!(build_id(&others), None);
        // Lengths that point beyond the end of the notes, and lengths that overflow.
        for word in [0, 1] {
            let mut lie = with(&[7; 20]);
            lie[4 * word..4 * word + 4].copy_from_slice(&u32::MAX.to_ne_bytes());
            assert_eq!(build_id(&lie), None);
        }
    }

    #[test]
    fn a_name_without_an_end_is_cut_wherever_pieces_end() {
        let mut names = vec![b'x'; 3 * MAX_NAME];
        names[10] = 0;
        let (mut whole, mut run) = (names.clone(), 0);
        end_names(&mut whole, &mut run);
        let mut run = 0;
        for piece in names.chunks_mut(1_000) {
            end_names(piece, &mut run);
        }
        assert_eq!(names, whole);
        assert!(names.split(|byte| *byte == 0).all(|name| name.len() <= MAX_NAME));
        assert_eq!(names.iter().filter(|byte| **byte == 0).count(), 3);
    }
}
