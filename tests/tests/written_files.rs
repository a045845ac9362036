//! What root writes where other users can write too: nothing of theirs is followed, kept or waited for, and they can read nothing.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;
use quell::recording;
use quell_tests::agent::{self, Ended, Running, Workdir};
use quell_tests::needs::STRACE;
use quell_tests::shared::{Attack, MALLORY, Shared};
use quell_tests::{executable, needs, small};

fn mode(path: &Path) -> Result<u32> {
    Ok(fs::symlink_metadata(path).with_context(|| path.display().to_string())?.mode() & 0o7777)
}

#[test]
fn a_file_that_another_user_has_made_is_refused_before_the_capture() -> Result<()> {
    needs!(Root);
    for sticky in [0o1777, 0o777] {
        let shared = Shared::new(sticky)?;
        // The first attack of all: a page with set-id bits, which root's would have kept.
        shared.plant("echo old > quell.html; chmod 4777 quell.html")?;
        let ended = shared.dir.run(["record", "-a", "-d", "1"])?.expect_code(2)?;
        assert!(
            ended.stderr.contains("quell.html is a file of ") && ended.stderr.contains("uid 65534"),
            "{}",
            ended.stderr
        );
        assert!(ended.stderr.contains("\nhint: "), "{}", ended.stderr);
        assert_eq!(fs::read_to_string(shared.path("quell.html"))?, "old\n");
        assert_eq!(fs::metadata(shared.path("quell.html"))?.uid(), MALLORY);
        assert!(!shared.path("quell.quell").exists());
        // With no set-id bits it is as much another's, whatever it is called.
        shared.plant("echo old > x.folded")?;
        shared.refuses("x.folded", &["x.folded is a file of ", "uid 65534"])?;
    }
    Ok(())
}

#[test]
fn links_of_another_user_are_refused_wherever_they_stand() -> Result<()> {
    needs!(Root);
    for sticky in [0o1777, 0o777] {
        let shared = Shared::new(sticky)?;
        let private = Workdir::new()?;
        let victim = private.path("victim");
        fs::write(&victim, "as it was")?;
        let (target, folder) = (victim.display().to_string(), private.path("").display().to_string());
        shared.plant(&format!(
            "ln -s {target} file.folded; ln -s {folder} middle; ln -s middle chain; ln -s nowhere dangling.folded; \
             ln -s {folder} x.quell; ln -s file.folded far.folded"
        ))?;
        for output in ["file.folded", "far.folded", "dangling.folded"] {
            shared.refuses(output, &["is a symbolic link of ", "uid 65534"])?;
        }
        for output in ["middle/victim", "chain/new.folded", "./middle/../new.folded"] {
            shared.refuses(output, &["is a symbolic link of ", "uid 65534"])?;
        }
        let ended = shared.dir.run(["record", "-a", "-d", "1", "-o", "x.quell"])?.expect_code(2)?;
        assert!(ended.stderr.contains("x.quell is a symbolic link of "), "{}", ended.stderr);
        assert_eq!(fs::read_to_string(&victim)?, "as it was");
        assert!(!private.path("new.folded").exists() && !shared.path("nowhere").exists());
        // Root's own link in its own directory goes on leading where it did.
        symlink(&victim, private.path("own.folded"))?;
        shared.report(private.path("own.folded").to_str().context("text")?)?.expect_code(0)?;
        assert_ne!(fs::read_to_string(&victim)?, "as it was");
    }
    Ok(())
}

#[test]
fn a_fifo_hangs_nothing() -> Result<()> {
    needs!(Root);
    let shared = Shared::new(0o1777)?;
    shared.plant("mkfifo theirs.folded")?;
    shared.refuses("theirs.folded", &["is a FIFO of ", "uid 65534"])?;
    nix::unistd::mkfifo(&shared.path("own.folded"), nix::sys::stat::Mode::S_IRWXU)?;
    shared.refuses("own.folded", &["no process reads from the FIFO"])?;
    Ok(())
}

#[test]
fn sockets_and_directories_of_another_user_are_refused() -> Result<()> {
    needs!(Root);
    let shared = Shared::new(0o1777)?;
    let socket = shared.path("x.folded");
    let _listener = std::os::unix::net::UnixListener::bind(&socket)?;
    chown(&socket, Some(MALLORY), Some(MALLORY))?;
    shared.refuses("x.folded", &["is a socket of "])?;
    // A recording of theirs is not root's to replace, though it is one.
    let theirs = small::path().display().to_string();
    shared
        .plant(&format!("mkdir x.quell && cp {theirs}/* x.quell/"))
        .or_else(|_| shared.plant("mkdir x.quell; echo '{\"schema\":1,\"quell\":\"0.1.0\"}' > x.quell/meta.json"))?;
    let error = recording::write(&small::recording(), &shared.path("x.quell")).expect_err("a planted recording");
    assert!(error.to_string().contains("is a directory of "), "{error}");
    assert!(shared.path("x.quell/meta.json").exists());
    Ok(())
}

#[test]
fn what_is_written_is_for_its_owner_alone_whatever_the_umask() -> Result<()> {
    let dir = Workdir::new()?;
    let script = |words: &str| -> Result<Ended> {
        let mut command = Command::new("sh");
        let line = format!("umask 0; exec \"$0\" report '{}' {words}", small::path().display());
        command.args(["-c", &line]).arg(agent::binary()?).current_dir(dir.path(""));
        Running::spawn(&mut command)?.wait()
    };
    for ending in ["html", "svg", "folded", "pb.gz", "speedscope.json", "firefox.json", "perfetto-trace"] {
        script(&format!("-o x.{ending}"))?.expect_code(0)?;
        assert_eq!(mode(&dir.path(&format!("x.{ending}")))?, 0o600, "{ending}");
    }
    recording::write(&small::recording(), &dir.path("x.quell"))?;
    assert_eq!(mode(&dir.path("x.quell"))?, 0o700);
    for entry in fs::read_dir(dir.path("x.quell"))? {
        assert_eq!(mode(&entry?.path())?, 0o600);
    }
    // What the user has opened to others stays so; set-id bits never do.
    for (before, after) in [(0o644, 0o644), (0o4755, 0o755), (0o2664, 0o664), (0o1400, 0o400)] {
        fs::set_permissions(dir.path("x.svg"), Permissions::from_mode(before))?;
        script("-o x.svg")?.expect_code(0)?;
        assert_eq!(mode(&dir.path("x.svg"))?, after, "{before:o}");
    }
    Ok(())
}

#[test]
fn a_hard_link_is_replaced_and_not_written_through() -> Result<()> {
    let dir = Workdir::new()?;
    fs::write(dir.path("victim"), "as it was")?;
    fs::set_permissions(dir.path("victim"), Permissions::from_mode(0o4755))?;
    fs::hard_link(dir.path("victim"), dir.path("x.folded"))?;
    let small = small::path().display().to_string();
    dir.run(["report", &small, "-o", "x.folded"])?.expect_code(0)?;
    assert_eq!(fs::read_to_string(dir.path("victim"))?, "as it was");
    assert_eq!((mode(&dir.path("victim"))?, mode(&dir.path("x.folded"))?), (0o4755, 0o600));
    Ok(())
}

#[test]
fn pipes_and_descriptors_of_the_callers_own_are_written() -> Result<()> {
    needs!(Program("bash"));
    let dir = Workdir::new()?;
    let small = small::path().display().to_string();
    let expected = dir.run(["report", &small, "-o", "-", "--format", "folded"])?.expect_code(0)?.stdout;
    assert!(!expected.is_empty());
    for (shell, script) in [
        ("sh", "\"$0\" report \"$1\" --format folded -o /dev/stdout"),
        ("sh", "\"$0\" report \"$1\" --format folded -o /dev/stdout | cat"),
        ("sh", "\"$0\" report \"$1\" --format folded -o /dev/fd/3 3>out > /dev/null; cat out"),
        ("sh", "\"$0\" report \"$1\" --format folded -o /proc/self/fd/3 3>>out2 > /dev/null; cat out2"),
        ("sh", "mkfifo p; cat p & \"$0\" report \"$1\" --format folded -o p > /dev/null; wait"),
        (
            "bash",
            "\"$0\" report \"$1\" --format folded -o >(cat >got) > /dev/null; while ! [ -s got ]; do sleep 0.05; done; cat got",
        ),
        // What nobody else could read is not opened anew.
        (
            "sh",
            "umask 777; \"$0\" report \"$1\" --format folded -o /dev/fd/4 4>secret >/dev/null; chmod 600 secret; cat secret",
        ),
    ] {
        let mut command = Command::new(shell);
        command.args(["-c", script]).arg(agent::binary()?).arg(&small).current_dir(dir.path(""));
        let ended = Running::spawn(&mut command)?.wait()?.expect_code(0)?;
        let lines: Vec<&str> = ended.stdout.lines().filter(|line| !line.starts_with("written: ")).collect();
        assert_eq!(lines, expected.lines().collect::<Vec<_>>(), "{script}");
    }
    // Not one that quell was given, and one that it can only read.
    for (output, script) in [("/dev/fd/9", ""), ("/dev/fd/5", "5</dev/null")] {
        let mut command = Command::new("sh");
        let line = format!("exec \"$0\" report \"$1\" --format folded -o {output} {script}");
        command.args(["-c", &line]).arg(agent::binary()?).arg(&small).current_dir(dir.path(""));
        let ended = Running::spawn(&mut command)?.wait()?.expect_code(2)?;
        assert!(ended.stderr.contains("is not open for writing"), "{}", ended.stderr);
    }
    Ok(())
}

#[test]
fn the_null_device_is_written_by_everybody() -> Result<()> {
    needs!(Root);
    let dir = Workdir::new()?;
    let small = small::path().display().to_string();
    dir.run(["report", &small, "-o", "/dev/null", "--format", "folded"])?.expect_code(0)?;
    let shared = Shared::new(0o777)?;
    // Where everybody may look: the build and the recording may lie where they may not.
    executable::copy(agent::binary()?, &shared.path("quell"))?;
    recording::write(&small::recording(), &shared.path("x.quell"))?;
    for entry in [vec![shared.path("x.quell")], names(&shared.path("x.quell"))?].concat() {
        chown(entry, Some(MALLORY), Some(MALLORY))?;
    }
    shared
        .plant("./quell report x.quell --format folded -o /dev/null && ./quell report x.quell --format folded -o y")?;
    assert_eq!((mode(&shared.path("y"))?, fs::metadata(shared.path("y"))?.uid()), (0o600, MALLORY));
    assert!(!fs::symlink_metadata("/dev/null")?.is_file());
    Ok(())
}

fn names(directory: &Path) -> Result<Vec<PathBuf>> {
    fs::read_dir(directory)?.map(|entry| Ok(entry?.path())).collect()
}

/// The second attack: whoever can write to the directory renames the unfinished recording and puts links in its place.
#[test]
fn an_unfinished_recording_that_is_exchanged_leads_nowhere() -> Result<()> {
    needs!(Root);
    exchange_unfinished_recordings(15)
}

#[test]
#[ignore = "long: cargo xtask test --all"]
fn many_unfinished_recordings_that_are_exchanged_lead_nowhere() -> Result<()> {
    needs!(Root);
    exchange_unfinished_recordings(60)
}

fn exchange_unfinished_recordings(recordings: u32) -> Result<()> {
    let shared = Shared::new(0o777)?;
    let private = Workdir::new()?;
    let victim = private.path("victim");
    fs::write(&victim, "as it was")?;
    fs::set_permissions(&victim, Permissions::from_mode(0o600))?;
    let tables = "samples stacks frames inlined processes threads labels counters histograms";
    let script = format!(
        "mkdir trap; for t in {tables}; do ln -s {0} trap/$t.parquet; done; ln -s {0} trap/meta.json; : > ready; n=0
         while :; do
           for d in .x.quell.*; do
             [ -d \"$d\" ] || continue
             mv -T \"$d\" taken.$n 2>/dev/null && cp -a trap \"$d\" 2>/dev/null && n=$((n+1))
           done
         done",
        victim.display()
    );
    let _attack = Attack::start(shared.mallory(&script))?;
    quell_tests::turns::until("the attack begins", || Ok(shared.path("ready").exists().then_some(())))?;
    let mut capture = small::recording();
    // Long enough to be met.
    let sample = capture.samples[0];
    capture.samples.extend(std::iter::repeat_n(sample, 100_000));
    let (mut written, mut refused) = (0, 0);
    for _ in 0..recordings {
        match recording::write(&capture, &shared.path("x.quell")) {
            Ok(_) => written += 1,
            Err(_) => refused += 1,
        }
        assert_eq!(fs::read_to_string(&victim)?, "as it was", "after {written} written and {refused} refused");
        assert_eq!(mode(&victim)?, 0o600);
        if let Ok(planted) = fs::symlink_metadata(shared.path("x.quell"))
            && planted.uid() == MALLORY
        {
            let _ = fs::remove_dir_all(shared.path("x.quell"));
        }
    }
    assert_eq!(written + refused, recordings);
    Ok(())
}

/// The same with a page: its temporary name cannot be guessed, and what takes its place is not followed.
#[test]
fn an_unfinished_report_that_is_exchanged_leads_nowhere() -> Result<()> {
    needs!(Root);
    exchange_unfinished_reports(10)
}

#[test]
#[ignore = "long: cargo xtask test --all"]
fn many_unfinished_reports_that_are_exchanged_lead_nowhere() -> Result<()> {
    needs!(Root);
    exchange_unfinished_reports(60)
}

fn exchange_unfinished_reports(reports: u32) -> Result<()> {
    let shared = Shared::new(0o777)?;
    let private = Workdir::new()?;
    let victim = private.path("victim");
    fs::write(&victim, "as it was")?;
    let script = format!(
        ": > ready; while :; do for f in .x.folded.*; do [ -e \"$f\" ] && ln -sfT {} \"$f\"; done; done",
        victim.display()
    );
    let _attack = Attack::start(shared.mallory(&script))?;
    quell_tests::turns::until("the attack begins", || Ok(shared.path("ready").exists().then_some(())))?;
    for _ in 0..reports {
        let ended = shared.report("x.folded")?;
        assert_eq!(fs::read_to_string(&victim)?, "as it was");
        // What takes its place may be the other user's, but then it is said.
        if ended.code == Some(0) {
            assert_eq!(mode(&shared.path("x.folded"))?, 0o600);
            assert!(fs::metadata(shared.path("x.folded"))?.is_file());
        } else {
            ended.expect_code(2)?;
        }
        let _ = fs::remove_file(shared.path("x.folded"));
    }
    Ok(())
}

/// Kernels before 5.6, and seccomp filters of container runtimes that do not know it.
#[test]
fn all_of_it_holds_where_openat2_is_refused() -> Result<()> {
    needs!(Root, STRACE);
    for errno in ["ENOSYS", "EPERM"] {
        let shared = Shared::new(0o1777)?;
        let private = Workdir::new()?;
        fs::write(private.path("victim"), "as it was")?;
        let folder = private.path("").display().to_string();
        shared.plant(&format!("ln -s {folder}/victim link.folded; ln -s {folder} middle; echo > file.folded"))?;
        let quell = |words: &[&str]| -> Result<Ended> {
            let mut command = Command::new("strace");
            let inject = format!("inject=openat2:error={errno}");
            // Without a stop at any other system call: those are most of the time.
            command.args(["-qq", "-f", "--seccomp-bpf", "-o", "/dev/null", "-e", "trace=openat2", "-e", &inject]);
            command.arg(agent::binary()?).args(words).current_dir(shared.path("")).stdin(Stdio::null());
            Running::spawn(&mut command)?.wait()
        };
        let small = small::path().display().to_string();
        let report = |output: &str| quell(&["report", &small, "--format", "folded", "-o", output]);
        report("own.folded")?.expect_code(0)?;
        report("own.folded")?.expect_code(0)?;
        assert_eq!(mode(&shared.path("own.folded"))?, 0o600);
        for output in ["link.folded", "middle/victim", "file.folded"] {
            let ended = report(output)?.expect_code(2)?;
            assert!(ended.stderr.contains("uid 65534"), "{output}: {}", ended.stderr);
        }
        assert_eq!(fs::read_to_string(private.path("victim"))?, "as it was");
        // Of a tree, which another crate resolves then.
        let host = quell_tests::fake_host::small_vm();
        let tree = host.path().display().to_string();
        let before = host.read("/proc/sys/vm/swappiness");
        let setting = "[[set]]\nknob = \"memory.swappiness\"\nvalue = 9\nreason = \"a test\"\n";
        fs::write(shared.path("case.toml"), format!("summary = \"a test\"\n{setting}"))?;
        quell(&["tune", "--root", &tree, "apply", "./case.toml", "--yes"])?.expect_code(0)?;
        assert_eq!(host.read("/proc/sys/vm/swappiness").trim(), "9");
        quell(&["tune", "--root", &tree, "rollback"])?.expect_code(0)?;
        assert_eq!(host.read("/proc/sys/vm/swappiness").trim(), before.trim());
        fs::remove_file(host.at("/proc/sys/vm/swappiness"))?;
        symlink(private.path("victim"), host.at("/proc/sys/vm/swappiness"))?;
        quell(&["tune", "--root", &tree, "apply", "./case.toml", "--yes"])?;
        assert_eq!(fs::read_to_string(private.path("victim"))?, "as it was");
    }
    Ok(())
}

/// A limit is an error like a full disk, and no signal that ends quell between two names of a file.
#[test]
fn a_limit_on_the_size_of_files_is_an_error_that_leaves_nothing_behind() -> Result<()> {
    let dir = Workdir::new()?;
    let limited = |words: &[&str]| -> Result<Ended> {
        let mut command = Command::new("sh");
        // Blocks of 512 bytes: less than a page, or a table of a recording, takes.
        command.args(["-c", "ulimit -f 2; exec \"$0\" \"$@\""]).arg(agent::binary()?).args(words);
        Running::spawn(command.current_dir(dir.path("")).stdin(Stdio::null()))?.wait()
    };
    let small = small::path().display().to_string();
    for ending in ["html", "svg"] {
        let ended = limited(&["report", &small, "-o", &format!("x.{ending}")])?.expect_code(2)?;
        ensure!(ended.stderr.contains("File too large"), "{ending}: {}", ended.stderr);
        assert_eq!(names(&dir.path(""))?, Vec::<PathBuf>::new(), "{ending}");
    }
    Ok(())
}

/// What quell does about that limit is not for the programs that it starts: they end of it as they always did.
#[test]
fn a_command_has_the_signals_that_its_caller_gave_quell() -> Result<()> {
    needs!(Bpf);
    let dir = Workdir::new()?;
    let ended =
        dir.run(["record", "-o", "/dev/null", "--format", "folded", "--", "grep", "SigIgn", "/proc/self/status"])?;
    let ended = ended.expect_code(0)?;
    let ignored = ended.stdout.lines().find_map(|line| line.strip_prefix("SigIgn:")).context("no SigIgn")?;
    let bit = 1 << (Signal::SIGXFSZ as u64 - 1);
    assert_eq!(u64::from_str_radix(ignored.trim(), 16)? & bit, 0, "{ignored}");
    Ok(())
}
