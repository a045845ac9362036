//! Several at once.

use anyhow::Result;
use quell::host::Root;
use quell::tune::transaction::Lock;

use crate::case::Case;

#[test]
fn of_two_applies_one_wins_and_the_other_says_who() -> Result<()> {
    let case = Case::new()?;
    let lock = Lock::acquire(&Root::at(case.host.path())?, "a test")?;
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
fn what_is_being_done_is_not_called_cut_short() -> Result<()> {
    let case = Case::new()?;
    case.quell(&case.apply())?.expect_code(0)?;
    // As it is before it is complete.
    let (journal, mut text) = (case.journal(1), std::fs::read_to_string(case.journal(1))?);
    text.truncate(text.rfind("\n").and_then(|end| text[..end].rfind('\n')).map_or(0, |end| end + 1));
    std::fs::write(journal, text)?;
    let cut = case.quell(&["history"])?.expect_code(0)?;
    assert!(cut.stdout.contains("interrupted"), "{}", cut.stdout);
    let _lock = Lock::acquire(&Root::at(case.host.path())?, "a test")?;
    let status = case.quell(&["status"])?;
    assert!(status.stdout.contains("in progress") && !status.stdout.contains("interrupted"), "{}", status.stdout);
    let history = case.quell(&["history"])?.expect_code(0)?;
    assert!(history.stdout.contains("in progress"), "{}", history.stdout);
    Ok(())
}
