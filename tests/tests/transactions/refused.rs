//! Steps that are refused, and values that do not stay.

use std::fs;

use anyhow::Result;
use quell::tune::transaction::journal::Phase;
use quell_tests::fake_host::two_socket_intel;
use quell_tests::needs;
use quell_tests::needs::STRACE;

use crate::case::{Case, SECOND, THIRD};

#[test]
fn a_refused_step_is_as_before_or_undone_whatever_cannot_be_read() -> Result<()> {
    needs!(STRACE);
    let optional = "[[set]]\nknob = \"memory.swappiness\"\nvalue = 9\nreason = \"a test\"\noptional = true\n";
    let (mut refused, mut undone) = (0, 0);
    for upto in ["", "+"] {
        for call in 1.. {
            let case = Case::with(optional)?;
            let inject = format!("read:error=EIO:when={call}{upto}");
            let ended = case.meddled_at(&case.apply(), &inject, &[THIRD])?;
            let now = case.host.read(THIRD).trim().to_owned();
            match ended.code {
                Some(0) if now == "9" => break,
                // It cannot even be planned.
                Some(0) => assert_eq!(now, "60"),
                Some(1) => {
                    refused += 1;
                    assert_eq!(now, "60", "refused, from read {call}{upto} on: {ended:?}");
                }
                _ => undone += 1,
            }
            case.quell(&["recover"])?.expect_code(0)?;
            case.quell(&["rollback"])?;
            assert!(case.is_as_before(), "from read {call}{upto} on: {ended:?}");
        }
    }
    assert!(refused > 1 && undone > 0, "{refused} refused, {undone} undone");
    Ok(())
}

#[test]
fn values_that_move_each_other_are_not_said_to_be_set() -> Result<()> {
    let case = Case::new()?;
    // One value under two names.
    fs::remove_file(case.at(SECOND))?;
    std::os::unix::fs::symlink("../../vm/stat_interval", case.at(SECOND))?;
    let before = case.host.snapshot();
    let ended = case.quell(&case.apply())?.expect_code(2)?;
    assert!(ended.stderr.contains("changed it to 17 twice"), "{}", ended.stderr);
    assert_eq!(case.host.snapshot(), before);
    assert_eq!(case.phases()?, [Phase::RolledBack]);
    Ok(())
}

#[test]
fn cpus_that_the_transaction_takes_away_have_no_values_to_set() -> Result<()> {
    let settings = "[[set]]\nknob = \"memory.hugepages_2m\"\non = \"0\"\nvalue = 0\nreason = \"a test\"\n\
                    [[set]]\nknob = \"cpu.resume_latency\"\non = \"3\"\nvalue = 100\nreason = \"a test\"\n";
    let host = two_socket_intel();
    // A number that is a list of CPUs too: that of the first stage takes CPU 3 offline, and brings 0.
    let (online, pages) =
        ("/sys/devices/system/cpu/online", "/sys/devices/system/node/node0/hugepages/hugepages-2048kB/nr_hugepages");
    host.put(online, "3");
    fs::remove_file(host.at(pages))?;
    std::os::unix::fs::symlink("../../../../cpu/online", host.at(pages))?;
    let case = Case::on(host, settings)?;
    let ended = case.quell(&case.apply())?.expect_code(1)?;
    let refused = "cpu.resume_latency on cpu 3: this transaction took the CPU offline";
    assert!(ended.stdout.contains(refused), "{}", ended.stdout);
    case.quell(&["rollback"])?.expect_code(0)?;
    assert!(case.is_as_before());
    Ok(())
}
