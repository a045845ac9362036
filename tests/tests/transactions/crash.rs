//! Killed, or without power.

use std::fs;

use anyhow::{Context as _, Result};
use quell::host::{Host, Root};
use quell::tune::journal::{Phase, Store};
use quell::tune::{BootTime, Unless, recover, rollback};

use crate::case::{Case, can_meddle};

/// What changes files: killed before, at each of them.
const CHANGES: &str = "write,fsync,fdatasync,ftruncate,mkdir,rename,unlink";

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
fn a_journal_cut_at_any_byte_still_puts_everything_back() -> Result<()> {
    let case = Case::new()?;
    case.quell(&case.apply())?.expect_code(0)?;
    let after = case.host.snapshot();
    let path = case.journal(1);
    let whole = fs::read(&path)?;
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
        let (host, store) = (Host::read(root.clone())?, Store::of(&root));
        recover(&host, &store, BootTime(0), Unless::Changed)?;
        rollback(&host, &store, None, Unless::Changed)?;
        assert!(case.is_as_before(), "cut at byte {length} of {}", whole.len());
    }
    Ok(())
}
