//! Whatever ends an apply, the host is put back: on a host that is a tree, with the real binary.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result};
use quell::host::Root;
use quell::tune::Lock;
use quell::tune::journal::{Phase, Store};
use quell_tests::agent::{self, Ended, Running, Workdir};
use quell_tests::fake_host::{FakeHost, small_vm};
use quell_tests::{kernel, turns};

/// What changes files: killed before, at each of them.
const CHANGES: &str = "write,fsync,fdatasync,ftruncate,mkdir,rename,unlink";

/// A host, its files as they were, and a profile that changes some of them, one for each stage but the next boot.
struct Case {
    dir: Workdir,
    host: FakeHost,
    before: BTreeMap<String, Vec<u8>>,
    profile: PathBuf,
}

impl Case {
    fn new() -> Result<Self> {
        let (dir, host) = (Workdir::new()?, small_vm());
        let profile = dir.path("case.toml");
        let setting = |name: &str, value: &str| {
            format!("[[set]]\nknob = \"sysctl\"\non = \"{name}\"\nvalue = \"{value}\"\nreason = \"a test\"\n")
        };
        let settings = [setting("vm.stat_interval", "17"), setting("net.core.busy_poll", "55")];
        let integer =
            "[[set]]\nknob = \"memory.swappiness\"\nvalue = 9\nreason = \"a number: an empty file is none\"\n";
        fs::write(&profile, format!("summary = \"a test\"\n{}{integer}", settings.concat()))?;
        let before = host.snapshot();
        Ok(Self { dir, host, before, profile })
    }

    fn words<'a>(&'a self, verb: &[&'a str]) -> Vec<&'a str> {
        let root = self.host.path().to_str().expect("a path of text");
        [&["tune", "--root", root][..], verb].concat()
    }

    fn apply(&self) -> [&str; 3] {
        ["apply", self.profile.to_str().expect("a path of text"), "--yes"]
    }

    fn quell(&self, verb: &[&str]) -> Result<Ended> {
        self.dir.run(self.words(verb))
    }

    /// Under strace, which meddles with one system call; `None` without strace.
    fn meddled(&self, verb: &[&str], inject: &str) -> Result<Ended> {
        let mut command = Command::new("strace");
        command.args(["-qq", "-o", "/dev/null", "-e"]).arg(format!("inject={inject}"));
        command.arg(agent::binary()?).args(self.words(verb));
        Running::spawn(&mut command)?.wait()
    }

    fn is_as_before(&self) -> bool {
        self.host.snapshot() == self.before
    }

    fn phases(&self) -> Result<Vec<Phase>> {
        let store = Store::of(&Root::at(self.host.path())?);
        Ok(store.transactions()?.into_iter().map(|transaction| transaction.phase).collect())
    }
}

/// Whether strace is here and may trace; else says that a test is skipped.
fn can_meddle(test: &str) -> bool {
    let traced = Command::new("strace").args(["-qq", "-o", "/dev/null", "true"]).status();
    let can = traced.is_ok_and(|status| status.success());
    if !can {
        kernel::skipped(test, "needs strace, and leave to trace");
    }
    can
}

#[test]
fn killed_at_any_change_an_apply_is_recovered_to_the_byte() -> Result<()> {
    if !can_meddle("killed_at_any_change_an_apply_is_recovered_to_the_byte") {
        return Ok(());
    }
    let mut recovered = 0;
    for call in 1.. {
        let case = Case::new()?;
        let ended = case.meddled(&case.apply(), &format!("{CHANGES}:signal=KILL:when={call}"))?;
        if ended.code == Some(0) {
            assert!(call > 10, "only {call} calls change anything");
            break;
        }
        // Killed again at a call of the recovery, then recovered in peace.
        let _ = case.meddled(&["recover"], &format!("{CHANGES}:signal=KILL:when={}", call % 11 + 1))?;
        let at = || format!("killed at call {call}: {ended:?}");
        case.quell(&["recover"])?.expect_code(0).with_context(at)?;
        if case.phases()?.iter().any(|phase| matches!(phase, Phase::Complete { .. })) {
            // Killed after it was complete, while it said so.
            case.quell(&["rollback"])?.expect_code(0).with_context(at)?;
        } else {
            recovered += 1;
        }
        assert!(case.is_as_before(), "{}", at());
        assert!(case.phases()?.iter().all(|phase| *phase == Phase::Closed), "{}", at());
    }
    assert!(recovered > 5, "only {recovered} were cut short");
    Ok(())
}

#[test]
fn a_disk_that_is_full_from_any_write_on_undoes_an_apply() -> Result<()> {
    if !can_meddle("a_disk_that_is_full_from_any_write_on_undoes_an_apply") {
        return Ok(());
    }
    for call in 1.. {
        let case = Case::new()?;
        // One write fails, the next succeed: a disk that fills up, and a log that is rotated.
        let ended = case.meddled(&case.apply(), &format!("write:error=ENOSPC:when={call}"))?;
        if ended.code == Some(0) && case.phases()?.iter().any(|phase| matches!(phase, Phase::Complete { .. })) {
            assert!(call > 5, "only {call} writes");
            break;
        }
        case.quell(&["recover"])?.expect_code(0)?;
        if case.phases()?.iter().any(|phase| matches!(phase, Phase::Complete { .. })) {
            case.quell(&["rollback"])?.expect_code(0)?;
        }
        assert!(case.is_as_before(), "write {call} failed: {ended:?}");
    }
    Ok(())
}

/// Every file below a folder, with its bytes.
fn journal(host: &FakeHost) -> Result<(PathBuf, Vec<u8>)> {
    let folder = host.path().join("var/lib/quell/tune");
    let entry = fs::read_dir(&folder)?.next().context("a journal")??;
    Ok((entry.path(), fs::read(entry.path())?))
}

#[test]
fn a_journal_cut_at_any_byte_still_puts_everything_back() -> Result<()> {
    let case = Case::new()?;
    case.quell(&case.apply())?.expect_code(0)?;
    let after = case.host.snapshot();
    let (path, whole) = journal(&case.host)?;
    let text = String::from_utf8(whole.clone())?;
    // Nothing is changed before its intent is on disk: up to there the host is as before.
    let intent = text.find("\"record\":\"intent\"").context("an intent")?;
    let intended = intent + text[intent..].find('\n').context("its end")? + 1;
    for length in 0..=whole.len() {
        let changed = length >= intended;
        for (name, bytes) in if changed { &after } else { &case.before } {
            fs::write(case.host.path().join(name), bytes)?;
        }
        fs::write(&path, &whole[..length])?;
        let root = Root::at(case.host.path())?;
        let (host, store) = (quell::host::Host::read(root.clone())?, Store::of(&root));
        quell::tune::recover(&host, &store, 0, quell::tune::Unless::Changed)?;
        quell::tune::rollback(&host, &store, None, quell::tune::Unless::Changed)?;
        assert!(case.is_as_before(), "cut at byte {length} of {}", whole.len());
    }
    Ok(())
}

#[test]
fn a_journal_that_cannot_be_written_means_that_nothing_is_changed() -> Result<()> {
    let case = Case::new()?;
    // A file where the folder would be.
    case.host.put("/var/lib/quell/tune", "");
    let ended = case.quell(&case.apply())?.expect_code(2)?;
    assert!(ended.stderr.contains("var/lib/quell/tune"), "{}", ended.stderr);
    assert!(case.is_as_before());
    Ok(())
}

#[test]
fn of_two_applies_one_wins_and_the_other_says_who() -> Result<()> {
    let case = Case::new()?;
    let lock = Lock::take(&Root::at(case.host.path())?, "a test")?;
    let ended = case.quell(&case.apply())?.expect_code(2)?;
    assert!(ended.stderr.contains(&format!("process {}, a test", std::process::id())), "{}", ended.stderr);
    assert!(case.is_as_before());
    drop(lock);
    case.quell(&case.apply())?.expect_code(0)?;
    let again = case.quell(&case.apply())?.expect_code(0)?;
    assert!(again.stdout.contains("0 to change"), "{}", again.stdout);
    assert_eq!(case.phases()?.len(), 1, "a second apply has nothing to do");
    Ok(())
}

#[test]
fn what_nobody_confirms_in_time_is_undone_though_its_process_has_ended() -> Result<()> {
    let case = Case::new()?;
    let apply = [&case.apply()[..], &["--confirm-within", "1s"]].concat();
    case.quell(&apply)?.expect_code(0)?;
    turns::until("the guard undoes it", || Ok((case.phases()? == [Phase::Closed]).then_some(())))?;
    assert!(case.is_as_before());
    let long = [&case.apply()[..], &["--confirm-within", "1h"]].concat();
    case.quell(&long)?.expect_code(0)?;
    case.quell(&["confirm"])?.expect_code(0)?;
    assert_eq!(case.phases()?.last(), Some(&Phase::Complete { confirm_by: None }));
    Ok(())
}

#[test]
fn a_value_that_somebody_changed_since_is_left_unless_forced() -> Result<()> {
    let case = Case::new()?;
    case.quell(&case.apply())?.expect_code(0)?;
    case.host.put("/proc/sys/vm/swappiness", "33");
    let verified = case.quell(&["verify"])?.expect_code(1)?;
    assert!(verified.stdout.contains("somebody has set it to 33 since"), "{}", verified.stdout);
    let rolled = case.quell(&["rollback"])?.expect_code(1)?;
    assert!(rolled.stdout.contains("memory.swappiness"), "{}", rolled.stdout);
    assert_eq!(case.host.read("/proc/sys/vm/swappiness"), "33");
    case.quell(&["rollback", "--force"])?.expect_code(0)?;
    assert_eq!(case.host.read("/proc/sys/vm/swappiness").trim(), "60");
    Ok(())
}
