//! However a capture is ended, there is a whole recording or none, and nothing stays in the kernel.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use nix::sys::signal::Signal;
use quell_tests::agent::Workdir;
use quell_tests::recorded::Recorded;
use quell_tests::{kernel, needs, turns};

#[test]
fn a_signal_ends_a_capture_early_and_it_is_written() -> Result<()> {
    needs!(Bpf);
    let _alone = turns::alone();
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let dir = Workdir::new()?;
        let quell = dir.spawn(["record", "-a", "-d", "1h", "-o", "x.quell", "-o", "x.svg"])?;
        quell.captures()?;
        quell.signal(signal)?;
        let ended = quell.wait()?;
        assert!(Recorded::read(&dir.path("x.quell"))?.recording.meta.duration.as_secs_f64() < 3_600.0);
        // After SIGTERM the time for the picture is limited, and this host may be loaded.
        if signal == Signal::SIGTERM && ended.code == Some(143) {
            assert!(ended.stderr.contains("terminated before all outputs were written\nhint: "), "{}", ended.stderr);
        } else {
            let ended = ended.expect_code(0)?;
            assert!(ended.stdout.contains("written: x.quell, x.svg"), "{}", ended.stdout);
            assert!(dir.path("x.svg").exists());
        }
        kernel::nothing_left_behind()?;
    }
    Ok(())
}

/// timeout(1) signals the process, and then its group; a service manager may ask again.
#[test]
fn a_capture_that_is_asked_to_end_again_and_again_is_written() -> Result<()> {
    needs!(Bpf);
    let _alone = turns::alone();
    let dir = Workdir::new()?;
    let quell = dir.spawn(["record", "-a", "-d", "1h", "-o", "x.quell"])?;
    quell.captures()?;
    // Signals that wait to be read are one: spread over what it takes to end and to write.
    for _ in 0..200 {
        quell.signal(Signal::SIGTERM)?;
        std::thread::sleep(Duration::from_millis(2));
    }
    let ended = quell.wait()?;
    // All that is left to do once it is written may be cut off by the time limit: see above.
    assert!(matches!(ended.code, Some(0 | 143)), "{ended:?}");
    Recorded::read(&dir.path("x.quell"))?;
    Ok(())
}

#[test]
fn a_kill_leaves_a_whole_recording_or_none_and_no_program() -> Result<()> {
    needs!(Bpf);
    kill_at_moments(4)
}

#[test]
#[ignore = "long: cargo xtask test --all"]
fn a_kill_at_any_moment_leaves_a_whole_recording_or_none_and_no_program() -> Result<()> {
    needs!(Bpf);
    kill_at_moments(40)
}

/// Kills captures at moments spread over their whole run, and looks at what they leave.
fn kill_at_moments(moments: u32) -> Result<()> {
    let _alone = turns::alone();
    let dir = Workdir::new()?;
    let record = |name: &'static str| ["record", "-a", "-d", "0.2", "-o", name];
    let begin = Instant::now();
    dir.run(record("old.quell"))?.expect_code(0)?;
    let whole = begin.elapsed();
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    for moment in 0..moments {
        for name in ["old.quell", "new.quell"] {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            // Spread over the whole run, and a little beyond: what is tested is the moment, nothing waits for it.
            let part = (f64::from(moment) + random as f64 / u64::MAX as f64) / f64::from(moments - 1);
            let quell = dir.spawn(record(name))?;
            std::thread::sleep(Duration::from_secs_f64(whole.as_secs_f64() * part));
            quell.signal(Signal::SIGKILL)?;
            let ended = quell.wait()?;
            assert!(ended.code.is_none_or(|code| code == 0), "{ended:?}");
            if name == "old.quell" || dir.path(name).exists() {
                let at = || format!("killed after {part:.2} of a run");
                Recorded::read(&dir.path(name)).with_context(at)?;
                dir.run(["report", name, "-o", "x.svg"])?.expect_code(0).with_context(at)?;
            } else {
                assert_ne!(ended.code, Some(0));
            }
            if dir.path("new.quell").exists() {
                std::fs::remove_dir_all(dir.path("new.quell"))?;
            }
        }
    }
    kernel::nothing_left_behind()
}
