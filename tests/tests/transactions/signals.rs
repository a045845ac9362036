//! Ctrl-C, and a terminal that goes.

use anyhow::Result;
use quell::tune::transaction::journal::Phase;
use quell_tests::needs;
use quell_tests::needs::STRACE;

use crate::case::{Case, SECOND};

#[test]
fn an_apply_that_is_stopped_is_undone_and_says_so() -> Result<()> {
    needs!(STRACE);
    for signal in ["INT", "TERM", "HUP", "QUIT"] {
        let case = Case::new()?;
        let ended = case.meddled_at(&case.apply(), &format!("write:signal={signal}:when=1"), &[SECOND])?;
        let ended = ended.expect_code(2)?;
        assert!(
            ended.stderr.contains(&format!("interrupted by SIG{signal}; the transaction was rolled back")),
            "{ended:?}"
        );
        assert!(case.is_as_before(), "{signal}");
        assert_eq!(case.phases()?, [Phase::RolledBack]);
    }
    Ok(())
}

#[test]
fn a_rollback_goes_to_its_end() -> Result<()> {
    needs!(STRACE);
    let case = Case::new()?;
    case.quell(&case.apply())?.expect_code(0)?;
    case.meddled_at(&["rollback"], "write:signal=INT:when=1", &[SECOND])?.expect_code(0)?;
    assert!(case.is_as_before());
    assert_eq!(case.phases()?, [Phase::RolledBack]);
    Ok(())
}
