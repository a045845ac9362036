//! Journals that cannot be read, or not to their end.

use std::fs;

use anyhow::{Context as _, Result};

use crate::case::{Case, line};

/// Journals' lines, with the names of their records.
fn records(text: &[u8]) -> Vec<(String, Vec<u8>)> {
    let name = |line: &[u8]| {
        let line = String::from_utf8_lossy(line).into_owned();
        line.split("\"record\":\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap_or_default().to_owned()
    };
    text.split_inclusive(|&byte| byte == b'\n').map(|line| (name(line), line.to_vec())).collect()
}

#[test]
fn a_whole_record_of_another_version_is_neither_cut_off_nor_skipped() -> Result<()> {
    let case = Case::new()?;
    case.quell(&case.apply())?.expect_code(0)?;
    let journal = case.journal(1);
    let mut text = fs::read_to_string(&journal)?;
    text += &line(r#"{"record":"restored","step":0,"by":"a later version"}"#);
    fs::write(&journal, &text)?;
    for (verb, code) in [("status", 1), ("history", 1), ("rollback", 1), ("recover", 1)] {
        let ended = case.quell(&[verb])?.expect_code(code)?;
        assert!(ended.stdout.contains("was written by quell "), "{verb}: {}", ended.stdout);
        assert_eq!(fs::read_to_string(&journal)?, text, "{verb}");
    }
    let refused = case.quell(&case.apply())?.expect_code(2)?;
    assert!(refused.stderr.contains("0001.journal"), "{}", refused.stderr);
    assert_eq!(fs::read_to_string(&journal)?, text);
    Ok(())
}

#[test]
fn a_damaged_journal_stands_in_the_way_of_no_other() -> Result<()> {
    let case = Case::new()?;
    case.quell(&case.apply())?.expect_code(0)?;
    // Damaged before a record that was synced: no crash does that.
    let mut records = records(&fs::read(case.journal(1))?);
    let done = records.iter_mut().find(|(name, _)| name == "done").context("a step that was done")?;
    done.1[0] ^= 1;
    fs::write(case.journal(2), records.into_iter().flat_map(|(_, line)| line).collect::<Vec<_>>())?;
    let status = case.quell(&["status"])?.expect_code(1)?;
    assert!(status.stdout.contains("0002.journal is damaged at line 3"), "{}", status.stdout);
    assert!(status.stdout.contains(r#"{"before":{"text":"#), "originals in full: {}", status.stdout);
    assert!(status.stdout.contains("3 of 3 values match"), "{}", status.stdout);
    case.quell(&case.apply())?.expect_code(2)?;
    let rolled = case.quell(&["rollback", "--to", "1"])?.expect_code(1)?;
    assert!(rolled.stdout.contains("transaction 0001 rolled back"), "{}", rolled.stdout);
    assert!(case.is_as_before());
    Ok(())
}

#[test]
fn of_a_journal_with_nothing_left_in_it_what_was_changed_is_unknown() -> Result<()> {
    let case = Case::new()?;
    case.quell(&case.apply())?.expect_code(0)?;
    let mut text = fs::read(case.journal(1))?;
    text[0] ^= 1;
    fs::write(case.journal(1), text)?;
    let status = case.quell(&["status"])?.expect_code(1)?;
    assert!(status.stdout.contains("can be read: unknown"), "{}", status.stdout);
    Ok(())
}

#[test]
fn records_that_were_never_synced_may_be_lost_page_by_page() -> Result<()> {
    let case = Case::new()?;
    case.quell(&case.apply())?.expect_code(0)?;
    let mut records = records(&fs::read(case.journal(1))?);
    assert_eq!(records.pop().context("the last")?.0, "complete");
    // The power went before the page with the first and the end of its line was on disk, and after that with the last.
    let done = records.iter_mut().find(|(name, _)| name == "done").context("a step that was done")?;
    done.1.fill(0);
    fs::write(case.journal(1), records.into_iter().flat_map(|(_, line)| line).collect::<Vec<_>>())?;
    case.quell(&["recover"])?.expect_code(0)?;
    assert!(case.is_as_before());
    Ok(())
}
