//! quell uses its privileges for what they are for: users who may run it with file capabilities reach nothing else by it.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};
use nix::sys::signal::Signal;
use quell::child::Role;
use quell::privileges::Keeps;
use quell_tests::agent::{Running, Workdir};
use quell_tests::needs::Need;
use quell_tests::recorded::Recorded;
use quell_tests::unprivileged::{self, SUGGESTED, USER, Unprivileged};
use quell_tests::{executable, needs, turns};

const SECRET: &str = "root-keeps-this-5a1e";

const FILE_CAPABILITIES: Need =
    Need::Other("root, and file capabilities that have an effect", unprivileged::is_possible);

/// A user with a quell that has the suggested file capabilities.
fn user() -> Result<Unprivileged> {
    Unprivileged::new(SUGGESTED)
}

/// A file that only root may read, each of whose lines is the secret.
fn secret(user: &Unprivileged) -> Result<PathBuf> {
    let path = user.roots()?.join("secret");
    fs::write(&path, format!("{SECRET}\n").repeat(3))?;
    fs::set_permissions(&path, Permissions::from_mode(0o600))?;
    Ok(path)
}

/// Fails where `command` shows the secret, on its outputs or in a file of the user's.
fn keeps_the_secret(user: &Unprivileged, command: &mut Command) -> Result<()> {
    let said = format!("{command:?}");
    let output = command.stdout(Stdio::piped()).stderr(Stdio::piped()).output()?;
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    assert!(!text.contains(SECRET), "{said}: {text}");
    assert!(!text.contains(&SECRET[..8]), "{said}: {text}");
    for (path, content) in files_below(&user.home())? {
        assert!(!content.windows(SECRET.len()).any(|part| part == SECRET.as_bytes()), "{said}: {}", path.display());
    }
    Ok(())
}

/// Plain files, without following links.
fn files_below(folder: &Path) -> Result<BTreeMap<PathBuf, Vec<u8>>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(folder)? {
        let (path, kind) = entry.map(|entry| (entry.path(), entry.file_type()))?;
        if kind.as_ref().is_ok_and(fs::FileType::is_dir) {
            files.extend(files_below(&path)?);
        } else if kind?.is_file() {
            files.insert(path.clone(), fs::read(&path)?);
        }
    }
    Ok(files)
}

/// A tree of the user's that a plan can be made for.
fn tree(user: &Unprivileged) -> Result<PathBuf> {
    let tree = user.home().join("tree");
    for (path, text) in [
        ("proc/cpuinfo", "vendor_id\t: GenuineIntel\n"),
        ("proc/cmdline", "quiet\n"),
        ("proc/meminfo", "HugePages_Free: 0\n"),
        ("proc/sys/vm/swappiness", "60\n"),
        ("proc/sys/kernel/osrelease", "6.1.0\n"),
        ("proc/sys/kernel/random/boot_id", "11111111-2222-3333-4444-555555555555\n"),
        ("proc/sys/kernel/numa_balancing", "0\n"),
        ("sys/devices/system/cpu/online", "0-3\n"),
        ("sys/devices/system/cpu/possible", "0-3\n"),
        ("sys/devices/system/cpu/present", "0-3\n"),
        ("sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never\n"),
        ("etc/quell/profiles/own.toml", PROFILE),
        ("var/lib/quell/tune/0001.journal", ""),
        ("run/quell/tune.lock", ""),
    ] {
        let path = tree.join(path);
        fs::create_dir_all(path.parent().context("a parent")?)?;
        fs::write(path, text)?;
    }
    for path in directories(&tree)? {
        chown(&path, Some(USER), Some(USER))?;
    }
    Ok(tree)
}

const PROFILE: &str = "summary = \"x\"\n\
    [[set]]\nknob = \"memory.swappiness\"\nvalue = \"1\"\nreason = \"x\"\n\
    [[set]]\nknob = \"memory.thp\"\nvalue = \"never\"\nreason = \"x\"\n";

fn directories(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = vec![folder.to_owned()];
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            found.extend(directories(&entry.path())?);
        }
    }
    Ok(found)
}

/// Files of root's that say the secret in each of the forms that quell reads: a parser's error would quote it.
fn secrets(user: &Unprivileged) -> Result<Vec<PathBuf>> {
    let mut paths = vec![secret(user)?];
    for (name, text) in [
        ("secret.json", format!("{{\"schema\": \"{SECRET}\", \"quell\": \"{SECRET}\"}}\n")),
        ("newer.json", format!("{{\"schema\": 4000000000, \"quell\": \"{SECRET}\"}}\n")),
        ("secret.toml", format!("\"{SECRET}\" = \"{SECRET}\"\n")),
    ] {
        let path = user.roots()?.join(name);
        fs::write(&path, text)?;
        fs::set_permissions(&path, Permissions::from_mode(0o600))?;
        paths.push(path);
    }
    Ok(paths)
}

#[test]
fn no_verb_on_a_tree_reads_more_than_its_caller_may() -> Result<()> {
    needs!(FILE_CAPABILITIES);
    let user = user()?;
    let tree = tree(&user)?;
    let (mine, root) = (user.home().join("mine.toml"), tree.display().to_string());
    fs::write(&mine, PROFILE)?;
    let mine = mine.display().to_string();
    let plan = Running::spawn(user.command().args(["tune", "--root", &root, "plan", &mine]))?.wait()?;
    assert_eq!(plan.code, Some(0), "the tree is to be good enough to be read: {plan:?}");
    let secrets = secrets(&user)?;
    for path in files_below(&tree)?.into_keys() {
        let own = fs::read(&path)?;
        for secret in &secrets {
            fs::remove_file(&path)?;
            symlink(secret, &path)?;
            for verb in [
                &["plan", &mine][..],
                &["plan", "own"],
                &["list"],
                &["show", "own"],
                &["status"],
                &["history"],
                &["verify"],
                &["confirm"],
                &["rollback"],
                &["recover"],
                &["apply", "--yes", &mine],
                &["hold", "1"],
            ] {
                keeps_the_secret(&user, user.command().args(["tune", "--root", &root]).args(verb))?;
            }
            let _ = fs::remove_file(&path);
            fs::write(&path, &own)?;
        }
    }
    Ok(())
}

#[test]
fn no_verb_on_files_reads_more_than_its_caller_may() -> Result<()> {
    needs!(FILE_CAPABILITIES);
    let user = user()?;
    let profile = user.home().join("mine.toml");
    fs::write(&profile, PROFILE)?;
    let mine = profile.display().to_string();
    for secret in secrets(&user)? {
        let secret = secret.display().to_string();
        for arguments in [
            &["tune", "plan", &secret][..],
            &["tune", "show", &secret],
            &["tune", "apply", "--yes", &secret],
            &["tune", "status"],
            &["tune", "history"],
            &["tune", "verify"],
            &["tune", "rollback"],
            &["report", &secret],
            &["run", "--", "cat", &secret],
            &["list", "probes"],
            &["list", "knobs"],
            &["list", "formats"],
            &["doctor"],
            &["record", "-d", "100ms", "--cgroup", &secret, "-o", "x.svg"],
            &["record", "-o", "x.svg", "--", "cat", &secret],
            &["__child", "readers"],
        ] {
            keeps_the_secret(&user, user.command().args(arguments))?;
        }
        for variable in ["QUELL_LOG", "HOME", "TMPDIR", "PATH", "RUST_BACKTRACE", "LD_PRELOAD", "GCONV_PATH"] {
            keeps_the_secret(&user, user.command().env(variable, &secret).args(["tune", "plan", &mine]))?;
        }
    }
    keeps_the_secret(&user, user.command().env("QUELL_LOG", "trace").args(["tune", "plan", &mine]))
}

#[test]
fn a_recording_whose_parts_are_links_shows_nothing_of_their_targets() -> Result<()> {
    needs!(FILE_CAPABILITIES);
    let user = user()?;
    let secret = secret(&user)?;
    let recording = user.home().join("x.quell");
    fs::create_dir(&recording)?;
    for table in ["samples.parquet", "stacks.parquet", "frames.parquet", "threads.parquet"] {
        symlink(&secret, recording.join(table))?;
    }
    for secret in secrets(&user)? {
        symlink(&secret, recording.join("meta.json"))?;
        keeps_the_secret(&user, user.command().args(["report", "x.quell"]))?;
        fs::remove_file(recording.join("meta.json"))?;
    }
    // The whole recording is root's.
    let roots = user.roots()?.join("roots.quell");
    fs::create_dir(&roots)?;
    fs::write(roots.join("meta.json"), format!("{{\"schema\": 4000000000, \"quell\": \"{SECRET}\"}}"))?;
    symlink(&roots, user.home().join("linked.quell"))?;
    keeps_the_secret(&user, user.command().args(["report", "linked.quell"]))?;
    keeps_the_secret(&user, user.command().arg("report").arg(&roots))
}

#[test]
fn whether_a_file_of_roots_exists_is_not_told_either() -> Result<()> {
    needs!(FILE_CAPABILITIES);
    let user = user()?;
    let secret = secret(&user)?;
    let absent = user.roots()?.join("absent");
    for arguments in [
        &["tune", "show"][..],
        &["tune", "plan"],
        &["report"],
        &["record", "-d", "100ms", "--cgroup"],
        &["record", "-d", "100ms", "--"],
        &["record", "-d", "100ms", "--format", "svg", "-o"],
        &["run", "--"],
    ] {
        let told = |path: &Path| -> Result<String> {
            let output = user.command().args(arguments).arg(path).output()?;
            Ok(String::from_utf8_lossy(&output.stderr).replace(&path.display().to_string(), "PATH"))
        };
        assert_eq!(told(&secret)?, told(&absent)?, "{arguments:?}");
    }
    Ok(())
}

/// The sets of a process, by their names in `/proc/PID/status`.
fn sets(status: &str) -> BTreeMap<&str, u64> {
    let sets = status.lines().filter_map(|line| {
        let (name, value) = line.split_once(':')?;
        Some((name.strip_prefix("Cap")?, u64::from_str_radix(value.trim(), 16).ok()?))
    });
    sets.collect()
}

const EMPTY: [(&str, u64); 4] = [("Inh", 0), ("Prm", 0), ("Eff", 0), ("Amb", 0)];

#[test]
fn a_command_has_none_of_the_files_capabilities() -> Result<()> {
    needs!(FILE_CAPABILITIES, Bpf);
    let user = user()?;
    // A recording rather than a page: so short a command may have no sample to draw.
    let ended = Running::spawn(user.command().args(["record", "-o", "x.quell", "--", "cat", "/proc/self/status"]))?
        .wait()?
        .expect_code(0)?;
    let found = sets(&ended.stdout);
    for (set, value) in EMPTY {
        assert_eq!(found.get(set), Some(&value), "{set}: {}", ended.stdout);
    }
    assert!(ended.stdout.contains("NoNewPrivs:\t0"), "sudo and ping are to work in it: {}", ended.stdout);
    // By the other verb that starts commands, and in one that the user may not look up.
    let ended =
        Running::spawn(user.command().args(["run", "--", "cat", "/proc/self/status"]))?.wait()?.expect_code(0)?;
    for (set, value) in EMPTY {
        assert_eq!(sets(&ended.stdout).get(set), Some(&value), "{set}: {}", ended.stdout);
    }
    let program = user.roots()?.join("program");
    executable::copy(Path::new("/bin/true"), &program)?;
    for verb in [&["record", "-o", "y.quell", "--"][..], &["run", "--"]] {
        let output = user.command().args(verb).arg(&program).output()?;
        assert_ne!(output.status.code(), Some(0), "{verb:?} started a program that its caller may not reach");
    }
    Ok(())
}

#[test]
fn a_command_of_roots_is_as_if_root_had_started_it() -> Result<()> {
    needs!(Root, Bpf);
    let dir = Workdir::new()?;
    let own = fs::read_to_string("/proc/self/status")?;
    for verb in [&["record", "-o", "x.quell"][..], &["run"]] {
        let ended = dir.run([verb, &["--", "cat", "/proc/self/status"]].concat())?.expect_code(0)?;
        let (own, found) = (sets(&own), sets(&ended.stdout));
        for set in ["Inh", "Prm", "Eff", "Bnd", "Amb"] {
            assert_eq!(found.get(set), own.get(set), "{verb:?} {set}: {}", ended.stdout);
        }
        assert!(ended.stdout.contains("NoNewPrivs:\t0"), "{verb:?}: {}", ended.stdout);
    }
    Ok(())
}

/// The masks of `/proc/PID/status`: PERFMON and BPF.
const CAPTURE: u64 = 1 << 38 | 1 << 39;
const SYS_PTRACE: u64 = 1 << 19;
const DAC_OVERRIDE: u64 = 1 << 1;

/// What a child of quell may hold: its process is named for its role.
fn of_child(pid: &str) -> Result<u64> {
    let name = fs::read_to_string(format!("/proc/{pid}/comm"))?;
    let role = Role::ALL.into_iter().find(|role| name.trim() == format!("quell-{}", role.name()));
    let kept = match role.map(Role::keeps) {
        Some(Keeps::Only(needs)) => needs,
        _ => &[],
    };
    Ok(kept.iter().fold(0, |mask, need| mask | 1 << need.capability.number()))
}

/// Checks every thread of a capture, and of the children that it has started.
fn holds_at_most(capture: &Running, own: u64) -> Result<()> {
    let mut processes = vec![(capture.pid()?.to_string(), own)];
    let mut readers = 0;
    while let Some((pid, allowed)) = processes.pop() {
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))?;
        for child in children.split_whitespace() {
            processes.push((child.to_owned(), of_child(child)?));
        }
        readers += u32::from(fs::read_to_string(format!("/proc/{pid}/comm"))? == "quell-reader\n");
        for task in fs::read_dir(format!("/proc/{pid}/task"))? {
            let status = fs::read_to_string(task?.path().join("status"))?;
            let found = sets(&status);
            for set in ["Inh", "Prm", "Eff", "Amb"] {
                let more = found.get(set).copied().unwrap_or(u64::MAX) & !allowed;
                assert_eq!(more, 0, "process {pid} has {more:#x} too many in {set}: {status}");
            }
            assert!(status.contains("NoNewPrivs:\t1"), "process {pid}: {status}");
        }
    }
    assert!(readers > 0, "nothing reads other processes");
    Ok(())
}

#[test]
fn a_capture_holds_what_it_needs_and_nothing_else() -> Result<()> {
    needs!(Bpf);
    let _alone = turns::alone();
    let dir = Workdir::new()?;
    // Long enough for the first measurement of the programs.
    let capture = dir.spawn(["record", "-a", "-d", "2", "-o", "x.quell"])?;
    capture.captures()?;
    holds_at_most(&capture, CAPTURE)?;
    let ended = capture.wait()?.expect_code(0)?;
    // What it did without them: time its programs, and name kernel functions.
    let cost = Recorded::read(&dir.path("x.quell"))?.recording.meta.cost;
    assert!(cost.probes.iter().any(|probe| probe.nanos_per_event.is_some()), "not measured: {cost:?}");
    assert!(!ended.stdout.contains("kptr_restrict") && !ended.stdout.contains("hides"), "{}", ended.stdout);
    Ok(())
}

#[test]
fn root_still_writes_into_the_directories_of_others() -> Result<()> {
    needs!(Root, Bpf);
    let _alone = turns::alone();
    let dir = Workdir::new()?;
    let home = dir.path("home");
    fs::create_dir(&home)?;
    fs::set_permissions(&home, Permissions::from_mode(0o700))?;
    chown(&home, Some(USER), Some(USER))?;
    let capture = dir.spawn(["record", "-a", "-o", "home/x.svg", "-o", "home/x.quell"])?;
    capture.captures()?;
    holds_at_most(&capture, CAPTURE | DAC_OVERRIDE)?;
    let pid = capture.pid()?;
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    assert_eq!(sets(&status).get("Eff").map(|set| set & DAC_OVERRIDE), Some(0), "not in effect yet: {status}");
    capture.signal(Signal::SIGINT)?;
    capture.wait()?.expect_code(0)?;
    assert!(home.join("x.svg").is_file() && home.join("x.quell/meta.json").is_file());
    Ok(())
}

#[test]
fn a_quell_that_is_set_user_id_does_not_run() -> Result<()> {
    needs!(FILE_CAPABILITIES);
    let user = user()?;
    for mode in [0o4755, 0o2755] {
        let copy = user.home().join("quell");
        executable::copy(quell_tests::agent::binary()?, &copy)?;
        fs::set_permissions(&copy, Permissions::from_mode(mode))?;
        let output = user.of_user(&copy).args(["list", "formats"]).output()?;
        assert_eq!(output.status.code(), Some(2), "{mode:o}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("set-user-id"), "{output:?}");
        fs::remove_file(&copy)?;
    }
    Ok(())
}

#[test]
fn a_child_started_by_hand_does_nothing() -> Result<()> {
    needs!(FILE_CAPABILITIES);
    // Of all, the one that a user could put to use.
    let user = Unprivileged::new(SYS_PTRACE)?;
    let output = user.command().args(["__child", "readers"]).output()?;
    assert_eq!(output.status.code(), Some(2));
    // With no_new_privs the file's capabilities are not given: it runs, and cannot do what it is for.
    let setpriv = Path::new("/usr/bin/setpriv");
    if setpriv.exists() {
        let quell = fs::canonicalize(user.home().join("../quell"))?;
        let output = user.of_user(setpriv).arg("--no-new-privs").arg(quell).args(["__child", "readers"]).output()?;
        // Its standard input is no socket: it ends at once.
        assert!(output.status.code().is_some(), "{output:?}");
    }
    Ok(())
}
