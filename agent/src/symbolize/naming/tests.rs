//! Symbolizes real code in the test process.

use super::super::{FileIdentity, MappedRange, MappingEvent};
use super::*;
use crate::inspect::{Direct, receive_file};
use crate::recording::{CodeLocator as _, Module};
use crate::units::Nanos;
use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Command, Stdio};

/// The environment variable of a test that another test starts.
const IS_HELPER: &str = "QUELL_TEST_HELPER";

/// An empty recording.
pub(super) fn recording() -> Recording {
    Recording::new(crate::recording::example::meta())
}

/// A namer in this process, because the files of the tests are trusted.
struct Unconfined;

impl Namer for Unconfined {
    fn kernel(&mut self, kallsyms: &File, addresses: &[u64], _: &mut dyn FnMut() -> bool) -> Names {
        namer::names(Naming::Kernel, kallsyms, addresses)
    }

    fn file(
        &mut self,
        _: Owner,
        naming: Naming,
        from: UnixStream,
        places: &[u64],
        _: Effort,
        _: &mut dyn FnMut() -> bool,
    ) -> Names {
        namer::names(naming, &receive_file(from).expect("the file"), places)
    }
}

fn named(recording: &mut Recording, spaces: &mut AddressSpaces) -> SymbolizeStats {
    name(recording, spaces, None, &mut Unconfined, &mut || false)
}

/// A process that is killed at the end of its test, even if the test fails.
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
    let mut spaces = AddressSpaces::new(Box::new(Direct::default()));
    let here = Addr(a_function_of_this_test as fn() -> u64 as usize as u64 + 2);
    assert_eq!(a_function_of_this_test(), 42);
    let location =
        spaces.locate_code(Pid(std::process::id()), here, &mut recording.modules).expect("this code is mapped");
    let frame = recording.frames.intern(location);

    let stats = named(&mut recording, &mut spaces);
    let symbol = recording.frames.get(frame).symbol.clone().expect("named");
    let name = "quell::symbolize::naming::tests::a_function_of_this_test".to_owned();
    assert_eq!(symbol, Symbol { name, offset: 2 });
    assert_eq!((stats.named, stats.unnamed.len()), (1, 0));
}

#[test]
fn a_process_that_is_gone_is_named_from_its_deleted_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let program = folder.path().join("a-program");
    std::fs::copy(std::env::current_exe().expect("known"), &program).expect("copied");
    // Prints a line and then waits until its input is closed: a process with known code at a known location.
    let child = Command::new(&program)
        .args(["--exact", "symbolize::naming::tests::waits_for_its_input_to_end", "--nocapture", "--ignored"])
        .env(IS_HELPER, "")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("it runs");
    let mut child = Running(child);
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(child.0.stdout.take().expect("piped")));
    let address = lines.find_map(|line| line.ok()?.split_once("waiting at ")?.1.parse().ok()).expect("its address");

    let mut recording = recording();
    let mut spaces = AddressSpaces::new(Box::new(Direct::default()));
    let location = spaces.locate_code(child.pid(), Addr(address), &mut recording.modules).expect("this code is mapped");
    let frame = recording.frames.intern(location);
    drop(child);
    drop(folder);

    let stats = named(&mut recording, &mut spaces);
    let name = recording.frames.get(frame).symbol.as_ref().map(|symbol| symbol.name.as_str());
    assert_eq!(name, Some("quell::symbolize::naming::tests::a_function_of_this_test"), "{stats:?}");
    assert_eq!(recording.modules.rows().iter().filter(|module| module.name() == "a-program").count(), 1);
}

#[test]
#[ignore = "helper: the test above starts it as another process"]
fn waits_for_its_input_to_end() {
    // When it runs as one of all tests, it would wait for the input of the test runner.
    if std::env::var_os(IS_HELPER).is_none() {
        return;
    }
    let address = a_function_of_this_test as fn() -> u64 as usize;
    writeln!(std::io::stdout(), "waiting at {address}").expect("written");
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink()).expect("read");
}

#[test]
fn files_that_are_gone_or_no_code_are_counted_by_reason() {
    let mut recording = recording();
    let mut spaces = AddressSpaces::new(Box::new(Direct::default()));
    let module = recording.modules.push(Module { path: "/nowhere".into(), file: None, build_id: None });
    recording.frames.intern(Location::Module { module, offset: 1 });
    recording.frames.intern(Location::Unmapped { pid: Pid(1 << 23), addr: Addr(1) });
    recording.frames.intern(Location::Label("[label]"));
    let stats = named(&mut recording, &mut spaces);
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
        // The file sizes and offsets in the program headers.
        bytes.iter_mut().skip(64).take(512).for_each(|byte| *byte |= damage);
        file.write_all(&bytes).expect("written");
        let names = namer::names(Naming::File, file.as_file(), &[0x1000]).names;
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
    let mut spaces = AddressSpaces::new(Box::new(Direct::default()));
    // Before its real mappings are read.
    spaces.advance(Nanos(0));
    spaces.apply(&MappingEvent::Exec { pid });
    spaces.apply(&MappingEvent::Mapped { pid, range });
    for addr in [0x1_0010, 0x1_0200, 0x3_0000] {
        let unmapped = Location::Unmapped { pid, addr: Addr(addr) };
        let location = spaces.locate_code(pid, Addr(addr), &mut recording.modules);
        assert!(location.is_none_or(|location| location == unmapped));
        recording.frames.intern(unmapped);
    }
    drop(child);
    std::fs::remove_file(&path).expect("removed");

    let stats = named(&mut recording, &mut spaces);
    let named: Vec<_> = recording.frames.rows().iter().filter_map(|frame| frame.symbol.clone()).collect();
    assert_eq!(named, [Symbol { name: "jitted".to_owned(), offset: 0x10 }]);
    let reasons = [Unnamed::NotInPerfMap, Unnamed::NoMapping].map(|reason| (reason.to_string(), 1));
    assert_eq!(stats.unnamed, BTreeMap::from(reasons));
}

#[test]
fn the_vdso_is_named_from_the_agents_own() {
    let own = maps::executable(&std::fs::read("/proc/self/maps").expect("readable"));
    let size = own.iter().find(|range| range.file.path().as_os_str() == VDSO).map_or(0, |r| r.end.0 - r.start.0);
    let names: Vec<Named> = vdso_names(&(0..size).step_by(16).collect::<Vec<_>>());
    let is_clock = |name: &Named| name.as_ref().is_ok_and(|symbol| symbol.name.contains("clock_gettime"));
    assert!(names.iter().any(is_clock), "{names:?}");
}

#[test]
fn kernel_functions_are_named_or_said_to_be_hidden() {
    let kallsyms = std::fs::read_to_string("/proc/kallsyms").expect("readable");
    let schedule = kallsyms.lines().find_map(|line| line.strip_suffix(" T schedule")).expect("a kernel has it");
    let address = u64::from_str_radix(schedule, 16).expect("hexadecimal");
    let kallsyms = File::open("/proc/kallsyms").expect("readable");
    let names = namer::names(Naming::Kernel, &kallsyms, &[address + 1]).names;
    match address {
        0 => assert_eq!(names, [Err(Unnamed::KernelHidden)]),
        _ => assert_eq!(names, [Ok(("schedule".to_owned(), 1))]),
    }
}
