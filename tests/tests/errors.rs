//! What goes wrong is told in a line and leaves nothing behind: no file, no program in the kernel.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};
use nix::unistd::gettid;
use quell_tests::agent::{self, Ended, Running, Workdir};
use quell_tests::fixture::Fixture;
use quell_tests::recorded::Recorded;
use quell_tests::{executable, kernel, needs, skip, turns};

/// What is in a folder, hidden names too.
fn names(folder: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

/// Fails unless quell ended with 2, saying `says` on stderr and nothing on stdout.
fn refused(ended: Ended, says: &str) -> Result<()> {
    let ended = ended.expect_code(2)?;
    assert!(ended.stderr.contains(says), "not `{says}`: {}", ended.stderr);
    assert!(ended.stderr.starts_with("quell: ") || ended.stderr.starts_with("error: "), "{}", ended.stderr);
    assert_eq!(ended.stdout, "", "{}", ended.stderr);
    kernel::nothing_left_behind()
}

#[test]
fn what_cannot_be_captured_is_refused_and_leaves_nothing() -> Result<()> {
    needs!(Bpf);
    let _alone = turns::alone();
    let dir = Workdir::new()?;
    fs::write(dir.path("file"), "")?;
    let mut child = Command::new("true").spawn()?;
    let gone = child.id().to_string();
    child.wait()?;
    let thread = gettid().to_string();
    let process = format!("use -p {}", std::process::id());
    let no_process = format!("process {gone} does not exist");
    for (arguments, says) in [
        (&["-p", &gone][..], no_process.as_str()),
        (&["-p", &thread], &process),
        (&["-p", "shop"], "`pgrep -f shop`"),
        (&["-a", "-F", "0"], "`0` is not a sampling frequency"),
        (&["-a", "-F", "99hz"], "`99hz` is not a sampling frequency"),
        (&["-a", "-d", "-5"], "`-5` is not a duration"),
        (&["-a", "-F", "4000000000"], "the limit is 10000"),
        (&["-a", "--probe", "cpu,wishes"], "wishes"),
        (&["-a", "-d", "0"], "longer than zero"),
        (&["-a", "-o", "x.xyz"], "the extension of x.xyz"),
        (&["-a", "-o", "absent/x.svg"], "absent"),
        (&["-a", "-o", "file/x.quell"], "could not open file: Not a directory"),
        (&["-a", "-o", "file", "--format", "recording"], "file exists and is not a quell recording"),
        (&["-a", "--cpu", "8191"], "CPU 8191 is not online"),
        (&["--cgroup", "absent"], "absent"),
        (&["--cgroup", "."], "cgroup"),
        (&["--", "no-such-command-of-ours"], "no-such-command-of-ours"),
        (&["--", "./file"], "./file"),
    ] {
        // Should it capture after all, not for long.
        let duration = if arguments.contains(&"-d") { &[][..] } else { &["-d", "1"] };
        let arguments = [&["record"][..], duration, arguments].concat();
        refused(dir.run(&arguments)?, says).with_context(|| format!("{arguments:?}"))?;
        assert_eq!(names(&dir.path(""))?, ["file"], "{arguments:?}");
    }
    Ok(())
}

#[test]
fn a_cgroup_of_version_1_is_told_from_what_quell_can_capture() -> Result<()> {
    needs!(Bpf);
    let mounts = fs::read_to_string("/proc/self/mounts")?;
    let mut version_one = mounts.lines().filter_map(|line| {
        let mut words = line.split(' ');
        let (_, point, kind) = (words.next()?, words.next()?, words.next()?);
        (kind == "cgroup").then_some(point)
    });
    let Some(path) = version_one.next() else {
        skip!("a mounted cgroup hierarchy of version 1");
    };
    let _alone = turns::alone();
    let dir = Workdir::new()?;
    refused(dir.run(["record", "-d", "1", "--cgroup", path])?, "version 1")?;
    assert!(names(&dir.path(""))?.is_empty());
    Ok(())
}

#[test]
fn without_privileges_it_says_which_are_missing() -> Result<()> {
    needs!(Root, Bpf, Program("setpriv"));
    let _alone = turns::alone();
    let dir = Workdir::new()?;
    // The build folder may lie where nobody else may look.
    fs::set_permissions(dir.path(""), fs::Permissions::from_mode(0o777))?;
    let binary = dir.path("quell");
    executable::copy(agent::binary()?, &binary)?;
    let mut command = Command::new("setpriv");
    command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups", "--no-new-privs", "--inh-caps=-all"]);
    command.arg(&binary).args(["record", "-a", "-d", "1", "-o", "x.quell"]).current_dir(dir.path(""));
    let ended = Running::spawn(&mut command)?.wait()?;
    assert!(ended.stderr.contains("CAP_BPF") || ended.stderr.contains("CAP_PERFMON"), "{}", ended.stderr);
    refused(ended, "CAP_")?;
    assert_eq!(names(&dir.path(""))?, ["quell"]);
    Ok(())
}

const TO_MOUNT: &str = "permission to mount a file system";

/// A small file system in memory, while it lives.
struct Tmpfs {
    point: PathBuf,
}

impl Tmpfs {
    /// Mounts one; `None` without the permission to.
    fn mount(point: PathBuf, options: &str) -> Result<Option<Self>> {
        fs::create_dir(&point)?;
        let mut mount = Command::new("mount");
        let status = mount.args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(&point).stderr(Stdio::null()).status();
        Ok(status.is_ok_and(|status| status.success()).then_some(Self { point }))
    }

    /// Leaves no room on it.
    fn fill(&self) -> Result<()> {
        let written = fs::write(self.point.join("filler"), vec![1; 1 << 20]);
        assert!(written.is_err(), "it was to be full");
        Ok(())
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.point).status();
    }
}

#[test]
fn a_read_only_file_system_is_refused_before_the_capture() -> Result<()> {
    needs!(Bpf);
    let _alone = turns::alone();
    let dir = Workdir::new()?;
    let Some(_tmpfs) = Tmpfs::mount(dir.path("fixed"), "ro,size=64k")? else { skip!(TO_MOUNT) };
    // No duration: a capture would not end.
    refused(dir.run(["record", "-a", "-o", "fixed/x.quell"])?, "fixed is not writable: Read-only file system")
}

#[test]
fn a_full_disk_is_told_and_nothing_half_written_stays() -> Result<()> {
    needs!(Bpf);
    let _alone = turns::alone();
    let dir = Workdir::new()?;
    for (name, output, full_before) in
        [("before", "x.quell", true), ("before-html", "x.html", true), ("during", "x.quell", false)]
    {
        let Some(tmpfs) = Tmpfs::mount(dir.path(name), "size=512k")? else { skip!(TO_MOUNT) };
        if full_before {
            tmpfs.fill()?;
        }
        let waiting = Fixture::start("burn", &[])?;
        let pid = waiting.pid().to_string();
        let output = format!("{name}/{output}");
        let quell = dir.spawn(["record", "-p", &pid, "-o", &output, "-o", "beside.svg"])?;
        quell.captures()?;
        if !full_before {
            tmpfs.fill()?;
        }
        // Ends with its target.
        drop(waiting);
        let ended = quell.wait()?.expect_code(2)?;
        assert!(ended.stderr.contains("No space left on device"), "{name}: {}", ended.stderr);
        assert!(ended.stdout.contains("written: beside.svg"), "{name}: {}", ended.stdout);
        kernel::nothing_left_behind()?;
        assert_eq!(names(&tmpfs.point)?, ["filler"], "{name}");
        // The capture is not lost with its place.
        let kept = names(&dir.path(""))?.into_iter().find(|name| name.starts_with("quell."));
        let kept = kept.with_context(|| format!("{name}: no recording\n{}", ended.stderr))?;
        assert!(ended.stderr.contains(&format!("the recording was written to {kept}")), "{name}: {}", ended.stderr);
        Recorded::read(&dir.path(&kept))?;
        fs::remove_dir_all(dir.path(&kept))?;
        // The other output has room.
        assert!(fs::read_to_string(dir.path("beside.svg"))?.contains("</svg>"), "{name}");
        fs::remove_file(dir.path("beside.svg"))?;
    }
    Ok(())
}

#[test]
fn each_output_that_a_full_disk_refused_is_named_even_if_stdout_is_on_it() -> Result<()> {
    needs!(Bpf);
    let _alone = turns::alone();
    let dir = Workdir::new()?;
    let Some(tmpfs) = Tmpfs::mount(dir.path("full"), "size=512k")? else { skip!(TO_MOUNT) };
    let waiting = Fixture::start("burn", &[])?;
    let pid = waiting.pid().to_string();
    let quell = dir.command()?.get_program().to_owned();
    let script = "exec \"$0\" record -p \"$1\" -o full/x.html -o full/y.svg >full/out";
    let mut shell = Command::new("sh");
    shell.args(["-c", script]).arg(quell).arg(&pid).current_dir(dir.path("")).stdin(Stdio::null());
    let running = Running::spawn(&mut shell)?;
    running.captures()?;
    tmpfs.fill()?;
    drop(waiting);
    let ended = running.wait()?.expect_code(2)?;
    for said in ["full/x.html", "full/y.svg", "could not print the summary", "the recording was written to quell."] {
        assert!(ended.stderr.contains(said), "{said}: {}", ended.stderr);
    }
    for line in ended.stderr.lines() {
        assert!(line.matches("No space left on device").count() <= 1, "{line}");
    }
    Ok(())
}

#[test]
fn what_the_command_returned_is_told() -> Result<()> {
    needs!(Bpf);
    let _alone = turns::alone();
    let dir = Workdir::new()?;
    for (script, code) in [("exit 0", 0), ("exit 3", 3), ("kill -KILL $$", 137)] {
        let ended = dir.run(["record", "-o", "x.quell", "--", "sh", "-c", script])?.expect_code(0)?;
        assert!(ended.stdout.contains(&format!("exited with code {code}")), "{}", ended.stdout);
        let recorded = Recorded::read(&dir.path("x.quell"))?;
        assert_eq!(recorded.recording.meta.exit_code, Some(code), "{script}");
    }
    kernel::nothing_left_behind()
}

#[test]
fn a_target_that_ends_while_the_capture_begins_is_refused_or_captured() -> Result<()> {
    needs!(Bpf);
    let _alone = turns::alone();
    let dir = Workdir::new()?;
    let mut captured = 0;
    for seconds in ["0", "0.002", "0.01", "0.02", "0.04", "0.08", "0.2"] {
        let mut target = Command::new("sleep").arg(seconds).spawn()?;
        let pid = target.id().to_string();
        let quell = dir.spawn(["record", "-p", &pid, "-o", "x.quell"])?;
        target.wait()?;
        let ended = quell.wait()?;
        if ended.code == Some(0) {
            captured += 1;
            Recorded::read(&dir.path("x.quell"))?;
            fs::remove_dir_all(dir.path("x.quell"))?;
        } else {
            assert!(ended.stderr.contains(&pid), "{}", ended.stderr);
            ended.expect_code(2)?;
        }
        assert!(names(&dir.path(""))?.is_empty(), "after {seconds} s");
    }
    assert!(captured > 0);
    kernel::nothing_left_behind()
}
