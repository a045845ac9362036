//! Killed, or without power.

use std::fs;

use anyhow::{Context as _, Result};
use quell::host::{Host, Root};
use quell::tune::transaction::journal::{Phase, Store};
use quell::tune::transaction::{BootTime, OnConflict, recover, roll_back};
use quell_tests::fake_host::small_vm;
use quell_tests::needs;
use quell_tests::needs::STRACE;

use crate::case::Case;

/// What changes files: killed before, at each of them.
const CHANGES: &str = "write,fsync,fdatasync,ftruncate,mkdir,mkdirat,rename,renameat2,unlink";

#[test]
fn killed_at_any_change_an_apply_is_recovered_to_the_byte() -> Result<()> {
    needs!(STRACE);
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
        assert!(case.phases()?.iter().all(|phase| *phase == Phase::RolledBack), "{}", at());
    }
    assert!(recovered > 5, "only {recovered} were interrupted");
    Ok(())
}

#[test]
#[ignore = "long: cargo xtask test --all"]
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
        recover(&host, &store, BootTime(0), OnConflict::Keep)?;
        roll_back(&host, &store, None, OnConflict::Keep)?;
        assert!(case.is_as_before(), "cut at byte {length} of {}", whole.len());
    }
    Ok(())
}

/// A step of each stage: a partition, which is made in several writes, a number, a value with parts, and a line for the boot.
fn of_all_stages() -> Result<Case> {
    let set = |knob: &str, on: &str, value: &str| {
        format!("[[set]]\nknob = \"{knob}\"\n{on}value = {value}\nreason = \"a test\"\n")
    };
    let host = small_vm();
    host.put("/etc/default/grub", "GRUB_CMDLINE_LINUX_DEFAULT=\"quiet\"\n");
    let settings = [
        set("isolation.partition", "", "\"1\""),
        set("memory.swappiness", "", "9"),
        set("irq.nic_queues", "on = \"eth0\"\n", "\"0\""),
        set("boot.parameter", "on = \"skew_tick\"\n", "\"1\""),
    ];
    let case = Case::on(host, &settings.concat())?;
    case.quell(&case.apply())?.expect_code(0)?;
    Ok(case)
}

/// Kills a verb at each of its changes, and recovers.
fn killed_at_any_change(verb: &str, prepared: impl Fn() -> Result<Case>) -> Result<()> {
    for call in 1.. {
        let case = prepared()?;
        let ended = case.meddled(&[verb], &format!("{CHANGES},unlinkat,rmdir:signal=KILL:when={call}"))?;
        let at = || format!("killed at call {call}: {ended:?}");
        if ended.code == Some(0) {
            assert!(call > 10, "only {call} calls change anything");
            assert!(case.is_as_before(), "{}", at());
            break;
        }
        case.quell(&["recover"])?.expect_code(0).with_context(at)?;
        if case.phases()?.iter().any(|phase| matches!(phase, Phase::Complete { .. })) {
            // Killed before it had begun.
            case.quell(&[verb])?.expect_code(0).with_context(at)?;
        }
        assert!(case.is_as_before(), "{}", at());
        assert!(case.phases()?.iter().all(|phase| *phase == Phase::RolledBack), "{}", at());
    }
    Ok(())
}

#[test]
#[ignore = "long: cargo xtask test --all"]
fn killed_at_any_change_a_rollback_is_finished_to_the_byte() -> Result<()> {
    needs!(STRACE);
    killed_at_any_change("rollback", of_all_stages)
}

#[test]
#[ignore = "long: cargo xtask test --all"]
fn killed_at_any_change_a_recovery_is_finished_to_the_byte() -> Result<()> {
    needs!(STRACE);
    killed_at_any_change("recover", || {
        let case = of_all_stages()?;
        // As if it had been killed before it was complete.
        let mut text = fs::read_to_string(case.journal(1))?;
        let last = text.trim_end().rfind('\n').context("a line before the last")?;
        text.truncate(last + 1);
        fs::write(case.journal(1), text)?;
        Ok(case)
    })
}
