//! What `quell tune` keeps is for root alone: another user can neither take its lock, nor plant or read what it goes by, nor have it
//! write outside of a tree.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use quell::host::Root;
use quell::tune::transaction::journal::{Phase, Store};
use quell_tests::agent::{self, Ended, Running, Workdir};
use quell_tests::fake_host::{FakeHost, small_vm};
use quell_tests::shared::{Attack, MALLORY};
use quell_tests::{background, executable, needs, turns};

const SWAPPINESS: &str = "/proc/sys/vm/swappiness";

/// A host that is a tree which everybody can enter, and a profile that changes a value of it.
struct Case {
    dir: Workdir,
    host: FakeHost,
}

impl Case {
    fn new() -> Result<Self> {
        let (dir, host) = (Workdir::new()?, small_vm());
        fs::set_permissions(host.path(), Permissions::from_mode(0o755))?;
        fs::set_permissions(dir.path(""), Permissions::from_mode(0o755))?;
        let setting = "[[set]]\nknob = \"memory.swappiness\"\nvalue = 9\nreason = \"a test\"\n";
        fs::write(dir.path("case.toml"), format!("summary = \"a test\"\n{setting}"))?;
        Ok(Self { dir, host })
    }

    fn root(&self) -> String {
        self.host.path().display().to_string()
    }

    /// `quell tune`, by root. One that hangs is killed, and fails the test by its exit code.
    fn quell(&self, verb: &[&str]) -> Result<Ended> {
        let mut command = Command::new("timeout");
        command.args(["--signal=KILL", "60"]).arg(agent::binary()?).args(["tune", "--root", &self.root()]).args(verb);
        command.current_dir(self.dir.path("")).stdin(Stdio::null());
        Running::spawn(&mut command)?.wait()
    }

    fn apply(&self, more: &[&str]) -> Result<Ended> {
        self.quell(&[&["apply", "./case.toml", "--yes"], more].concat())
    }

    /// A script, as the other user, in the tree.
    fn mallory(&self, script: &str) -> Command {
        let mut command = Command::new("sh");
        command.uid(MALLORY).gid(MALLORY).args(["-c", script]).current_dir(self.host.path()).stdin(Stdio::null());
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    fn mode(&self, path: &str) -> Result<u32> {
        Ok(fs::symlink_metadata(self.host.at(path)).with_context(|| path.to_owned())?.mode() & 0o7777)
    }

    fn phases(&self) -> Result<Vec<Phase>> {
        let store = Store::of(&Root::at(self.host.path())?);
        Ok(store.transactions()?.readable.into_iter().map(|transaction| transaction.phase).collect())
    }

    /// A directory that the other user can write to, where quell would have its own.
    fn hand_over(&self, path: &str, mode: u32) -> Result<()> {
        let path = self.host.at(path);
        fs::create_dir_all(&path)?;
        fs::set_permissions(&path, Permissions::from_mode(mode))?;
        Ok(chown(&path, Some(MALLORY), Some(MALLORY))?)
    }
}

impl Drop for Case {
    fn drop(&mut self) {
        background::end(&self.host);
    }
}

#[test]
fn everything_that_is_kept_is_for_its_owner_alone_whatever_the_umask() -> Result<()> {
    needs!(Root);
    let case = Case::new()?;
    let line = format!(
        "umask 0; exec '{}' tune --root '{}' apply ./case.toml --yes --confirm-within 1h",
        agent::binary()?.display(),
        case.root()
    );
    let mut command = Command::new("sh");
    command.args(["-c", &line]).current_dir(case.dir.path(""));
    Running::spawn(&mut command)?.wait()?.expect_code(0)?;
    for directory in ["/run/quell", "/var/lib/quell", "/var/lib/quell/tune"] {
        assert_eq!(case.mode(directory)?, 0o700, "{directory}");
        for entry in fs::read_dir(case.host.at(directory))? {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                assert_eq!(entry.metadata()?.mode() & 0o7777, 0o600, "{}", entry.path().display());
            }
        }
    }
    assert!(case.host.at("/run/quell/tune.lock").exists() && case.host.at("/var/lib/quell/tune/0001.journal").exists());
    for attack in ["cat run/quell/tune.lock", "exec 9<run/quell/tune.lock && flock 9", "ls var/lib/quell/tune"] {
        assert!(!case.mallory(attack).status()?.success(), "{attack}");
    }
    Ok(())
}

#[test]
fn what_nobody_confirms_is_undone_though_a_user_holds_every_lock_that_can_be_had() -> Result<()> {
    needs!(Root, Program("flock"));
    let case = Case::new()?;
    // As an earlier version has left it.
    fs::create_dir_all(case.host.at("/run/quell"))?;
    fs::set_permissions(case.host.at("/run/quell"), Permissions::from_mode(0o755))?;
    fs::write(case.host.at("/run/quell/tune.lock"), "process 1, earlier\n")?;
    fs::set_permissions(case.host.at("/run/quell/tune.lock"), Permissions::from_mode(0o644))?;
    // And again and again, whatever there is to be opened.
    let script = "exec 8<run/quell/tune.lock && flock 8 || exit 1; echo held >&2
                  while :; do for f in run/quell run/quell/* var/lib/quell var/lib/quell/tune/*; do
                    ( exec 9<$f && flock -n 9 && sleep 600 ) 2>/dev/null &
                  done; sleep 0.05; done";
    let mut command = case.mallory(script);
    let held = case.dir.path("held");
    command.stderr(fs::File::create(&held)?);
    let attack = Attack::start(command)?;
    turns::until("the user holds the lock", || Ok(fs::read_to_string(&held)?.contains("held").then_some(())))?;
    let before = case.host.read(SWAPPINESS);
    case.apply(&["--confirm-within", "1s"])?.expect_code(0)?;
    turns::until("the guard undoes it", || Ok((case.phases()? == [Phase::RolledBack]).then_some(())))?;
    assert_eq!(case.host.read(SWAPPINESS).trim(), before.trim());
    drop(attack);
    Ok(())
}

#[test]
fn a_directory_of_another_user_is_refused_by_name() -> Result<()> {
    needs!(Root);
    for directory in ["/run/quell", "/var/lib/quell", "/var/lib/quell/tune"] {
        for mode in [0o700, 0o777] {
            let case = Case::new()?;
            case.hand_over(directory, mode)?;
            let before = case.host.read(SWAPPINESS);
            let ended = case.apply(&[])?.expect_code(2)?;
            for word in ["quell belongs to ", "uid 65534", "\nhint: "] {
                let tune = word.replace("quell belongs", "tune belongs");
                ensure!(ended.stderr.contains(word) || ended.stderr.contains(&tune), "no `{word}`: {}", ended.stderr);
            }
            assert_eq!(case.host.read(SWAPPINESS), before);
        }
    }
    Ok(())
}

#[test]
fn what_another_user_has_planted_is_not_taken_for_quells_own() -> Result<()> {
    needs!(Root);
    for plant in
        ["mkfifo run/quell/tune.lock", "ln -s ../../victim run/quell/tune.lock", "echo 1 > run/quell/tune.lock"]
    {
        let case = Case::new()?;
        case.host.put("/victim", "as it was");
        fs::create_dir_all(case.host.at("/run/quell"))?;
        fs::set_permissions(case.host.at("/run/quell"), Permissions::from_mode(0o777))?;
        ensure!(case.mallory(plant).status()?.success(), "the other user cannot do `{plant}`");
        let before = case.host.read(SWAPPINESS);
        let ended = case.apply(&[])?.expect_code(2)?;
        assert!(ended.stderr.contains("tune.lock"), "{plant}: {}", ended.stderr);
        assert_eq!(case.host.read(SWAPPINESS), before);
        assert_eq!(case.host.read("/victim"), "as it was");
        // Who only looks is not held up either.
        case.quell(&["status"])?.expect_code(0)?;
    }
    Ok(())
}

#[test]
fn who_is_not_root_is_told_that_it_takes_root() -> Result<()> {
    needs!(Root);
    let case = Case::new()?;
    case.apply(&[])?.expect_code(0)?;
    // The build may lie where nobody else may look.
    let binary = case.dir.path("quell");
    executable::copy(agent::binary()?, &binary)?;
    let run = |verb: &[&str]| -> Result<Ended> {
        let mut command = Command::new(&binary);
        command.uid(MALLORY).gid(MALLORY).args(["tune", "--root", &case.root()]).args(verb);
        command.current_dir(case.dir.path("")).stdin(Stdio::null());
        Running::spawn(&mut command)?.wait()
    };
    for verb in [&["status"][..], &["history"], &["verify"]] {
        let ended = run(verb)?.expect_code(2)?;
        assert!(ended.stderr.contains("Permission denied") && ended.stderr.contains("\nhint: "), "{}", ended.stderr);
        assert!(ended.stderr.contains("root alone"), "{}", ended.stderr);
    }
    let ended = run(&["apply", "./case.toml", "--yes"])?.expect_code(2)?;
    assert!(ended.stderr.contains("Permission denied") && ended.stderr.contains("root"), "{}", ended.stderr);
    // A plan is a look at the host, and needs nothing of that.
    run(&["plan", "./case.toml"])?;
    Ok(())
}

/// The third attack: a tree that is not the host, with links into the one that is.
#[test]
fn applying_to_a_tree_writes_nothing_outside_of_it() -> Result<()> {
    needs!(Root);
    let case = Case::new()?;
    let outside = Workdir::new()?;
    fs::write(outside.path("value"), "60\n")?;
    fs::create_dir(outside.path("vm"))?;
    fs::write(outside.path("vm/swappiness"), "60\n")?;
    let depth = "../".repeat(40);
    let links: [(&str, std::path::PathBuf); 4] = [
        (SWAPPINESS, outside.path("value")),
        (SWAPPINESS, Path::new(&depth).join(outside.path("value").strip_prefix("/")?)),
        ("/proc/sys/vm", outside.path("vm")),
        ("/var", outside.path("")),
    ];
    for (link, target) in links {
        let case = Case::new()?;
        let place = case.host.at(link);
        match fs::symlink_metadata(&place) {
            Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(&place)?,
            Ok(_) => fs::remove_file(&place)?,
            Err(_) => {}
        }
        symlink(&target, &place)?;
        // Refused, or without this setting.
        let planned = case.quell(&["plan", "./case.toml"])?;
        let applied = case.apply(&[])?;
        assert!(planned.code.is_some() && applied.code.is_some(), "{link}: {planned:?} {applied:?}");
        assert_eq!(fs::read_to_string(outside.path("value"))?, "60\n", "{link}");
        assert_eq!(fs::read_to_string(outside.path("vm/swappiness"))?, "60\n", "{link}");
        assert!(!outside.path("lib").exists(), "{link}");
    }
    drop(case);
    Ok(())
}

#[test]
fn a_trees_own_profiles_are_read_inside_of_it() -> Result<()> {
    needs!(Root);
    let case = Case::new()?;
    let secret = case.dir.path("secret.toml");
    fs::write(&secret, "root:$6$secret\n")?;
    fs::create_dir_all(case.host.at("/etc/quell/profiles"))?;
    symlink(&secret, case.host.at("/etc/quell/profiles/own.toml"))?;
    case.host.put("/etc/quell/profiles/other.toml", format!("summary = \"x\"\ninclude = [\"{}\"]\n", secret.display()));
    for name in ["own", "other"] {
        let ended = case.quell(&["show", name])?.expect_code(2)?;
        assert!(!ended.stderr.contains("secret\n") && !ended.stderr.contains("$6$"), "{}", ended.stderr);
    }
    case.host.put("/etc/quell/profiles/real.toml", "summary = \"of the tree\"\n");
    symlink("/etc/quell/profiles/real.toml", case.host.at("/etc/quell/profiles/linked.toml"))?;
    let shown = case.quell(&["show", "linked"])?.expect_code(0)?;
    assert!(shown.stdout.contains("of the tree"), "{}", shown.stdout);
    Ok(())
}
