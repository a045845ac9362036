//! Other namespaces, where other values have the same names.

use std::process::Command;

use anyhow::Result;
use quell::tune::transaction::journal::Phase;
use quell_tests::agent::{self, Running};
use quell_tests::skip;

use crate::case::Case;

#[test]
fn what_was_applied_in_another_network_namespace_is_not_undone_in_this() -> Result<()> {
    let case = Case::new()?;
    let mut command = Command::new("unshare");
    command.arg("--net").arg(agent::binary()?).args(case.words(&case.apply()));
    let ended = Running::spawn(&mut command)?.wait()?;
    if ended.stderr.contains("unshare") {
        skip!("permission to unshare namespaces");
    }
    ended.expect_code(0)?;
    let after = case.host.snapshot();
    let refused = case.quell(&["rollback"])?.expect_code(1)?;
    assert!(refused.stdout.contains("nsenter"), "{}", refused.stdout);
    assert_eq!(case.host.snapshot(), after);
    assert_eq!(case.phases()?, [Phase::Complete { confirm_by: None }]);
    case.quell(&["rollback", "--force"])?.expect_code(0)?;
    assert!(case.is_as_before());
    Ok(())
}
