//! Names for the locations of a recording.
//!
//! Names come from symbol tables only. Line tables (DWARF) would add inlined functions but cost seconds for a large
//! binary, where its symbol table takes milliseconds; a file that was stripped is looked up in the separate debug file
//! with its build ID, of which again only the symbol table is read.

use std::collections::BTreeMap;
use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;

use blazesym::symbolize::source::{self, Source};
use blazesym::symbolize::{Input, Symbolized, Symbolizer};
use blazesym::{MaybeDefault, helper::read_elf_build_id};

use super::demangle::demangle;
use super::elf::{self, Elf};
use super::files::{VDSO, VDSO_32, descriptor_path};
use super::reason::Unnamed;
use super::{AddressSpaces, KernelSymbols, maps, perf_map};
use crate::profile::{FrameId, Location, ModuleId, Recording, Symbol, SymbolizeStats};
use crate::units::{Addr, Pid};

type Named = Result<Symbol, Unnamed>;

/// Names every kernel, module and unmapped frame of `recording` that has no name yet, and fills in the build IDs of the
/// modules that have frames.
///
/// A file that is gone, damaged or hostile costs its frames their names, and they are counted with the reason. The one
/// thing that cannot be contained is a file that is cut short while it is read: its memory mapping then faults.
pub fn symbolize(recording: &mut Recording, spaces: &AddressSpaces, kernel: &KernelSymbols) -> SymbolizeStats {
    let mut in_kernel = Vec::new();
    let mut modules: BTreeMap<ModuleId, Vec<(FrameId, u64)>> = BTreeMap::new();
    let mut unmapped: BTreeMap<Pid, Vec<(FrameId, u64)>> = BTreeMap::new();
    let mut stats = SymbolizeStats::default();
    for (id, frame) in (0..).map(FrameId).zip(recording.frames.rows()) {
        match &frame.location {
            Location::Label(_) | Location::NamedLabel(_) => {}
            _ if frame.symbol.is_some() => stats.named += 1,
            Location::Kernel(addr) => in_kernel.push((id, addr.0)),
            Location::Module { module, offset } => modules.entry(*module).or_default().push((id, *offset)),
            Location::Unmapped { pid, addr } => unmapped.entry(*pid).or_default().push((id, addr.0)),
        }
    }

    let mut results = Results { recording, stats };
    results.take(&in_kernel, contained(in_kernel.len(), || kernel_names(kernel, &places(&in_kernel))));
    for (module, frames) in modules {
        let path = results.recording.modules.get(module).path.clone();
        let names = if path.as_os_str() == VDSO {
            contained(frames.len(), || vdso_names(&places(&frames)))
        } else if path.as_os_str() == VDSO_32 {
            vec![Err(Unnamed::Vdso32); frames.len()]
        } else {
            match spaces.files().reopen(module) {
                Ok(file) => {
                    let build_id = build_id(&file);
                    results.recording.modules.get_mut(module).build_id.clone_from(&build_id);
                    contained(frames.len(), || file_names(&file, build_id.as_deref(), &places(&frames)))
                }
                Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
                    vec![Err(Unnamed::FileForbidden); frames.len()]
                }
                Err(_) => vec![Err(Unnamed::FileGone); frames.len()],
            }
        };
        results.take(&frames, names);
    }
    for (pid, mut frames) in unmapped {
        frames.sort_unstable_by_key(|(_, addr)| *addr);
        let names = unmapped_names(spaces, pid, &places(&frames));
        results.take(&frames, names);
    }
    results.stats
}

struct Results<'a> {
    recording: &'a mut Recording,
    stats: SymbolizeStats,
}

impl Results<'_> {
    fn take(&mut self, frames: &[(FrameId, u64)], names: Vec<Named>) {
        for ((id, _), name) in frames.iter().zip(names) {
            match name {
                Ok(symbol) => {
                    self.recording.frames.set_symbol(*id, symbol);
                    self.stats.named += 1;
                }
                Err(reason) => *self.stats.unnamed.entry(reason.to_string()).or_default() += 1,
            }
        }
    }
}

fn places(frames: &[(FrameId, u64)]) -> Vec<u64> {
    frames.iter().map(|(_, place)| *place).collect()
}

/// Every file that a process maps is read here. One that makes a parser panic must not end the capture.
fn contained(count: usize, names: impl FnOnce() -> Vec<Named>) -> Vec<Named> {
    if count == 0 {
        return Vec::new();
    }
    catch_unwind(AssertUnwindSafe(names)).unwrap_or_else(|_| vec![Err(Unnamed::FileMalformed); count])
}

/// One for each source: its caches go when its names are known.
fn symbolizer() -> Symbolizer {
    Symbolizer::builder().enable_code_info(false).enable_inlined_fns(false).enable_demangling(false).build()
}

fn batch(
    source: &Source<'_>,
    input: Input<&[u64]>,
    on_error: impl Fn(&blazesym::Error) -> Unnamed,
    on_reason: impl Fn(blazesym::symbolize::Reason) -> Unnamed,
) -> Vec<Named> {
    let count = input.into_inner().len();
    match symbolizer().symbolize(source, input) {
        Ok(symbols) => symbols
            .into_iter()
            .map(|symbol| match symbol {
                Symbolized::Sym(symbol) => Ok(Symbol { name: demangle(&symbol.name), offset: symbol.offset as u64 }),
                Symbolized::Unknown(reason) => Err(on_reason(reason)),
            })
            .collect(),
        Err(error) => {
            tracing::debug!("no symbols: {error:#}");
            vec![Err(on_error(&error)); count]
        }
    }
}

fn kernel_names(symbols: &KernelSymbols, addresses: &[u64]) -> Vec<Named> {
    let Ok((_copy, path)) = symbols.copy() else { return vec![Err(Unnamed::KernelUnreadable); addresses.len()] };
    let kernel = source::Kernel {
        kallsyms: MaybeDefault::Some(path),
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
            // All addresses read as zero to those who may not know them (kernel/kallsyms.c, kallsyms_show_value).
            blazesym::symbolize::Reason::MissingSyms => Unnamed::KernelHidden,
            _ => Unnamed::KernelUnknown,
        },
    )
}

/// Every process has the same vDSO, the agent too.
fn vdso_names(offsets: &[u64]) -> Vec<Named> {
    let own = maps::executable(Pid(std::process::id())).unwrap_or_default();
    let Some(range) = own.iter().find(|range| range.file.path().as_os_str() == VDSO) else {
        return vec![Err(Unnamed::FileGone); offsets.len()];
    };
    let addresses: Vec<u64> = offsets.iter().map(|offset| range.start.0.saturating_add(*offset)).collect();
    let process = source::Process {
        debug_syms: false,
        perf_map: false,
        map_files: false,
        ..source::Process::new(blazesym::Pid::Slf)
    };
    batch(&Source::Process(process), Input::AbsAddr(&addresses), Unnamed::of_error, Unnamed::of_offset)
}

fn file_names(file: &File, build_id: Option<&str>, offsets: &[u64]) -> Vec<Named> {
    let in_file = |offsets: &[u64]| {
        let source = elf_source(descriptor_path(file));
        batch(&source, Input::FileOffset(offsets), Unnamed::of_error, Unnamed::of_offset)
    };
    let Some(elf) = Elf::read(file).filter(|elf| !elf.has_symbols) else { return in_file(offsets) };
    let mut names = in_file(offsets);
    let at_entry = offsets.iter().map(|offset| elf.behind_entry(*offset));
    for (name, offset) in names.iter_mut().zip(at_entry) {
        if let (Err(_), Some(offset)) = (&name, offset) {
            *name = Ok(Symbol { name: elf::ENTRY.to_owned(), offset });
        }
    }
    if let Some(debug) = build_id.and_then(elf::debug_file) {
        // The debug file has the addresses of the file that it was split from, but not its offsets.
        let addresses: Vec<u64> = offsets.iter().map(|offset| elf.address(*offset).unwrap_or(u64::MAX)).collect();
        let input = Input::VirtOffset(addresses.as_slice());
        let better = batch(&elf_source(debug), input, Unnamed::of_error, Unnamed::of_offset);
        for (name, better) in names.iter_mut().zip(better) {
            // Exported symbols alone can claim their unexported neighbours' code; the full table cannot.
            if better.is_ok() || *name == Err(Unnamed::Stripped) {
                *name = better;
            }
        }
    }
    names
}

fn elf_source(path: PathBuf) -> Source<'static> {
    Source::Elf(source::Elf { path, debug_syms: false, _non_exhaustive: () })
}

fn build_id(file: &File) -> Option<String> {
    let path = descriptor_path(file);
    let read = catch_unwind(AssertUnwindSafe(|| read_elf_build_id(&path).ok().flatten())).ok().flatten()?;
    Some(read.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Everything that is read of one file.
#[cfg(feature = "fuzzing")]
pub(super) fn fuzz_file(file: &File) {
    let build_id = build_id(file);
    let offsets: Vec<u64> = (0..64).map(|shift| 1 << shift).collect();
    let _ = contained(offsets.len(), || file_names(file, build_id.as_deref(), &offsets));
}

fn unmapped_names(spaces: &AddressSpaces, pid: Pid, addresses: &[u64]) -> Vec<Named> {
    let map = spaces.perf_map(pid);
    let mut found = map.as_ref().and_then(|map| perf_map::names(map, addresses).ok());
    let unnamed = |addr| match spaces.why_unmapped(pid, Addr(addr)) {
        Unnamed::RuntimeCode if map.is_some() => Unnamed::NotInPerfMap,
        reason => reason,
    };
    let name =
        |(row, addr): (usize, &u64)| found.as_mut().and_then(|names| names[row].take()).ok_or_else(|| unnamed(*addr));
    addresses.iter().enumerate().map(name).collect()
}

#[cfg(test)]
mod tests {
    use super::super::{FileIdentity, MappedRange, MappingEvent};
    use super::*;
    use crate::profile::{FrameTable, Meta, Module, ModuleTable, StackTable, ThreadTable};
    use std::io::Write;
    use std::process::{Command, Stdio};

    fn recording() -> Recording {
        Recording {
            meta: Meta::example(),
            modules: ModuleTable::default(),
            frames: FrameTable::default(),
            stacks: StackTable::default(),
            threads: ThreadTable::default(),
            samples: Vec::new(),
            totals: Vec::new(),
        }
    }

    /// Ends with its test, however that ends.
    struct Running(std::process::Child);

    impl Running {
        fn pid(&self) -> Pid {
            Pid(self.0.id())
        }
    }

    impl Drop for Running {
        fn drop(&mut self) {
            self.0.kill().ok();
            self.0.wait().ok();
        }
    }

    #[inline(never)]
    fn a_function_of_this_test() -> u64 {
        std::hint::black_box(42)
    }

    #[test]
    fn a_function_of_a_live_process_is_named() {
        let mut recording = recording();
        let mut spaces = AddressSpaces::new();
        let here = Addr(a_function_of_this_test as fn() -> u64 as usize as u64 + 2);
        assert_eq!(a_function_of_this_test(), 42);
        let location = spaces.locate(Pid(std::process::id()), here, &mut recording.modules);
        let frame = recording.frames.intern(location);

        let stats = symbolize(&mut recording, &spaces, &KernelSymbols::open());
        let symbol = recording.frames.get(frame).symbol.clone().expect("named");
        let name = "quell::symbolize::symbolizer::tests::a_function_of_this_test".to_owned();
        assert_eq!(symbol, Symbol { name, offset: 2 });
        assert_eq!((stats.named, stats.unnamed.len()), (1, 0));
    }

    #[test]
    fn a_process_that_is_gone_is_named_from_its_deleted_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let program = folder.path().join("a-program");
        std::fs::copy(std::env::current_exe().expect("known"), &program).expect("copied");
        // Prints a line and then waits for its input to end: a process of known code at a known point.
        let child = Command::new(&program)
            .args(["--exact", "symbolize::symbolizer::tests::waits_for_its_input_to_end", "--nocapture", "--ignored"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("it runs");
        let mut child = Running(child);
        let mut lines = std::io::BufRead::lines(std::io::BufReader::new(child.0.stdout.take().expect("piped")));
        let address = lines.find_map(|line| line.ok()?.split_once("waiting at ")?.1.parse().ok()).expect("its address");

        let mut recording = recording();
        let mut spaces = AddressSpaces::new();
        let location = spaces.locate(child.pid(), Addr(address), &mut recording.modules);
        let frame = recording.frames.intern(location);
        drop(child);
        drop(folder);

        let stats = symbolize(&mut recording, &spaces, &KernelSymbols::open());
        let name = recording.frames.get(frame).symbol.as_ref().map(|symbol| symbol.name.as_str());
        assert_eq!(name, Some("quell::symbolize::symbolizer::tests::a_function_of_this_test"), "{stats:?}");
        assert_eq!(recording.modules.rows().iter().filter(|module| module.name() == "a-program").count(), 1);
    }

    #[test]
    #[ignore = "started by another test, as a process of its own"]
    fn waits_for_its_input_to_end() {
        let address = a_function_of_this_test as fn() -> u64 as usize;
        writeln!(std::io::stdout(), "waiting at {address}").expect("written");
        std::io::copy(&mut std::io::stdin(), &mut std::io::sink()).expect("read");
    }

    #[test]
    fn files_that_are_gone_or_no_code_are_counted_by_reason() {
        let mut recording = recording();
        let spaces = AddressSpaces::new();
        let module = recording.modules.push(Module { path: "/nowhere".into(), build_id: None });
        recording.frames.intern(Location::Module { module, offset: 1 });
        recording.frames.intern(Location::Unmapped { pid: Pid(1 << 23), addr: Addr(1) });
        recording.frames.intern(Location::Label("[label]"));
        let stats = symbolize(&mut recording, &spaces, &KernelSymbols::open());
        assert_eq!(stats.named, 0);
        let reasons = [Unnamed::FileGone, Unnamed::UnknownProcess].map(|reason| (reason.to_string(), 1));
        assert_eq!(stats.unnamed, BTreeMap::from(reasons));
    }

    #[test]
    fn damaged_files_never_panic() {
        let whole = std::fs::read("/proc/self/exe").expect("readable");
        for (length, damage) in [(0, 0), (3, 0), (64, 0), (4_096, 0), (whole.len() / 2, 0), (whole.len(), 0xff)] {
            let mut file = tempfile::NamedTempFile::new().expect("a file");
            let mut bytes = whole[..length].to_vec();
            // The program headers' file sizes and offsets.
            bytes.iter_mut().skip(64).take(512).for_each(|byte| *byte |= damage);
            file.write_all(&bytes).expect("written");
            let names = contained(1, || file_names(file.as_file(), None, &[0x1000]));
            assert!(matches!(names[..], [Err(_)]), "{length}: {names:?}");
        }
    }

    #[test]
    fn code_made_at_run_time_is_named_by_its_perf_map_even_when_both_are_gone() {
        let child = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("it runs");
        let child = Running(child);
        let pid = child.pid();
        let path = format!("/tmp/perf-{pid}.map");
        std::fs::write(&path, "10000 100 jitted\n").expect("/tmp is writable");
        let file = FileIdentity::new((0, 0), 0, std::ffi::OsStr::new("//anon"));
        let range = MappedRange { start: Addr(0x1_0000), end: Addr(0x2_0000), offset: 0, file };

        let mut recording = recording();
        let mut spaces = AddressSpaces::new();
        spaces.apply(&MappingEvent::Exec { pid }, &mut recording.modules);
        spaces.apply(&MappingEvent::Mapped { pid, range }, &mut recording.modules);
        for addr in [0x1_0010, 0x1_0200, 0x3_0000] {
            let location = spaces.locate(pid, Addr(addr), &mut recording.modules);
            assert_eq!(location, Location::Unmapped { pid, addr: Addr(addr) });
            recording.frames.intern(location);
        }
        drop(child);
        std::fs::remove_file(&path).expect("removed");

        let stats = symbolize(&mut recording, &spaces, &KernelSymbols::open());
        let named: Vec<_> = recording.frames.rows().iter().filter_map(|frame| frame.symbol.clone()).collect();
        assert_eq!(named, [Symbol { name: "jitted".to_owned(), offset: 0x10 }]);
        let reasons = [Unnamed::NotInPerfMap, Unnamed::NoMapping].map(|reason| (reason.to_string(), 1));
        assert_eq!(stats.unnamed, BTreeMap::from(reasons));
    }

    #[test]
    fn the_vdso_is_named_from_the_agents_own() {
        let names: Vec<Named> = contained(1, || {
            let own = maps::executable(Pid(std::process::id())).expect("readable");
            let size =
                own.iter().find(|range| range.file.path().as_os_str() == VDSO).map_or(0, |r| r.end.0 - r.start.0);
            vdso_names(&(0..size).step_by(16).collect::<Vec<_>>())
        });
        let is_clock = |name: &Named| name.as_ref().is_ok_and(|symbol| symbol.name.contains("clock_gettime"));
        assert!(names.iter().any(is_clock), "{names:?}");
    }

    #[test]
    fn kernel_functions_are_named_or_said_to_be_hidden() {
        let kallsyms = std::fs::read_to_string("/proc/kallsyms").expect("readable");
        let schedule = kallsyms.lines().find_map(|line| line.strip_suffix(" T schedule")).expect("a kernel has it");
        let address = u64::from_str_radix(schedule, 16).expect("hexadecimal");
        let names = kernel_names(&KernelSymbols::open(), &[address + 1]);
        match address {
            0 => assert_eq!(names, [Err(Unnamed::KernelHidden)]),
            _ => assert_eq!(names, [Ok(Symbol { name: "schedule".to_owned(), offset: 1 })]),
        }
    }
}
