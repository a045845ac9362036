//! What counts from the next boot on.

use anyhow::Result;
use quell_tests::fake_host::small_vm;

use crate::case::Case;

const GRUB: &str = "/etc/default/grub";
const QUIET: &str = "GRUB_CMDLINE_LINUX_DEFAULT=\"quiet\"\n";
const LINE: &str = "/proc/cmdline";
const BOOT: &str = "/proc/sys/kernel/random/boot_id";

#[test]
fn it_is_awaited_until_a_boot_has_brought_it_or_has_not() -> Result<()> {
    let host = small_vm();
    host.put(GRUB, QUIET);
    let setting = "[[set]]\nknob = \"boot.parameter\"\non = \"skew_tick\"\nvalue = \"1\"\nreason = \"a test\"\n";
    let case = Case::on(host, setting)?;
    case.quell(&case.apply())?.expect_code(0)?;
    let staged = case.host.read(GRUB);
    assert!(staged.contains("skew_tick=1"), "{staged}");
    let awaited = case.quell(&["verify"])?.expect_code(0)?;
    assert!(awaited.stdout.contains("1 of them pending a reboot"), "{}", awaited.stdout);
    case.quell(&["status"])?.expect_code(0)?;
    case.host.put(BOOT, "99999999-2222-3333-4444-555555555555\n");
    let missed = case.quell(&["verify"])?.expect_code(1)?;
    assert!(missed.stdout.contains("desired 1, current (empty)"), "{}", missed.stdout);
    let line = case.host.read(LINE);
    case.host.put(LINE, format!("{} skew_tick=1\n", line.trim()));
    let brought = case.quell(&["verify"])?.expect_code(0)?;
    assert!(brought.stdout.contains("1 of 1 values match\n"), "{}", brought.stdout);
    let history = case.quell(&["history"])?.expect_code(0)?;
    assert!(history.stdout.contains("active since an earlier boot"), "{}", history.stdout);
    case.quell(&["rollback"])?.expect_code(0)?;
    assert_eq!(case.host.read(GRUB), QUIET);
    Ok(())
}
