//! A disk that is full, or cannot be written.

use std::process::Command;

use anyhow::Result;
use quell::tune::transaction::journal::Phase;
use quell_tests::agent::{self, Running};
use quell_tests::needs::STRACE;
use quell_tests::{needs, skip};

use crate::case::{Case, JOURNALS};

#[test]
fn a_write_that_fails_once_undoes_an_apply() -> Result<()> {
    needs!(STRACE);
    let mut reports = 0;
    for call in 1.. {
        let case = Case::new()?;
        // One write fails, the next succeed: a disk that fills up, and a log that is rotated.
        let ended = case.meddled(&case.apply(), &format!("write:error=ENOSPC:when={call}"))?;
        let complete = case.phases()?.iter().any(|phase| matches!(phase, Phase::Complete { .. }));
        if complete {
            assert_eq!(ended.code, Some(0), "{ended:?}");
            // All was done, and only could not be said.
            if ended.stderr.contains("transaction 0001 was applied") {
                reports += 1;
                continue;
            }
            assert!(call > 5 && reports == 1, "{call} writes, {reports} of a report");
            break;
        }
        case.quell(&["recover"])?.expect_code(0)?;
        assert!(case.is_as_before(), "write {call} failed: {ended:?}");
    }
    Ok(())
}

#[test]
fn a_journal_that_fails_from_any_write_on_does_not_keep_an_apply_from_being_undone() -> Result<()> {
    needs!(STRACE);
    let journal = format!("{JOURNALS}/0001.journal");
    for call in 1.. {
        let case = Case::new()?;
        let inject = format!("write,fdatasync,ftruncate:error=ENOSPC:when={call}+");
        let ended = case.meddled_at(&case.apply(), &inject, &[&journal])?;
        if ended.code == Some(0) {
            assert!(call > 5, "only {call} writes");
            break;
        }
        assert!(case.is_as_before(), "from write {call} on: {ended:?}");
        // Found done, once it can be written.
        case.quell(&["recover"])?.expect_code(0)?;
        assert!(case.is_as_before(), "from write {call} on");
        assert!(case.phases()?.iter().all(|phase| *phase == Phase::RolledBack), "from write {call} on");
    }
    Ok(())
}

#[test]
fn a_rollback_is_not_kept_from_it_by_a_journal_that_fails() -> Result<()> {
    needs!(STRACE);
    let journal = format!("{JOURNALS}/0001.journal");
    for call in 1.. {
        let case = Case::new()?;
        case.quell(&case.apply())?.expect_code(0)?;
        let inject = format!("write,fdatasync,ftruncate:error=EIO:when={call}+");
        let ended = case.meddled_at(&["rollback"], &inject, &[&journal])?;
        assert!(case.is_as_before(), "from write {call} on: {ended:?}");
        if ended.code == Some(0) {
            assert!(call > 4, "only {call} writes");
            break;
        }
        let ended = ended.expect_code(1)?;
        assert!(ended.stdout.contains("restored, but not recorded: "), "{}", ended.stdout);
        let _ = case.quell(&["recover"])?.expect_code(0)?;
        let _ = case.quell(&["rollback"])?.expect_code(0)?;
        assert!(case.phases()?.iter().all(|phase| *phase == Phase::RolledBack), "from write {call} on");
    }
    Ok(())
}

#[test]
fn a_rollback_needs_no_journal_that_can_be_written() -> Result<()> {
    let case = Case::new()?;
    let quell = |verb: &[&str]| -> Result<String> {
        let words = case.words(verb).into_iter().map(|word| format!("'{word}'"));
        Ok(format!("'{}' {}", agent::binary()?.display(), words.collect::<Vec<_>>().join(" ")))
    };
    let journals = case.at(JOURNALS).display().to_string();
    let script = format!(
        "{} && mount --bind {journals} {journals} && mount -o remount,bind,ro {journals} || exit 77\n{}",
        quell(&case.apply())?,
        quell(&["rollback"])?
    );
    // All of it in one namespace, with mounts of its own.
    let ended = Running::spawn(Command::new("unshare").args(["--mount", "sh", "-c", &script]))?.wait()?;
    if ended.stderr.contains("unshare") || ended.code == Some(77) {
        skip!("permission to mount");
    }
    assert!(case.is_as_before(), "{ended:?}");
    let ended = ended.expect_code(1)?;
    assert!(ended.stdout.contains("restored, but not recorded: "), "{}", ended.stdout);
    assert!(matches!(case.phases()?[..], [Phase::Complete { .. }]));
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
