//! The fixtures do what the other tests take for the truth.

use std::collections::BTreeSet;

use anyhow::Result;
use quell_tests::fixture::{Blocked, Burned, Chained, Fixture};

#[test]
fn burn_spends_its_cpu_time_seventy_to_twenty_to_ten() -> Result<()> {
    let mut burn = Fixture::start("burn", &["--seconds", "1", "--threads", "2"])?;
    burn.go()?;
    let burned: Burned = burn.finish()?;
    assert_eq!(burned.threads.len(), 2);
    for thread in burned.threads {
        let total: u64 = thread.functions.values().sum();
        for (function, share) in [("quell_burn_seventy", 0.7), ("quell_burn_twenty", 0.2), ("quell_burn_ten", 0.1)] {
            let spent = thread.functions[function] as f64 / total as f64;
            assert!((spent - share).abs() < 0.05, "{function} took {spent} of the time");
        }
    }
    Ok(())
}

#[test]
fn block_is_off_the_cpu_in_five_functions_for_most_of_their_time() -> Result<()> {
    for how in [&["--seconds", "1"][..], &["--seconds", "1", "--every-path-in-one-thread"]] {
        let mut block = Fixture::start("block", how)?;
        block.go()?;
        let blocked: Blocked = block.finish()?;
        assert_eq!(blocked.paths.len(), 5);
        for path in &blocked.paths {
            assert!(path.count > 0, "{} was never called", path.function);
            assert!(path.off_cpu_ns <= path.wall_ns && path.off_cpu_ns * 2 > path.wall_ns, "{path:?}");
        }
        let threads: BTreeSet<_> = blocked.paths.iter().map(|path| path.tid).collect();
        assert_eq!(threads.len(), if how.len() == 3 { 1 } else { 5 });
    }
    Ok(())
}

#[test]
fn every_link_of_the_wake_chain_waits_for_the_timer() -> Result<()> {
    let mut chain = Fixture::start("wakechain", &["--rounds", "100"])?;
    chain.go()?;
    let chained: Chained = chain.finish()?;
    let names: Vec<_> = chained.links.iter().map(|link| link.comm.as_str()).collect();
    assert_eq!(names, ["chain-a", "chain-b", "chain-c"]);
    for link in &chained.links {
        // The timer's 5 ms in every round, less what a busy machine takes between two waits.
        assert!(link.off_cpu_ns * 2 >= chained.rounds * 5_000_000, "{link:?} of {} rounds", chained.rounds);
    }
    Ok(())
}
