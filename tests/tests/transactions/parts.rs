//! Values that have parts, and those that are set in several writes.

use anyhow::Result;
use quell_tests::fake_host::two_socket_intel;

use crate::case::{Case, can_meddle};

#[test]
fn a_partition_that_could_not_be_taken_away_whole_is_no_edit_of_somebody() -> Result<()> {
    if !can_meddle("a_partition_that_could_not_be_taken_away_whole_is_no_edit_of_somebody") {
        return Ok(());
    }
    let isolated = "[[set]]\nknob = \"isolation.partition\"\nvalue = \"2-3\"\nreason = \"a test\"\n";
    let case = Case::on(two_socket_intel(), isolated)?;
    case.quell(&case.apply())?.expect_code(0)?;
    let group = "/sys/fs/cgroup/quell-isolated";
    let refused = case.meddled_at(&["rollback"], "unlinkat:error=EBUSY", &[group])?.expect_code(1)?;
    assert!(refused.stdout.contains("left as it is"), "{}", refused.stdout);
    // It is half undone: no partition, and still a group.
    assert_eq!(case.host.read(&format!("{group}/cpuset.cpus.partition")).trim(), "member");
    case.quell(&["rollback"])?.expect_code(0)?;
    assert!(case.is_as_before());
    Ok(())
}
