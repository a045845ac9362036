//! What must be confirmed.

use std::fs;

use anyhow::Result;
use quell::tune::transaction::BootTime;
use quell::tune::transaction::journal::Phase;
use quell_tests::fake_host::two_socket_intel;
use quell_tests::turns;

use crate::case::{Case, SECOND, THIRD, amend};

#[test]
fn what_nobody_confirms_in_time_is_undone_though_its_process_has_ended() -> Result<()> {
    let case = Case::new()?;
    let apply = [&case.apply()[..], &["--confirm-within", "1s"]].concat();
    case.quell(&apply)?.expect_code(0)?;
    turns::until("the guard undoes it", || Ok((case.phases()? == [Phase::RolledBack]).then_some(())))?;
    assert!(case.is_as_before());
    let long = [&case.apply()[..], &["--confirm-within", "1h"]].concat();
    case.quell(&long)?.expect_code(0)?;
    case.quell(&["confirm"])?.expect_code(0)?;
    assert_eq!(case.phases()?.last(), Some(&Phase::Complete { confirm_by: None }));
    Ok(())
}

#[test]
fn nothing_is_applied_on_top_of_what_may_be_undone_any_moment() -> Result<()> {
    let case = Case::new()?;
    case.quell(&[&case.apply()[..], &["--confirm-within", "1h"]].concat())?.expect_code(0)?;
    let other = case.profile("other", "memory.swappiness", 5)?;
    let refused = case.quell(&["apply", &other, "--yes"])?.expect_code(2)?;
    assert!(refused.stderr.contains("0001 is not confirmed yet"), "{}", refused.stderr);
    case.quell(&["rollback"])?.expect_code(0)?;
    assert!(case.is_as_before());
    Ok(())
}

#[test]
fn what_came_after_a_transaction_is_undone_before_it() -> Result<()> {
    let case = Case::new()?;
    case.quell(&case.apply())?.expect_code(0)?;
    let other = case.profile("other", "memory.swappiness", 5)?;
    case.quell(&["apply", &other, "--yes"])?.expect_code(0)?;
    // As if the first had not been confirmed.
    amend(&case.journal(1), "\"confirm_by\":null", "\"confirm_by\":0")?;
    case.quell(&["recover"])?.expect_code(0)?;
    assert!(case.is_as_before());
    assert_eq!(case.phases()?, [Phase::RolledBack, Phase::RolledBack]);
    Ok(())
}

#[test]
fn one_that_is_late_does_not_keep_another_from_being_confirmed() -> Result<()> {
    let case = Case::new()?;
    case.quell(&case.apply())?.expect_code(0)?;
    let other = case.profile("other", "memory.swappiness", 5)?;
    case.quell(&["apply", &other, "--yes"])?.expect_code(0)?;
    amend(&case.journal(1), "\"confirm_by\":null", "\"confirm_by\":0")?;
    let soon = BootTime::now().0 + 3_600;
    amend(&case.journal(2), "\"confirm_by\":null", &format!("\"confirm_by\":{soon}"))?;
    let confirmed = case.quell(&["confirm"])?.expect_code(2)?;
    assert!(confirmed.stdout.contains("confirmed: transaction 0002"), "{}", confirmed.stdout);
    assert!(confirmed.stderr.contains("too late: transaction 0001"), "{}", confirmed.stderr);
    assert_eq!(case.phases()?[1], Phase::Complete { confirm_by: None });
    Ok(())
}

const BOOT: &str = "/proc/sys/kernel/random/boot_id";

const BIAS: &str = "/sys/devices/system/cpu/cpu3/power/energy_perf_bias";

/// A value that the hardware may keep over a boot, and one that goes with the kernel.
fn case_with_hardware() -> Result<Case> {
    let bias = "[[set]]\nknob = \"cpu.energy_perf_bias\"\non = \"3\"\nvalue = 0\nreason = \"a test\"\n";
    let swappiness = "[[set]]\nknob = \"memory.swappiness\"\nvalue = 9\nreason = \"a test\"\n";
    Case::on(two_socket_intel(), &format!("{bias}{swappiness}"))
}

#[test]
fn a_boot_that_comes_before_the_confirmation_is_too_late_for_it() -> Result<()> {
    let case = case_with_hardware()?;
    case.quell(&[&case.apply()[..], &["--confirm-within", "1h"]].concat())?.expect_code(0)?;
    case.host.put(BOOT, "99999999-2222-3333-4444-555555555555\n");
    // A new boot has values of its own for all but what its hardware has kept.
    case.host.put(THIRD, "77");
    let status = case.quell(&["status"])?.expect_code(1)?;
    assert!(status.stdout.contains(&case.suggested("recover` rolls it back")), "{}", status.stdout);
    let refused = case.quell(&["confirm"])?.expect_code(2)?;
    assert!(refused.stderr.contains("too late"), "{}", refused.stderr);
    let recovered = case.quell(&["recover"])?.expect_code(0)?;
    assert!(recovered.stdout.contains("1 value restored, 0 unchanged, 1 reset by a reboot"), "{recovered:?}");
    assert_eq!([BIAS, THIRD].map(|file| case.host.read(file).trim().to_owned()), ["6", "77"]);
    Ok(())
}

#[test]
fn what_a_new_boot_sets_to_the_same_is_not_taken_for_the_transactions() -> Result<()> {
    let case = case_with_hardware()?;
    case.quell(&case.apply())?.expect_code(0)?;
    // As by a line in sysctl.d that says what the profile said.
    case.host.put(BOOT, "99999999-2222-3333-4444-555555555555\n");
    let rolled = case.quell(&["rollback", "--force"])?.expect_code(0)?;
    assert!(rolled.stdout.contains("1 value restored, 0 unchanged, 1 reset by a reboot"), "{rolled:?}");
    assert_eq!([BIAS, THIRD].map(|file| case.host.read(file).trim().to_owned()), ["6", "9"]);
    Ok(())
}

#[test]
fn a_transaction_of_an_earlier_boot_is_not_called_in_force() -> Result<()> {
    let case = Case::new()?;
    case.quell(&case.apply())?.expect_code(0)?;
    case.host.put(BOOT, "99999999-2222-3333-4444-555555555555\n");
    let history = case.quell(&["history"])?.expect_code(0)?;
    assert!(history.stdout.contains("reset by a reboot"), "{}", history.stdout);
    Ok(())
}

#[test]
fn what_cannot_be_put_back_for_a_moment_is_tried_again() -> Result<()> {
    let case = Case::new()?;
    case.quell(&[&case.apply()[..], &["--confirm-within", "1s"]].concat())?.expect_code(0)?;
    // Away, as the files of a card whose driver starts anew.
    let away = case.dir.path("away");
    fs::copy(case.at(SECOND), &away)?;
    fs::remove_file(case.at(SECOND))?;
    turns::until("the guard has tried", || Ok((case.phases()? == [Phase::RolledBack]).then_some(())))?;
    fs::copy(&away, case.at(SECOND))?;
    turns::until("the guard has tried again", || Ok(case.is_as_before().then_some(())))?;
    turns::until("it has said so", || {
        Ok(case.quell(&["status"])?.stdout.contains("no transaction is active").then_some(()))
    })?;
    Ok(())
}
