//! What somebody else sets is theirs.

use std::fs;

use anyhow::Result;
use quell::tune::journal::Phase;

use crate::case::{Case, FIRST, SECOND, THIRD, amend, can_meddle};

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
    // It stays theirs, and is not forgotten.
    let again = case.quell(&["rollback"])?.expect_code(1)?;
    assert!(again.stdout.contains("undone but for 1 value"), "{}", again.stdout);
    assert_eq!(case.host.read("/proc/sys/vm/swappiness"), "33");
    let status = case.quell(&["status"])?.expect_code(1)?;
    assert!(status.stdout.contains("left when it was undone: memory.swappiness was 60"), "{}", status.stdout);
    let history = case.quell(&["history"])?.expect_code(0)?;
    assert!(history.stdout.contains("undone but for 1 value"), "{}", history.stdout);
    case.quell(&["rollback", "--force"])?.expect_code(0)?;
    assert_eq!(case.host.read("/proc/sys/vm/swappiness").trim(), "60");
    Ok(())
}

#[test]
fn what_is_set_after_an_undoing_was_killed_is_left() -> Result<()> {
    if !can_meddle("what_is_set_after_an_undoing_was_killed_is_left") {
        return Ok(());
    }
    let case = Case::new()?;
    case.quell(&case.apply())?.expect_code(0)?;
    // In reverse: the last to be put back is the first that was set.
    let cut = case.meddled_at(&["rollback"], "write:signal=KILL:when=1", &[FIRST])?;
    assert_ne!(cut.code, Some(0));
    assert_eq!(case.phases()?, [Phase::Undoing]);
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
    if !can_meddle("what_is_set_after_an_apply_was_killed_is_left_and_the_step_that_was_cut_is_put_back") {
        return Ok(());
    }
    // Set before; and not yet its turn.
    for theirs in [FIRST, THIRD] {
        let case = Case::new()?;
        let cut = case.meddled_at(&case.apply(), "write:signal=KILL:when=1", &[SECOND])?;
        assert_ne!(cut.code, Some(0));
        case.host.put(theirs, "33");
        // Half of a number.
        case.host.put(SECOND, "5");
        let recovered = case.quell(&["recover"])?.expect_code(1)?;
        assert!(recovered.stdout.contains("somebody has set it to 33"), "{}", recovered.stdout);
        assert_eq!(case.host.read(theirs), "33");
        assert_eq!(case.host.read(SECOND).trim(), "0");
        case.quell(&["rollback", "--force"])?.expect_code(0)?;
        assert!(case.is_as_before());
    }
    Ok(())
}

#[test]
fn what_was_left_does_not_stand_before_what_is_in_force() -> Result<()> {
    let case = Case::new()?;
    case.quell(&case.apply())?.expect_code(0)?;
    let other = case.profile("other", "memory.swappiness", 5)?;
    case.quell(&["apply", &other, "--yes"])?.expect_code(0)?;
    case.host.put(THIRD, "33");
    case.quell(&["rollback"])?.expect_code(1)?;
    let next = case.quell(&["rollback"])?.expect_code(1)?;
    assert!(next.stdout.contains("transaction 0001 undone but for 1 value: 2 values put back"), "{}", next.stdout);
    assert_eq!(case.host.read(SECOND).trim(), "0");
    case.quell(&["rollback", "--to", "1", "--force"])?.expect_code(0)?;
    assert!(case.is_as_before());
    Ok(())
}

#[test]
fn what_a_newer_one_left_goes_with_the_older_one_that_put_it_back() -> Result<()> {
    let case = Case::new()?;
    case.quell(&case.apply())?.expect_code(0)?;
    let other = case.profile("other", "memory.swappiness", 5)?;
    case.quell(&["apply", &other, "--yes"])?.expect_code(0)?;
    case.host.put(THIRD, "33");
    let rolled = case.quell(&["rollback"])?.expect_code(1)?;
    assert!(rolled.stdout.contains("`quell tune rollback --to 2 --force`"), "{}", rolled.stdout);
    // The first, which made what the second found.
    case.quell(&["rollback", "--force"])?.expect_code(0)?;
    assert!(case.is_as_before());
    let status = case.quell(&["status"])?.expect_code(0)?;
    assert!(status.stdout.contains("nothing is in force"), "{}", status.stdout);
    case.quell(&["rollback", "--force"])?.expect_code(0)?;
    assert!(case.is_as_before());
    Ok(())
}

#[test]
fn what_is_said_to_put_it_back_all_the_same_does() -> Result<()> {
    let case = Case::new()?;
    case.quell(&case.apply())?.expect_code(0)?;
    let other = case.profile("other", "memory.swappiness", 5)?;
    case.quell(&["apply", &other, "--yes"])?.expect_code(0)?;
    case.host.put(THIRD, "33");
    case.quell(&["rollback"])?.expect_code(1)?;
    case.quell(&["rollback", "--to", "2", "--force"])?.expect_code(0)?;
    assert_eq!(case.host.read(THIRD).trim(), "9");
    assert!(matches!(case.phases()?[..], [Phase::Complete { .. }, Phase::Closed]));
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
    assert!(rolled.stdout.contains("memory.swappiness on host, which was 60"), "{}", rolled.stdout);
    let status = case.quell(&["status"])?.expect_code(1)?;
    assert!(status.stdout.contains("left when it was undone: memory.swappiness was 60"), "{}", status.stdout);
    Ok(())
}

#[test]
fn what_a_step_that_was_cut_had_moved_is_nobody_elses() -> Result<()> {
    if !can_meddle("what_a_step_that_was_cut_had_moved_is_nobody_elses") {
        return Ok(());
    }
    let case = Case::new()?;
    // One value under two names.
    fs::remove_file(case.at(SECOND))?;
    fs::hard_link(case.at(FIRST), case.at(SECOND))?;
    let before = case.host.snapshot();
    let cut = case.meddled_at(&case.apply(), "write:signal=KILL:when=1", &[SECOND])?;
    assert_ne!(cut.code, Some(0));
    // It was written, and nothing looked at the first again.
    case.host.put(SECOND, "55");
    let recovered = case.quell(&["recover"])?.expect_code(0)?;
    assert!(recovered.stdout.contains("transaction 0001 undone: "), "{}", recovered.stdout);
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
    assert!(verified.stdout.contains("3 of 3 values are as they were set"), "{}", verified.stdout);
    Ok(())
}
