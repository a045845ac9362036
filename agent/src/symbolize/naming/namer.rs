//! The child process that symbolizes code: untrusted files are parsed here, without privileges.
//!
//! Names are from symbol tables only. Line tables (DWARF) would add inlined functions, but take seconds for a large binary, where the
//! symbol table takes milliseconds. For a stripped file, the symbol table of the separate debug file with its build ID is read.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;

use blazesym::MaybeDefault;
use blazesym::symbolize::source::{self, Source};
use blazesym::symbolize::{Input, Symbolized, Symbolizer};
use nix::sys::memfd::{MFdFlags, memfd_create};

use super::demangle::demangle;
use super::elf::{self, Elf, ElfError};
use super::perf_map;
use super::protocol::{MAX_ANSWER, Names, Naming, decode};
use crate::child::{Channel, Message};
use crate::inspect::receive_file;
use crate::recording::Symbol;
use crate::symbolize::unnamed::Unnamed;

/// The maximum length of a request, in bytes: eight million locations.
const MAX_REQUEST: usize = 64 << 20;

/// The maximum number of bytes of names in an answer. In JSON, a byte may take six.
const MAX_NAMES: usize = MAX_ANSWER / 8;

type Named = Result<Symbol, Unnamed>;

/// Serves requests until the connection ends.
pub(crate) fn serve(socket: UnixStream) -> io::Result<()> {
    let mut channel = Channel::new(socket, MAX_REQUEST).taking_descriptors();
    while let Some(Message { head, data, descriptors }) = channel.receive::<Naming>()? {
        let descriptor = descriptors.into_iter().next().ok_or(io::ErrorKind::InvalidData)?;
        let places = decode(&data);
        let file = match head {
            Naming::Kernel => Ok(File::from(descriptor)),
            Naming::File | Naming::PerfMap => receive_file(UnixStream::from(descriptor)),
        };
        let names = match &file {
            Ok(file) => bounded(names(head, file, &places)),
            Err(_) => all(&places, Unnamed::FileGone),
        };
        channel.send(&names, &[], &[])?;
        // This may block for ever if the file is served by FUSE.
        drop(file);
        channel.send(&(), &[], &[])?;
    }
    Ok(())
}

/// The names of locations in a file.
pub(super) fn names(naming: Naming, file: &File, places: &[u64]) -> Names {
    match naming {
        Naming::Kernel => of(kernel_names(file, places)),
        Naming::File => file_names(file, places),
        Naming::PerfMap => of(perf_map_names(file, places)),
    }
}

fn of(names: Vec<Named>) -> Names {
    let plain = |symbol: Symbol| (symbol.name, symbol.offset);
    Names { build_id: None, names: names.into_iter().map(|name| name.map(plain)).collect() }
}

fn all(places: &[u64], why: Unnamed) -> Names {
    of(vec![Err(why); places.len()])
}

/// Drops names that exceed the maximum length of an answer.
fn bounded(mut names: Names) -> Names {
    let mut left = MAX_NAMES;
    for name in &mut names.names {
        let length = name.as_ref().map_or(0, |(name, _)| name.len());
        match left.checked_sub(length) {
            Some(rest) => left = rest,
            None => *name = Err(Unnamed::TooLarge),
        }
    }
    names
}

/// A symbolizer for one source, so that its caches are freed afterwards.
fn symbolizer() -> Symbolizer {
    Symbolizer::builder().enable_code_info(false).enable_inlined_fns(false).enable_demangling(false).build()
}

fn symbols(
    source: &Source<'_>,
    input: Input<&[u64]>,
) -> std::thread::Result<blazesym::Result<Vec<Result<Symbol, blazesym::symbolize::Reason>>>> {
    let symbolizer = symbolizer();
    catch_unwind(AssertUnwindSafe(|| {
        let found = symbolizer.symbolize(source, input)?;
        Ok(found
            .into_iter()
            .map(|symbol| match symbol {
                Symbolized::Sym(symbol) => Ok(Symbol { name: demangle(&symbol.name), offset: symbol.offset as u64 }),
                Symbolized::Unknown(reason) => Err(reason),
            })
            .collect())
    }))
}

/// The results of blazesym for locations. If a file causes a panic, only its own names are missing.
pub(super) fn batch(
    source: &Source<'_>,
    input: Input<&[u64]>,
    on_error: impl Fn(&blazesym::Error) -> Unnamed,
    on_reason: impl Fn(blazesym::symbolize::Reason) -> Unnamed,
) -> Vec<Named> {
    let count = input.into_inner().len();
    if count == 0 {
        return Vec::new();
    }
    match symbols(source, input) {
        Ok(Ok(symbols)) => symbols.into_iter().map(|symbol| symbol.map_err(&on_reason)).collect(),
        Ok(Err(error)) => vec![Err(on_error(&error)); count],
        Err(_) => vec![Err(Unnamed::FileMalformed); count],
    }
}

fn kernel_names(mut kallsyms: &File, addresses: &[u64]) -> Vec<Named> {
    let unreadable = || vec![Err(Unnamed::KernelUnreadable); addresses.len()];
    // Whether addresses are shown was decided when the file was opened (kallsyms_open, kernel/kallsyms.c). Opening it again by
    // its path would decide this again, without privileges.
    let copy = memfd_create("kallsyms", MFdFlags::MFD_CLOEXEC).map_err(io::Error::from).and_then(|copy| {
        let mut copy = File::from(copy);
        io::copy(&mut kallsyms, &mut copy)?;
        Ok(copy)
    });
    let Ok(copy) = copy else { return unreadable() };
    let kernel = source::Kernel {
        kallsyms: MaybeDefault::Some(descriptor_path(&copy)),
        vmlinux: MaybeDefault::None,
        kaslr_offset: Some(0),
        debug_syms: false,
        _non_exhaustive: (),
    };
    batch(
        &Source::Kernel(kernel),
        Input::AbsAddr(addresses),
        |_| Unnamed::KernelUnreadable,
        |reason| match reason {
            // Without permission, all addresses read as zero (kernel/kallsyms.c, kallsyms_show_value).
            blazesym::symbolize::Reason::MissingSyms => Unnamed::KernelHidden,
            _ => Unnamed::KernelUnknown,
        },
    )
}

fn file_names(file: &File, offsets: &[u64]) -> Names {
    let elf = match Elf::read(file) {
        Ok(elf) => elf,
        Err(error) => return all(offsets, reason(&error)),
    };
    let build_id = elf.build_id(file).map(|id| id.iter().map(|byte| format!("{byte:02x}")).collect::<String>());
    let mut names = match elf.copy_symbols(file) {
        Ok(copy) => batch(&elf_source(&copy), Input::FileOffset(offsets), Unnamed::of_error, Unnamed::of_offset),
        Err(error) => vec![Err(reason(&error)); offsets.len()],
    };
    if !elf.has_symbols {
        let at_entry = offsets.iter().map(|offset| elf.behind_entry(*offset));
        for (name, offset) in names.iter_mut().zip(at_entry) {
            if let (Err(_), Some(offset)) = (&name, offset) {
                *name = Ok(Symbol { name: elf::ENTRY.to_owned(), offset });
            }
        }
        for (name, better) in names.iter_mut().zip(debug_names(&elf, build_id.as_deref(), offsets)) {
            // With exported symbols only, an address may be attributed to an exported neighbour of its function; the full table
            // is exact.
            if better.is_ok() || *name == Err(Unnamed::Stripped) {
                *name = better;
            }
        }
    }
    Names { build_id, ..of(names) }
}

/// The names from the separate debug file of a stripped file; none if there is no such file.
fn debug_names(elf: &Elf, build_id: Option<&str>, offsets: &[u64]) -> Vec<Named> {
    let copy = build_id.and_then(elf::debug_file).and_then(|path| {
        let file = File::open(path).ok()?;
        Elf::read(&file).and_then(|elf| elf.copy_symbols(&file)).ok()
    });
    let Some(copy) = copy else { return Vec::new() };
    // The debug file has the addresses of the file that it was split from, but not its offsets.
    let addresses: Vec<u64> = offsets.iter().map(|offset| elf.address(*offset).unwrap_or(u64::MAX)).collect();
    batch(&elf_source(&copy), Input::VirtOffset(&addresses), Unnamed::of_error, Unnamed::of_offset)
}

fn perf_map_names(file: &File, addresses: &[u64]) -> Vec<Named> {
    let Ok(found) = perf_map::names(file, addresses) else {
        return vec![Err(Unnamed::RuntimeCode); addresses.len()];
    };
    let missing = if found.truncated { Unnamed::PerfMapTooLarge } else { Unnamed::NotInPerfMap };
    found.names.into_iter().map(|name| name.ok_or(missing)).collect()
}

fn reason(error: &ElfError) -> Unnamed {
    match error {
        ElfError::Damaged => Unnamed::FileMalformed,
        ElfError::TooLarge => Unnamed::TooLarge,
        ElfError::Unreadable => Unnamed::FileForbidden,
    }
}

fn elf_source(file: &File) -> Source<'static> {
    Source::Elf(source::Elf { path: descriptor_path(file), debug_syms: false, _non_exhaustive: () })
}

/// A path that opens the file of a descriptor.
fn descriptor_path(file: &File) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()))
}
