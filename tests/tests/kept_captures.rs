//! A capture that was made is kept, whatever other users do to its place meanwhile, and costs nothing that is theirs or root's.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;
use quell::recording;
use quell_tests::agent::{Ended, Workdir};
use quell_tests::shared::{MALLORY, Shared};
use quell_tests::{needs, small};

/// A capture by root, in a directory of its own, during which the other user runs a script in the shared one.
fn capture_while(shared: &Shared, cwd: &Workdir, outputs: &[PathBuf], script: &str) -> Result<Ended> {
    let mut command = cwd.command()?;
    command.args(["record", "-p", "1"]).env_remove("TMPDIR");
    for output in outputs {
        command.arg("-o").arg(output);
    }
    let running = quell_tests::agent::Running::spawn(&mut command)?;
    running.captures()?;
    shared.plant(script)?;
    running.signal(Signal::SIGINT)?;
    running.wait()
}

/// The files in a directory whose names begin and end so.
fn found(directory: &Path, begin: &str, end: &str) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name.starts_with(begin) && name.ends_with(end) {
            found.push(directory.join(name));
        }
    }
    Ok(found)
}

/// The one file of root's that is called like another one but for a number, which the error names.
fn kept(ended: &Ended, directory: &Path, begin: &str, end: &str) -> Result<PathBuf> {
    let own = |path: &PathBuf| fs::symlink_metadata(path).is_ok_and(|data| data.uid() == 0);
    let found: Vec<PathBuf> = found(directory, begin, end)?.into_iter().filter(own).collect();
    let [kept] = found.as_slice() else { anyhow::bail!("{found:?} kept\n{}", ended.stderr) };
    let name = kept.file_name().context("a name")?.to_string_lossy();
    ensure!(ended.stderr.contains(&*name), "{name} is not in {}", ended.stderr);
    ensure!(fs::symlink_metadata(kept)?.mode() & 0o077 == 0, "{name} is open to others");
    Ok(kept.clone())
}

fn has_summary(ended: &Ended) -> Result<()> {
    ensure!(ended.stdout.contains("process 1"), "no summary\n{}{}", ended.stdout, ended.stderr);
    Ok(())
}

#[test]
fn a_name_that_is_taken_during_a_capture_costs_the_name_alone() -> Result<()> {
    needs!(Root, Bpf);
    for (mode, script) in [
        (0o1777, "mkdir m.quell m.html"),
        (0o1777, ": > m.quell; mkfifo m.html"),
        (0o777, "mkdir m.quell; : > m.quell/x; ln -s /etc/passwd m.html"),
    ] {
        let shared = Shared::new(mode)?;
        let cwd = Workdir::new()?;
        let outputs = [shared.path("m.quell"), shared.path("m.html")];
        let ended = capture_while(&shared, &cwd, &outputs, script)?.expect_code(2)?;
        has_summary(&ended)?;
        ensure!(ended.stderr.contains("uid 65534"), "{script}: {}", ended.stderr);
        recording::read(&kept(&ended, &shared.path(""), "m.", ".quell")?)?;
        assert!(fs::read_to_string(kept(&ended, &shared.path(""), "m.", ".html")?)?.contains("<html"));
        assert_eq!(fs::symlink_metadata(shared.path("m.html"))?.uid(), MALLORY);
        assert!(found(&shared.path(""), ".", ".tmp")?.is_empty());
        assert!(fs::read_dir(cwd.path(""))?.next().is_none());
    }
    Ok(())
}

#[test]
fn a_directory_that_is_closed_or_removed_during_a_capture_does_not_cost_the_capture() -> Result<()> {
    needs!(Root, Bpf);
    for (script, outputs) in
        [("chmod 0755 d", &["d/m.html", "d/m.quell"][..]), ("rmdir d", &["d/m.quell"]), ("rmdir d", &["d/m.html"])]
    {
        let shared = Shared::new(0o1777)?;
        shared.plant("mkdir -m 0777 d")?;
        let cwd = Workdir::new()?;
        let outputs: Vec<PathBuf> = outputs.iter().map(|name| shared.path(name)).collect();
        let ended = capture_while(&shared, &cwd, &outputs, script)?.expect_code(2)?;
        has_summary(&ended)?;
        recording::read(&kept(&ended, &cwd.path(""), "quell.", ".quell")?)?;
        // Where root works in the other user's directory itself, the recording is among the temporary files.
        let shared = Shared::new(0o1777)?;
        shared.plant("mkdir -m 0777 d")?;
        let theirs = Workdir::new()?;
        chown(theirs.path(""), Some(MALLORY), Some(MALLORY))?;
        let outputs = [shared.path("d/m.quell")];
        let ended = capture_while(&shared, &theirs, &outputs, script)?.expect_code(2)?;
        let line = ended.stderr.lines().find_map(|line| line.split_once("the recording was written to "));
        let path = PathBuf::from(line.context(ended.stderr.clone())?.1.trim());
        ensure!(path.starts_with("/tmp/") || path.starts_with("/var/tmp/"), "{}", path.display());
        let directory = path.parent().context("a directory")?;
        assert_eq!(fs::metadata(directory)?.mode() & 0o7777, 0o700);
        recording::read(&path)?;
        fs::remove_dir_all(directory)?;
        assert!(fs::read_dir(theirs.path(""))?.next().is_none());
    }
    Ok(())
}

#[test]
fn a_recording_that_others_have_moved_is_not_replaced() -> Result<()> {
    needs!(Root);
    let shared = Shared::new(0o777)?;
    recording::write(&small::recording(), &shared.path("monday.quell"))?;
    shared.plant("mv monday.quell tuesday.quell")?;
    let ended = shared.dir.run(["record", "-a", "-d", "1", "-o", "tuesday.quell"])?.expect_code(2)?;
    ensure!(ended.stderr.contains("another user may have moved there"), "{}", ended.stderr);
    ensure!(ended.stderr.contains("\nhint: "), "{}", ended.stderr);
    recording::read(&shared.path("tuesday.quell"))?;
    // In a directory of root's alone: what quell did not write is not removed.
    let own = Workdir::new()?;
    recording::write(&small::recording(), &own.path("x.quell"))?;
    fs::write(own.path("x.quell/notes.txt"), "mine")?;
    let ended = own.run(["record", "-a", "-d", "1", "-o", "x.quell"])?.expect_code(2)?;
    ensure!(
        ended.stderr.contains(
            "x.quell/notes.txt is in the recording x.quell, which would be overwritten, but does not belong to it"
        ),
        "{}",
        ended.stderr
    );
    assert_eq!(fs::read_to_string(own.path("x.quell/notes.txt"))?, "mine");
    recording::read(&own.path("x.quell"))?;
    Ok(())
}

#[test]
fn in_a_directory_of_another_user_a_recording_is_replaced_by_the_next_of_its_name_only() -> Result<()> {
    needs!(Root);
    for mode in [0o755, 0o777] {
        let shared = Shared::new(mode)?;
        chown(shared.path(""), Some(MALLORY), Some(MALLORY))?;
        let write = |name: &str| recording::write(&small::recording(), &shared.path(name));
        write("x.quell")?;
        // As `sudo quell record` does in its caller's own directory, again and again.
        write("x.quell")?;
        shared.plant("mv x.quell y.quell")?;
        assert!(write("y.quell").is_err(), "{mode:o}");
        shared.plant("mv y.quell x.quell")?;
        write("x.quell")?;
        recording::read(&shared.path("x.quell"))?;
    }
    Ok(())
}

#[test]
fn a_path_that_others_have_redirected_leads_to_no_file_of_roots() -> Result<()> {
    needs!(Root);
    let shared = Shared::new(0o777)?;
    let public = |path: PathBuf| -> Result<()> {
        fs::create_dir(&path)?;
        Ok(fs::set_permissions(&path, Permissions::from_mode(0o755))?)
    };
    public(shared.path("out"))?;
    public(shared.path("pub"))?;
    fs::write(shared.path("pub/m.folded"), "old")?;
    fs::set_permissions(shared.path("pub/m.folded"), Permissions::from_mode(0o644))?;
    recording::write(&small::recording(), &shared.path("pub/x.quell"))?;
    let private = Workdir::new()?;
    fs::write(private.path("index.folded"), "old")?;
    symlink(private.path(""), shared.path("conf"))?;
    shared.plant("mv out aside; mv pub out; mv conf lead")?;
    shared.refuses("out/m.folded", &["is a file of ", "another user may have moved there"])?;
    shared.refuses("lead/index.folded", &["lead is a symbolic link of ", "another user may have moved there"])?;
    let ended = shared.dir.run(["record", "-a", "-d", "1", "-o", "out/x.quell"])?.expect_code(2)?;
    ensure!(ended.stderr.contains("another user may have moved there"), "{}", ended.stderr);
    // Below a directory of the other user's it is the same.
    shared.plant("mkdir theirs")?;
    public(shared.path("theirs/roots"))?;
    symlink(private.path(""), shared.path("theirs/roots/link"))?;
    shared.refuses("theirs/roots/link/index.folded", &["another user may have moved there"])?;
    assert_eq!(fs::read_to_string(shared.path("out/m.folded"))?, "old");
    assert_eq!(fs::read_to_string(private.path("index.folded"))?, "old");
    // What is new is for its owner alone.
    shared.report("out/new.folded")?.expect_code(0)?;
    assert_eq!(fs::metadata(shared.path("out/new.folded"))?.mode() & 0o7777, 0o600);
    Ok(())
}
