//! What somebody else sets is theirs.

use std::fs;
use std::io::Read as _;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};
use quell::tune::transaction::journal::Phase;
use quell_tests::needs;
use quell_tests::needs::STRACE;
use quell_tests::{agent, turns};

use crate::case::{Case, FIRST, SECOND, THIRD, amend, let_go};

#[test]
fn a_value_that_somebody_changed_since_is_left_unless_forced() -> Result<()> {
    let case = Case::new()?;
    case.quell(&case.apply())?.expect_code(0)?;
    case.host.put("/proc/sys/vm/swappiness", "33");
    let verified = case.quell(&["verify"])?.expect_code(1)?;
    assert!(verified.stdout.contains("modified externally to 33"), "{}", verified.stdout);
    let rolled = case.quell(&["rollback"])?.expect_code(1)?;
    assert!(rolled.stdout.contains("memory.swappiness"), "{}", rolled.stdout);
    assert_eq!(case.host.read("/proc/sys/vm/swappiness"), "33");
    // It stays theirs, and is not forgotten.
    let again = case.quell(&["rollback"])?.expect_code(1)?;
    assert!(again.stdout.contains("rolled back except 1 value"), "{}", again.stdout);
    assert_eq!(case.host.read("/proc/sys/vm/swappiness"), "33");
    let status = case.quell(&["status"])?.expect_code(1)?;
    assert!(status.stdout.contains("not restored: memory.swappiness, originally 60"), "{}", status.stdout);
    let history = case.quell(&["history"])?.expect_code(0)?;
    assert!(history.stdout.contains("rolled back except 1 value"), "{}", history.stdout);
    case.quell(&["rollback", "--force"])?.expect_code(0)?;
    assert_eq!(case.host.read("/proc/sys/vm/swappiness").trim(), "60");
    Ok(())
}

#[test]
fn what_is_set_after_an_undoing_was_killed_is_left() -> Result<()> {
    needs!(STRACE);
    let case = Case::new()?;
    case.quell(&case.apply())?.expect_code(0)?;
    // In reverse: the last to be put back is the first that was set.
    let cut = case.meddled_at(&["rollback"], "write:signal=KILL:when=1", &[FIRST])?;
    assert_ne!(cut.code, Some(0));
    assert_eq!(case.phases()?, [Phase::RollingBack]);
    case.host.put(THIRD, "33");
    case.quell(&["recover"])?.expect_code(1)?;
    assert_eq!(case.host.read(THIRD), "33");
    assert_eq!(case.host.read(SECOND).trim(), "0");
    case.quell(&["rollback", "--force"])?.expect_code(0)?;
    assert!(case.is_as_before());
    Ok(())
}

#[test]
fn what_is_set_after_an_apply_was_killed_is_left_and_the_step_that_was_cut_is_put_back() -> Result<()> {
    needs!(STRACE);
    // Set before; and not yet its turn.
    for theirs in [FIRST, THIRD] {
        let case = Case::new()?;
        let cut = case.meddled_at(&case.apply(), "write:signal=KILL:when=1", &[SECOND])?;
        assert_ne!(cut.code, Some(0));
        case.host.put(theirs, "33");
        // Half of a number.
        case.host.put(SECOND, "5");
        let recovered = case.quell(&["recover"])?.expect_code(1)?;
        assert!(recovered.stdout.contains("modified externally to 33"), "{}", recovered.stdout);
        assert_eq!(case.host.read(theirs), "33");
        assert_eq!(case.host.read(SECOND).trim(), "0");
        case.quell(&["rollback", "--force"])?.expect_code(0)?;
        assert!(case.is_as_before());
    }
    Ok(())
}

/// Two transactions, and what both have set is set otherwise by somebody.
fn edited_on_top() -> Result<Case> {
    let case = Case::new()?;
    case.quell(&case.apply())?.expect_code(0)?;
    let other = case.profile("other", "memory.swappiness", 5)?;
    case.quell(&["apply", &other, "--yes"])?.expect_code(0)?;
    case.host.put(THIRD, "33");
    Ok(case)
}

#[test]
fn what_was_left_does_not_stand_before_what_is_in_force() -> Result<()> {
    let case = edited_on_top()?;
    case.quell(&["rollback"])?.expect_code(1)?;
    let next = case.quell(&["rollback"])?.expect_code(1)?;
    assert!(next.stdout.contains("transaction 0001 rolled back except 1 value: 2 values restored"), "{}", next.stdout);
    assert_eq!(case.host.read(SECOND).trim(), "0");
    case.quell(&["rollback", "--to", "1", "--force"])?.expect_code(0)?;
    assert!(case.is_as_before());
    Ok(())
}

#[test]
fn what_a_newer_one_left_goes_with_the_older_one_that_put_it_back() -> Result<()> {
    let case = edited_on_top()?;
    let rolled = case.quell(&["rollback"])?.expect_code(1)?;
    assert!(rolled.stdout.contains(&case.suggested("rollback --to 2 --force`")), "{}", rolled.stdout);
    // The first, which made what the second found.
    case.quell(&["rollback", "--force"])?.expect_code(0)?;
    assert!(case.is_as_before());
    let status = case.quell(&["status"])?.expect_code(0)?;
    assert!(status.stdout.contains("no transaction is active"), "{}", status.stdout);
    case.quell(&["rollback", "--force"])?.expect_code(0)?;
    assert!(case.is_as_before());
    Ok(())
}

#[test]
fn what_is_said_to_put_it_back_all_the_same_does() -> Result<()> {
    let case = edited_on_top()?;
    case.quell(&["rollback"])?.expect_code(1)?;
    case.quell(&["rollback", "--to", "2", "--force"])?.expect_code(0)?;
    assert_eq!(case.host.read(THIRD).trim(), "9");
    assert!(matches!(case.phases()?[..], [Phase::Complete { .. }, Phase::RolledBack]));
    case.quell(&["rollback"])?.expect_code(0)?;
    assert!(case.is_as_before());
    Ok(())
}

#[test]
fn what_is_left_is_named_with_what_it_was_before_the_first_step() -> Result<()> {
    let case = Case::new()?;
    case.quell(&case.apply())?.expect_code(0)?;
    // An earlier step had made it something else by the time of its own.
    amend(&case.journal(1), "[2,{\"integer\":60}]", "[2,{\"integer\":50}]")?;
    case.host.put(THIRD, "33");
    let rolled = case.quell(&["rollback"])?.expect_code(1)?;
    assert!(rolled.stdout.contains("memory.swappiness on host, originally 60"), "{}", rolled.stdout);
    let status = case.quell(&["status"])?.expect_code(1)?;
    assert!(status.stdout.contains("not restored: memory.swappiness, originally 60"), "{}", status.stdout);
    Ok(())
}

#[test]
fn what_a_step_that_was_cut_had_moved_is_nobody_elses() -> Result<()> {
    needs!(STRACE);
    let case = Case::new()?;
    // One value under two names.
    fs::remove_file(case.at(SECOND))?;
    std::os::unix::fs::symlink("../../vm/stat_interval", case.at(SECOND))?;
    let before = case.host.snapshot();
    let cut = case.meddled_at(&case.apply(), "write:signal=KILL:when=2", &[FIRST])?;
    assert_ne!(cut.code, Some(0));
    // It was written, and nothing looked at the first again.
    case.host.put(SECOND, "55");
    let recovered = case.quell(&["recover"])?.expect_code(0)?;
    assert!(recovered.stdout.contains("transaction 0001 rolled back: "), "{}", recovered.stdout);
    assert_eq!(case.host.snapshot(), before);
    case.quell(&["status"])?.expect_code(0)?;
    Ok(())
}

#[test]
fn a_value_that_was_set_under_its_other_name_is_nobody_elses() -> Result<()> {
    let case = Case::new()?;
    case.quell(&case.apply())?.expect_code(0)?;
    let other = case.dir.path("other.toml");
    let setting = "[[set]]\nknob = \"sysctl\"\non = \"vm.swappiness\"\nvalue = \"5\"\nreason = \"another\"\n";
    fs::write(&other, format!("summary = \"a test\"\n{setting}"))?;
    case.quell(&["apply", other.to_str().expect("a path of text"), "--yes"])?.expect_code(0)?;
    let verified = case.quell(&["verify"])?.expect_code(0)?;
    assert!(verified.stdout.contains("3 of 3 values match"), "{}", verified.stdout);
    let profile = case.profile("more", "memory.stat_interval", 7)?;
    let more = case.quell(&["apply", &profile, "--yes"])?.expect_code(0)?;
    for said in ["also active: 1 value of case, transaction 0001", "also active: 1 value of other, transaction 0002"] {
        assert!(more.stdout.contains(said), "not `{said}`: {}", more.stdout);
    }
    Ok(())
}

#[test]
fn what_somebody_changes_while_an_apply_begins_is_told() -> Result<()> {
    needs!(STRACE);
    let case = Case::new()?;
    let journal = case.journal(1);
    let mut command = Command::new("strace");
    command.args(["-qq", "-o", "/dev/null", "-e", "inject=fdatasync:signal=STOP:when=1", "-P"]).arg(&journal);
    command.arg(agent::binary()?).args(case.words(&case.apply())).stdout(Stdio::piped());
    let mut child = command.spawn()?;
    let has_begun = || Ok(fs::read_to_string(&journal).is_ok_and(|text| text.contains('\n')).then_some(()));
    turns::until("it has begun, and goes no further", has_begun)?;
    case.host.put(THIRD, "33");
    let ended = let_go(&mut child)?;
    let mut said = String::new();
    child.stdout.take().context("stdout")?.read_to_string(&mut said)?;
    assert!(ended.success(), "{said}");
    assert!(said.contains("memory.swappiness on host from 60 to 33"), "{said}");
    case.quell(&["rollback"])?.expect_code(0)?;
    assert!(case.is_as_before());
    Ok(())
}

#[test]
fn what_was_as_wanted_already_is_verified_with_the_rest_and_never_undone() -> Result<()> {
    let case = Case::new()?;
    case.host.put(SECOND, "55");
    case.quell(&case.apply())?.expect_code(0)?;
    let verified = case.quell(&["verify"])?.expect_code(0)?;
    assert!(verified.stdout.contains("3 of 3 values match"), "{}", verified.stdout);
    case.host.put(SECOND, "1");
    let drifted = case.quell(&["verify"])?.expect_code(1)?;
    assert!(drifted.stdout.contains("sysctl on net.core.busy_poll: modified externally to 1"), "{}", drifted.stdout);
    case.quell(&["rollback"])?.expect_code(0)?;
    assert_eq!(case.host.read(SECOND).trim(), "1");
    Ok(())
}

#[test]
fn what_several_transactions_left_of_a_value_ends_at_what_it_was_before_the_first() -> Result<()> {
    let case = Case::new()?;
    let before = case.host.read(THIRD);
    for (name, value) in [("a", 10), ("b", 20), ("c", 30)] {
        let profile = case.profile(name, "memory.swappiness", value)?;
        case.quell(&["apply", &profile, "--yes"])?.expect_code(0)?;
    }
    case.host.put(THIRD, "5");
    for _ in 0..3 {
        case.quell(&["rollback"])?.expect_code(1)?;
    }
    let status = case.quell(&["status"])?.expect_code(1)?;
    assert_eq!(status.stdout.matches("memory.swappiness").count(), 1, "{}", status.stdout);
    assert!(status.stdout.contains(&case.suggested("rollback --to 1 --force`")), "{}", status.stdout);
    case.quell(&["rollback", "--force"])?.expect_code(0)?;
    assert_eq!(case.host.read(THIRD).trim(), before.trim());
    let status = case.quell(&["status"])?.expect_code(0)?;
    assert!(status.stdout.contains("no transaction is active"), "{}", status.stdout);
    Ok(())
}
