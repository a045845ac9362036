//! Captures beside processes of a hostile user: they end in time, are whole, and name everybody else.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use quell_tests::agent::Workdir;
use quell_tests::fixture::{Burned, Fixture};
use quell_tests::hostile::{self, Hostile, HostileElf, section, symbols};
use quell_tests::recorded::Recorded;
use quell_tests::{kernel, needs, skip, turns};

/// What every capture here is made with, but for its target.
const FLAGS: [&str; 7] = ["record", "-F", "499", "--max-overhead", "0", "-o", "x.quell"];

/// A directory that the hostile user may look into.
fn open_to_all() -> Result<Workdir> {
    let dir = Workdir::new()?;
    fs::set_permissions(dir.path("."), fs::Permissions::from_mode(0o755))?;
    Ok(dir)
}

/// Captures a known program and hostile processes, and looks at how the program is named. No others: naming has a deadline,
/// which the files of a busy host may take up.
fn captured(dir: &Workdir, hostile: &[&Hostile]) -> Result<Recorded> {
    let mut burn = Fixture::start("burn", &["--seconds", "1"])?;
    let pids = hostile.iter().map(|process| process.pid()).chain([burn.pid()]);
    let targets = pids.flat_map(|pid| ["-p".to_owned(), pid.to_string()]);
    let quell = dir.spawn(FLAGS.into_iter().map(str::to_owned).chain(targets))?;
    quell.captures()?;
    burn.go()?;
    let burned: Burned = burn.finish()?;
    quell.signal(Signal::SIGINT)?;
    let ended = quell.wait()?.expect_code(0)?;
    let recorded = Recorded::read(&dir.path("x.quell"))?;
    let found = recorded.burning(burned.pid);
    ensure!(found.samples > 10, "{} samples of the program beside are named; {}", found.samples, ended.stdout);
    Ok(recorded)
}

fn unnamed(recorded: &Recorded) -> &BTreeMap<String, u64> {
    &recorded.recording.meta.symbols.unnamed
}

/// Whether code of a file was sampled.
fn has_module(recorded: &Recorded, path: &Path) -> bool {
    recorded.recording.modules.rows().iter().any(|module| module.path == path)
}

/// The files that the reviewer made, and more of their kind.
fn hostile_files(dir: &Workdir) -> Result<Vec<PathBuf>> {
    let note = |id: u32| {
        let mut note = [4, id, 3].iter().flat_map(|word: &u32| word.to_le_bytes()).collect::<Vec<u8>>();
        note.extend(b"GNU\0");
        note
    };
    let mut compressed = [1u32, 0].iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<u8>>();
    compressed.extend([1u64 << 44, 1].iter().flat_map(|word| word.to_le_bytes()));
    compressed.resize(200, 0);
    let names = || HostileElf::default();
    let with_symbols = |symbols: Vec<u8>, claimed, strings: Vec<u8>| {
        names().section(section::SYMTAB, 0, symbols, claimed).section(section::STRTAB, 0, strings, None)
    };
    let mut long = vec![0];
    long.resize(20 << 20, b'e');
    let files = [
        ("compressed-note", names().section(section::NOTE, section::COMPRESSED, compressed.clone(), None)),
        ("long-build-id", names().section(section::NOTE, 0, note(400 << 20), Some((400 << 20) + 16)).sparse(401 << 20)),
        ("claims-symbols", with_symbols(symbols(200), Some((4 << 40) / 24 * 24), b"\0evil\0".to_vec())),
        (
            "sparse-symbols",
            with_symbols(symbols(200), Some((300 << 20) / 24 * 24), b"\0evil\0".to_vec()).sparse(400 << 20),
        ),
        ("long-name", with_symbols(symbols(200), None, long)),
        ("names-without-end", with_symbols(symbols(200), None, vec![b'e'; 100])),
        ("compressed-symbols", names().section(section::SYMTAB, section::COMPRESSED, compressed, None)),
        ("no-names", names().section(section::SYMTAB, 0, symbols(200), None)),
    ];
    let mut paths = Vec::new();
    for (name, elf) in files {
        let path = dir.path(name);
        elf.write(&path)?;
        paths.push(path);
    }
    Ok(paths)
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().context("a path of this test")
}

/// The files that take all of the time that naming may take.
const SLOW: [&str; 2] = ["sparse-symbols", "long-name"];

#[test]
fn files_that_claim_too_much_cost_their_own_names_only() -> Result<()> {
    needs!(Root, Bpf);
    let dir = open_to_all()?;
    let is_slow = |file: &PathBuf| SLOW.iter().any(|name| file.ends_with(name));
    let files: Vec<_> = hostile_files(&dir)?.into_iter().filter(|file| !is_slow(file)).collect();
    cost_their_own_names_only(&dir, &files)
}

#[test]
#[ignore = "long: cargo xtask test --all"]
fn files_that_take_long_to_read_cost_their_own_names_only() -> Result<()> {
    needs!(Root, Bpf);
    let dir = open_to_all()?;
    let files = hostile_files(&dir)?;
    cost_their_own_names_only(&dir, &files)
}

/// Captures processes that run hostile files, and a program beside them.
fn cost_their_own_names_only(dir: &Workdir, files: &[PathBuf]) -> Result<()> {
    let _alone = turns::alone();
    let running = files.iter().map(|file| Hostile::start(&["run", text(file)?])).collect::<Result<Vec<_>>>()?;
    let recorded = captured(dir, &running.iter().collect::<Vec<_>>())?;
    drop(running);
    for file in files {
        assert!(has_module(&recorded, file), "{} was not sampled", file.display());
    }
    for module in recorded.recording.modules.rows() {
        assert!(module.build_id.as_ref().is_none_or(|id| id.len() <= 128), "{module:?}");
    }
    for frame in recorded.recording.frames.rows() {
        assert!(frame.symbol.as_ref().is_none_or(|symbol| symbol.name.len() <= 4_096));
    }
    assert!(unnamed(&recorded).contains_key("symbols too large"), "{:?}", unnamed(&recorded));
    let remarks = &recorded.recording.meta.remarks;
    assert!(remarks.iter().any(|remark| remark.contains("claims-symbols: symbols too large")), "{remarks:?}");
    kernel::nothing_left_behind()
}

#[test]
fn a_file_that_is_cut_short_all_the_time_does_not_end_the_capture() -> Result<()> {
    needs!(Root, Bpf);
    let _alone = turns::alone();
    let dir = open_to_all()?;
    let path = dir.path("truncated");
    HostileElf::default()
        .section(section::SYMTAB, 0, symbols(200_000), None)
        .section(section::STRTAB, 0, b"\0evil\0".to_vec(), None)
        .write(&path)?;
    std::os::unix::fs::chown(&path, Some(hostile::USER), None)?;
    let long = fs::metadata(&path)?.len().to_string();
    let running = Hostile::start(&["run", text(&path)?])?;
    let truncating = Hostile::launch(&["truncate", text(&path)?, &long])?;
    let recorded = captured(&dir, &[&running])?;
    assert!(has_module(&recorded, &path));
    drop((running, truncating));
    Ok(())
}

/// A perf map of a running process, gone with this.
struct PerfMap(PathBuf);

impl PerfMap {
    fn write(pid: u32, content: &[u8]) -> Result<Self> {
        let map = Self(PathBuf::from(format!("/tmp/perf-{pid}.map")));
        fs::write(&map.0, content)?;
        std::os::unix::fs::chown(&map.0, Some(hostile::USER), None)?;
        Ok(map)
    }
}

impl Drop for PerfMap {
    fn drop(&mut self) {
        // The test has failed already, where it was not there.
        let _ = fs::remove_file(&self.0);
    }
}

#[test]
#[ignore = "long: cargo xtask test --all"]
fn perf_maps_without_end_are_read_in_a_bounded_time() -> Result<()> {
    needs!(Root, Bpf);
    let _alone = turns::alone();
    let dir = open_to_all()?;
    let lines = "0 7fffffffffff overlapping\n".repeat(600_000);
    let mut endless = b"0 7fffffffffff ".to_vec();
    endless.resize(64 << 20, b'x');
    let mut running = Vec::new();
    for content in [lines.as_bytes(), &endless] {
        let jit = Hostile::start(&["jit", "2000"])?;
        running.push((PerfMap::write(jit.pid(), content)?, jit));
    }
    let recorded = captured(&dir, &running.iter().map(|(_, jit)| jit).collect::<Vec<_>>())?;
    drop(running);
    let names = |name: &str| {
        recorded.recording.frames.rows().iter().any(|frame| {
            frame.symbol.as_ref().is_some_and(|symbol| symbol.name.starts_with(name) && symbol.name.len() <= 4_096)
        })
    };
    assert!(names("overlapping") && names("xxxx"), "{:?}", unnamed(&recorded));
    Ok(())
}

#[test]
fn a_sleeper_whose_memory_never_comes_does_not_hold_up_the_capture() -> Result<()> {
    needs!(Root, Bpf);
    let _alone = turns::alone();
    let dir = open_to_all()?;
    // Kernel faults of a user's userfaultfd need a sysctl since 5.11: as root then, which is as bad for the capture.
    let stalled = Hostile::start(&["stall"]).or_else(|_| Hostile::start_as_root(&["stall"]));
    let Ok(stalled) = stalled else { skip!("userfaultfd(2)") };
    let recorded = captured(&dir, &[&stalled])?;
    drop(stalled);
    // It is not asked for: to touch it would leave a reader behind that nobody can kill.
    assert_eq!(recorded.recording.meta.losses.unanswered, 0);
    kernel::nothing_left_behind()
}

#[test]
fn readers_that_hang_are_replaced_and_their_requests_counted() -> Result<()> {
    needs!(Root, Bpf);
    let _alone = turns::alone();
    let dir = open_to_all()?;
    let quell = dir.spawn(FLAGS.into_iter().chain(["-a"]))?;
    quell.captures()?;
    let pid = quell.pid()?.as_raw();
    let readers: Vec<i32> = descendants(pid)?
        .into_iter()
        .filter(|(_, comm)| comm.trim_end() == "quell-reader")
        .map(|(pid, _)| pid)
        .collect();
    ensure!(!readers.is_empty(), "no reader");
    for reader in &readers {
        kill(Pid::from_raw(*reader), Signal::SIGSTOP)?;
    }
    let mut burn = Fixture::start("burn", &["--seconds", "2"])?;
    burn.go()?;
    let burned: Burned = burn.finish()?;
    turns::until("a reader that hangs is ended", || {
        let there = descendants(pid)?;
        Ok(readers.iter().any(|reader| !there.contains_key(reader)).then_some(()))
    })?;
    quell.signal(Signal::SIGINT)?;
    quell.wait()?.expect_code(0)?;
    let recorded = Recorded::read(&dir.path("x.quell"))?;
    assert!(recorded.recording.meta.losses.unanswered > 0);
    assert!(recorded.burning(burned.pid).samples > 10);
    kernel::nothing_left_behind()
}

#[test]
#[ignore = "long: cargo xtask test --all"]
fn a_flood_of_mappings_and_forks_takes_a_bounded_amount_of_memory() -> Result<()> {
    needs!(Root, Bpf);
    let _alone = turns::alone();
    let dir = open_to_all()?;
    let bomb = Hostile::start(&["mappings", "60000"])?;
    let mut burn = Fixture::start("burn", &["--seconds", "6"])?;
    let quell = dir.spawn(FLAGS.into_iter().chain(["-a"]))?;
    quell.captures()?;
    burn.go()?;
    let burned: Burned = burn.finish()?;
    let resident = peak_memory(quell.pid()?.as_raw())?;
    quell.signal(Signal::SIGINT)?;
    quell.wait()?.expect_code(0)?;
    drop(bomb);
    assert!(resident < 400 << 20, "{resident} bytes");
    let recorded = Recorded::read(&dir.path("x.quell"))?;
    assert!(recorded.burning(burned.pid).samples > 10);
    Ok(())
}

#[test]
fn who_renames_itself_and_executes_programs_all_the_time_changes_no_figure_of_others() -> Result<()> {
    needs!(Root, Bpf);
    let _alone = turns::alone();
    let dir = open_to_all()?;
    let running = [Hostile::start(&["rename"])?, Hostile::start(&["execute"])?];
    let mut burn = Fixture::start("burn", &["--seconds", "2"])?;
    let quell = dir.spawn(FLAGS.into_iter().chain(["-a"]))?;
    quell.captures()?;
    burn.go()?;
    let burned: Burned = burn.finish()?;
    let resident = peak_memory(quell.pid()?.as_raw())?;
    quell.signal(Signal::SIGINT)?;
    let ended = quell.wait()?.expect_code(0)?;
    drop(running);
    let output = ended.stdout + &ended.stderr;
    assert!(!output.contains('\x1b') && !output.contains('\x07'), "{output}");
    assert!(output.lines().count() < 200, "{output}");
    assert!(resident < 400 << 20, "{resident} bytes");
    let recorded = Recorded::read(&dir.path("x.quell"))?;
    recorded.burning(burned.pid).is_cpu_time(burned.burning())
}

/// `VmHWM` of a process, in bytes.
fn peak_memory(pid: i32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("VmHWM")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? << 10)
}

/// The pid of a process of quell's by its name, once there is one.
fn child(of: i32, name: &str) -> Result<Option<i32>> {
    let found = descendants(of)?.into_iter().find(|(_, comm)| comm.trim_end() == name);
    Ok(found.map(|(pid, _)| pid))
}

#[test]
fn the_capture_is_on_disk_before_anything_is_named() -> Result<()> {
    needs!(Root, Bpf);
    let _alone = turns::alone();
    let dir = open_to_all()?;
    let quell = dir.spawn(["record", "-a", "-d", "0.3", "-o", "x.quell"])?;
    let pid = quell.pid()?.as_raw();
    turns::until("naming begins", || {
        ensure!(!quell.has_ended()?, "it was over too soon to be seen");
        child(pid, "quell-namer").map_or(Ok(None), |found| Ok(found.map(drop)))
    })?;
    quell.signal(Signal::SIGKILL)?;
    quell.wait()?;
    Recorded::read(&dir.path("x.quell"))?;
    dir.run(["report", "x.quell"])?.expect_code(0)?;
    Ok(())
}

#[test]
fn what_reads_the_files_of_others_has_no_privileges() -> Result<()> {
    needs!(Root, Bpf);
    let _alone = turns::alone();
    let dir = open_to_all()?;
    let quell = dir.spawn(["record", "-a", "-d", "0.5", "-o", "x.quell"])?;
    let pid = quell.pid()?.as_raw();
    let status = turns::until("naming begins", || {
        ensure!(!quell.has_ended()?, "it was over too soon to be seen");
        let Ok(Some(namer)) = child(pid, "quell-namer") else { return Ok(None) };
        // It is confined before it reads its first request.
        let status = fs::read_to_string(format!("/proc/{namer}/status")).unwrap_or_default();
        Ok(status.contains("Seccomp:\t2").then_some(status))
    })?;
    quell.wait()?.expect_code(0)?;
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    // Without CAP_SETPCAP the bounding set stays; no_new_privs makes it worth nothing.
    for set in ["CapInh:", "CapPrm:", "CapEff:", "CapAmb:"] {
        assert_eq!(field(set), Some("0000000000000000"), "{set}");
    }
    assert_eq!(field("NoNewPrivs:"), Some("1"));
    Ok(())
}

#[test]
fn a_second_ctrl_c_skips_naming_and_loses_nothing() -> Result<()> {
    needs!(Root, Bpf);
    let _alone = turns::alone();
    let dir = open_to_all()?;
    let quell = dir.spawn(["record", "-a", "-d", "1h", "-o", "x.quell", "-o", "x.html"])?;
    quell.captures()?;
    let pid = quell.pid()?.as_raw();
    quell.signal(Signal::SIGINT)?;
    turns::until("naming begins", || {
        ensure!(!quell.has_ended()?, "it was over too soon to be seen");
        child(pid, "quell-namer").map_or(Ok(None), |found| Ok(found.map(drop)))
    })?;
    let own = descendants(pid)?;
    quell.signal(Signal::SIGINT)?;
    quell.wait()?.expect_code(0)?;
    let recorded = Recorded::read(&dir.path("x.quell"))?;
    assert!(unnamed(&recorded).contains_key("symbolization was ended early"), "{:?}", unnamed(&recorded));
    assert!(dir.path("x.html").exists());
    are_gone(&own)
}

/// The processes that descend from one, with their names.
fn descendants(of: i32) -> Result<BTreeMap<i32, String>> {
    let mut found = BTreeMap::new();
    let mut parents = vec![of];
    while let Some(parent) = parents.pop() {
        // One that has ended since has none.
        let children = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).unwrap_or_default();
        for child in children.split_whitespace() {
            let pid = child.parse()?;
            found.insert(pid, fs::read_to_string(format!("/proc/{child}/comm")).unwrap_or_default());
            parents.push(pid);
        }
    }
    Ok(found)
}

/// None of these processes runs on.
fn are_gone(processes: &BTreeMap<i32, String>) -> Result<()> {
    assert!(!processes.is_empty());
    turns::until("quell's children end with it", || {
        let runs = |(pid, name): (&i32, &String)| {
            fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|comm| comm == *name)
        };
        Ok((!processes.iter().any(runs)).then_some(()))
    })
}

#[test]
fn quells_own_processes_are_in_no_capture() -> Result<()> {
    needs!(Root, Bpf);
    let _alone = turns::alone();
    let dir = open_to_all()?;
    let mut burn = Fixture::start("burn", &["--seconds", "1"])?;
    let quell = dir.spawn(FLAGS.into_iter().chain(["-a"]))?;
    quell.captures()?;
    // Who is sampled has its mappings read.
    burn.go()?;
    burn.finish::<Burned>()?;
    let own = descendants(quell.pid()?.as_raw())?;
    for name in ["quell-readers\n", "quell-reader\n", "quell-keeper\n", "quell-namers\n"] {
        assert!(own.values().any(|one| one == name), "{own:?}");
    }
    quell.signal(Signal::SIGINT)?;
    quell.wait()?.expect_code(0)?;
    let recorded = Recorded::read(&dir.path("x.quell"))?;
    for (pid, name) in &own {
        assert!(recorded.is_without(*pid), "{name}");
    }
    are_gone(&own)
}

#[test]
fn sigterm_ends_a_capture_whose_reader_takes_nothing() -> Result<()> {
    needs!(Root, Bpf);
    let _alone = turns::alone();
    let dir = open_to_all()?;
    let pipe = dir.path("x.html");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU)?;
    for others in [&[][..], &["-o", "y.quell"]] {
        // Opened for both, so that neither this nor quell waits for the other; never read.
        let reader = fs::File::options().read(true).write(true).open(&pipe)?;
        let quell = dir.spawn([&["record", "-a", "-o", "x.html"], others].concat())?;
        quell.captures()?;
        let own = descendants(quell.pid()?.as_raw())?;
        quell.signal(Signal::SIGTERM)?;
        let ended = quell.wait()?.expect_code(143)?;
        assert!(ended.stderr.contains("terminated before all outputs were written\nhint: "), "{}", ended.stderr);
        are_gone(&own)?;
        drop(reader);
    }
    Recorded::read(&dir.path("y.quell"))?;
    Ok(())
}
