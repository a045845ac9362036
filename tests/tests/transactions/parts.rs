//! Values that have parts, and those that are set in several writes.

use anyhow::Result;
use quell_tests::fake_host::two_socket_intel;
use quell_tests::needs::STRACE;
use quell_tests::{needs, skip};

use crate::case::Case;

const STEERED: &str = "[[set]]\nknob = \"net.rps_cpus\"\non = \"eno1\"\nvalue = \"0-1\"\nreason = \"a test\"\n";

/// What packets of a receive queue are handled on.
fn queue(number: u32) -> String {
    format!("/sys/class/net/eno1/queues/rx-{number}/rps_cpus")
}

fn steered() -> Result<Case> {
    Case::on(two_socket_intel(), STEERED)
}

#[test]
fn a_partition_that_could_not_be_taken_away_whole_is_no_edit_of_somebody() -> Result<()> {
    needs!(STRACE);
    let isolated = "[[set]]\nknob = \"isolation.partition\"\nvalue = \"2-3\"\nreason = \"a test\"\n";
    let case = Case::on(two_socket_intel(), isolated)?;
    case.quell(&case.apply())?.expect_code(0)?;
    let group = "/sys/fs/cgroup/quell-isolated";
    let refused = case.meddled_at(&["rollback"], "unlinkat:error=EBUSY", &[group])?.expect_code(1)?;
    assert!(refused.stdout.contains("not restored"), "{}", refused.stdout);
    // It is half undone: no partition, and still a group.
    assert_eq!(case.host.read(&format!("{group}/cpuset.cpus.partition")).trim(), "member");
    case.quell(&["rollback"])?.expect_code(0)?;
    assert!(case.is_as_before());
    Ok(())
}

#[test]
fn parts_that_took_their_value_do_not_make_the_others_somebodys() -> Result<()> {
    let case = steered()?;
    case.quell(&case.apply())?.expect_code(0)?;
    let tuned = case.host.read(&queue(1));
    // A kernel that keeps what it has, whatever is written.
    let behind = match case.host.behind(&queue(1), move |_| tuned.clone()) {
        Ok(behind) => behind,
        Err(errno) => skip!(&format!("permission to watch files ({errno})")),
    };
    let refused = case.quell(&["rollback"])?.expect_code(1)?;
    assert!(refused.stdout.contains("but read back"), "{}", refused.stdout);
    drop(behind);
    case.quell(&["rollback"])?.expect_code(0)?;
    assert!(case.is_as_before());
    Ok(())
}

#[test]
fn a_part_that_somebody_set_is_left_and_the_others_are_put_back() -> Result<()> {
    let case = steered()?;
    let before = [0, 1, 2, 3].map(|number| case.host.read(&queue(number)).trim().to_owned());
    case.quell(&case.apply())?.expect_code(0)?;
    case.host.put(&queue(1), "f0");
    let rolled = case.quell(&["rollback"])?.expect_code(1)?;
    assert!(rolled.stdout.contains("modified externally to 4-7"), "{}", rolled.stdout);
    assert!(rolled.stdout.contains("rx-1") && !rolled.stdout.contains("rx-2"), "{}", rolled.stdout);
    for number in [0, 2, 3] {
        assert_eq!(case.host.read(&queue(number)).trim(), before[number as usize], "{number}");
    }
    assert_eq!(case.host.read(&queue(1)), "f0");
    // It stays theirs, and is not forgotten.
    case.quell(&["rollback"])?.expect_code(1)?;
    assert_eq!(case.host.read(&queue(1)), "f0");
    let status = case.quell(&["status"])?.expect_code(1)?;
    assert!(status.stdout.contains("rx-1") && !status.stdout.contains("rx-2"), "{}", status.stdout);
    case.quell(&["rollback", "--force"])?.expect_code(0)?;
    assert!(case.is_as_before());
    Ok(())
}

#[test]
fn a_part_that_somebody_set_is_theirs_after_an_undoing_was_killed() -> Result<()> {
    needs!(STRACE);
    let case = steered()?;
    case.quell(&case.apply())?.expect_code(0)?;
    case.host.put(&queue(1), "f0");
    let cut = case.meddled_at(&["rollback"], "write:signal=KILL:when=1", &[&queue(2)])?;
    assert_ne!(cut.code, Some(0));
    // A tree's file is empty then, as no kernel's is.
    case.host.put(&queue(2), "3");
    case.quell(&["recover"])?.expect_code(1)?;
    assert_eq!(case.host.read(&queue(1)), "f0");
    case.quell(&["rollback", "--force"])?.expect_code(0)?;
    assert!(case.is_as_before());
    Ok(())
}

#[test]
fn what_is_left_of_many_parts_can_be_copied_whole() -> Result<()> {
    let case = Case::on(two_socket_intel(), &STEERED.replace("eno1", "ens1f0"))?;
    case.quell(&case.apply())?.expect_code(0)?;
    let file = |number: u32| queue(number).replace("eno1", "ens1f0");
    for number in 0..28 {
        case.host.put(&file(number), "f0");
    }
    case.quell(&["rollback"])?.expect_code(1)?;
    let status = case.quell(&["status"])?.expect_code(1)?;
    for number in 0..28 {
        assert!(status.stdout.contains(&format!("\"rx-{number}\":")), "{number}: {}", status.stdout);
    }
    Ok(())
}
