//! Killed between two writes that belong together: switching boost sets frequency limits, which are put back after that.

use anyhow::Result;
use quell_tests::fake_host::small_vm;
use quell_tests::needs;
use quell_tests::needs::STRACE;

use crate::case::Case;

const BOOST: &str = "/sys/devices/system/cpu/cpufreq/boost";
const POLICY: &str = "/sys/devices/system/cpu/cpufreq/policy0";

#[test]
fn frequency_limits_that_a_kill_has_lost_are_recovered() -> Result<()> {
    needs!(STRACE);
    let host = small_vm();
    let limit = format!("{POLICY}/scaling_max_freq");
    host.put(BOOST, "1\n");
    host.put(&format!("{POLICY}/cpuinfo_max_freq"), "3000000\n");
    host.put(&limit, "1900000\n");
    let case = Case::on(host, "[[set]]\nknob = \"cpu.boost\"\nvalue = \"off\"\nreason = \"a test\"\n")?;
    let killed = case.meddled_at(&case.apply(), "write:signal=KILL:when=1", &[BOOST])?;
    assert_ne!(killed.code, Some(0), "{killed:?}");
    // The write got through, and its driver has done what it does.
    case.host.put(BOOST, "0\n");
    case.host.put(&limit, "2500000\n");
    case.quell(&["recover"])?.expect_code(0)?;
    assert!(case.is_as_before(), "{limit} is {}", case.host.read(&limit));
    Ok(())
}
