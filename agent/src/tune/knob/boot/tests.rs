use std::fs;

use super::super::fake;
use super::*;
use crate::tune::knob::{Reading, Running};
use crate::tune::{Kind, Target, Value};

const GRUB: &str = "GRUB_DEFAULT=0\nGRUB_CMDLINE_LINUX_DEFAULT=\"quiet\"\nGRUB_CMDLINE_LINUX=\"nohz=off\"\n";
const ENTRY: &str = "title Debian\nlinux /vmlinuz\noptions root=/dev/sda1 ro\n";

fn on(name: &str) -> Target {
    Target::Name(name.to_owned())
}

fn text(value: &str) -> Value {
    Kind::Text.parse(value).expect("text")
}

#[test]
fn parameters_are_staged_and_taken_back_with_each_loader() {
    let drop_in = ("/etc/default/grub.d/10-site.cfg", "GRUB_TIMEOUT=1\n");
    let hosts: [&[(&str, &str)]; 3] = [
        &[("/etc/default/grub", GRUB), drop_in],
        &[("/etc/default/grub", GRUB)],
        &[
            ("/boot/loader/entries/a.conf", ENTRY),
            ("/boot/loader/entries/b.conf", "options root=/dev/sda1 ro quiet"),
            ("/etc/kernel/cmdline", "root=/dev/sda1 ro\n"),
        ],
    ];
    for files in hosts {
        let (folder, host) = fake::host(files);
        fake::round_trip(&parameter::PARAMETER, &host, &on("isolcpus"), "managed_irq,domain,2-3");
        fake::round_trip(&parameter::PARAMETER, &host, &on("hugepages:1G"), "4");
        fake::round_trip(&parameter::FLAG, &host, &on("nosoftlockup"), "on");
        for (path, before) in files {
            let now = fs::read_to_string(folder.path().join(path.trim_start_matches('/'))).expect("the file");
            assert_eq!(now, **before, "{path}");
        }
        assert!(!folder.path().join("etc/default/grub.d/99-quell.cfg").exists());
    }
}

#[test]
fn all_of_quells_parameters_are_one_block_behind_the_users_own() {
    let (folder, host) = fake::host(&[("/etc/default/grub", GRUB), ("/etc/default/grub.d/10-site.cfg", "")]);
    parameter::PARAMETER.write(&host, &on("nohz"), &text("on")).expect("write");
    parameter::PARAMETER.write(&host, &on("hugepages:1G"), &text("4")).expect("write");
    parameter::FLAG.write(&host, &on("nosoftlockup"), &Value::Switch(true)).expect("write");
    let own = fs::read_to_string(folder.path().join("etc/default/grub.d/99-quell.cfg")).expect("the file");
    let line =
        "GRUB_CMDLINE_LINUX_DEFAULT=\"$GRUB_CMDLINE_LINUX_DEFAULT nohz=on hugepagesz=1G hugepages=4 nosoftlockup\"\n";
    assert!(own.contains(line), "{own}");
    let (folder, host) = fake::host(&[("/boot/loader/entries/a.conf", ENTRY)]);
    parameter::PARAMETER.write(&host, &on("nohz"), &text("on")).expect("write");
    let entry = fs::read_to_string(folder.path().join("boot/loader/entries/a.conf")).expect("the file");
    assert!(entry.ends_with("options root=/dev/sda1 ro quell.begin nohz=on quell.end\n"), "{entry}");
}

#[test]
fn what_the_user_set_is_read_and_not_set_against() {
    let grub = "GRUB_CMDLINE_LINUX=\"isolcpus=3 rcu_nocbs=3 nohz=off quiet\"\n";
    let (folder, host) = fake::host(&[("/etc/default/grub", grub)]);
    assert_eq!(fake::value(&parameter::PARAMETER, &host, &on("nohz")), text("off"));
    assert_eq!(fake::value(&parameter::FLAG, &host, &on("quiet")), Value::Switch(true));
    fake::round_trip(&parameter::PARAMETER, &host, &on("nohz"), "on");
    let file = fs::read_to_string(folder.path().join("etc/default/grub")).expect("the file");
    assert_eq!(file, grub, "what the user says needs no block");
    let error = parameter::PARAMETER.normalize(&host, &on("isolcpus"), &text("2-3")).expect_err("it is there already");
    assert!(error.to_string().contains("isolcpus=3 already"), "{error}");
    assert!(parameter::PARAMETER.normalize(&host, &on("isolcpus"), &text("3")).is_ok());
    assert!(parameter::PARAMETER.normalize(&host, &on("rcu_nocbs"), &text("2-3")).is_ok(), "the last one counts");
    assert!(parameter::FLAG.normalize(&host, &on("quiet"), &Value::Switch(false)).is_err());
}

#[test]
fn the_users_own_files_are_read_in_the_order_that_grub_reads_them() {
    let (_folder, host) = fake::host(&[
        (
            "/etc/default/grub",
            "GRUB_CMDLINE_LINUX_DEFAULT=\"nohz=on quiet\"\nGRUB_CMDLINE_LINUX=\"nohz=off skew_tick=1\"\n",
        ),
        ("/etc/default/grub.d/10-a.cfg", "GRUB_CMDLINE_LINUX=\"$GRUB_CMDLINE_LINUX mce=off\"\n"),
        ("/etc/default/grub.d/20-b.cfg", "GRUB_CMDLINE_LINUX_DEFAULT='nohz=auto'\n"),
    ]);
    let of = |name: &str| fake::value(&parameter::PARAMETER, &host, &on(name));
    assert_eq!([of("nohz"), of("skew_tick"), of("mce")], [text("auto"), text("1"), text("off")]);
    assert_eq!(fake::value(&parameter::FLAG, &host, &on("quiet")), Value::Switch(false), "20-b.cfg replaced it");
}

#[test]
fn entries_that_do_not_agree_are_told_apart() {
    let entry = |words: &str| format!("options root=/dev/sda1 {words}\n");
    let (first, second) = (entry("nohz=on"), entry("nohz=off"));
    let (_folder, host) =
        fake::host(&[("/boot/loader/entries/a.conf", &first), ("/boot/loader/entries/b.conf", &second)]);
    assert!(matches!(fake::value(&parameter::PARAMETER, &host, &on("nohz")), Value::Each(_)));
    fake::round_trip(&parameter::PARAMETER, &host, &on("nohz"), "on");
}

#[test]
fn words_that_a_shell_would_read_are_refused() {
    let (_folder, host) = fake::host(&[("/etc/default/grub", GRUB)]);
    for wrong in ["$(reboot)", "a b", "\"", "a;b"] {
        assert!(parameter::PARAMETER.normalize(&host, &on("nohz"), &text(wrong)).is_err(), "{wrong}");
    }
    assert!(parameter::PARAMETER.normalize(&host, &on("a=b"), &text("1")).is_err());
}

#[test]
fn a_host_without_a_loader_says_so() {
    let (_folder, host) = fake::host(&[]);
    assert!(matches!(parameter::PARAMETER.read(&host, &on("nohz")), Ok(Reading::Absent(_))));
}

#[test]
fn what_runs_is_what_the_line_says_and_the_kernel_took() {
    let line =
        ("/proc/cmdline", "ro nohz_full=2-3 isolcpus=managed_irq,domain,2-3 quell.begin nosoftlockup quell.end\n");
    let (_folder, host) = fake::host(&[
        line,
        ("/sys/devices/system/cpu/nohz_full", " (null)\n"),
        ("/sys/devices/system/cpu/isolated", "2-3\n"),
    ]);
    let of = |knob: &dyn Knob, name: &str, wanted: Value| knob.running(&host, &on(name), &wanted).expect("an answer");
    let parameter = |name: &str, wanted: &str| of(&parameter::PARAMETER, name, text(wanted));
    assert_eq!(parameter("isolcpus", "managed_irq,domain,2-3"), Running::InForce);
    let now = text("managed_irq,domain,2-3");
    assert_eq!(parameter("isolcpus", "domain,2-3"), Running::Otherwise { now });
    assert_eq!(parameter("skew_tick", "1"), Running::Otherwise { now: text("") });
    let Running::Otherwise { now } = parameter("nohz_full", "2-3") else { panic!("it is on the line only") };
    assert_eq!(now.to_string(), "nohz_full=2-3, of which the kernel took none");
    assert_eq!(of(&parameter::FLAG, "nosoftlockup", Value::Switch(true)), Running::InForce);
    let now = Value::Switch(false);
    assert_eq!(of(&parameter::FLAG, "quiet", Value::Switch(true)), Running::Otherwise { now });
}

#[test]
fn a_kernel_without_nohz_full_is_not_given_it() {
    let grub = ("/etc/default/grub", GRUB);
    let (_folder, host) = fake::host(&[grub, ("/sys/devices/system/cpu/isolated", "\n")]);
    let error = parameter::PARAMETER.normalize(&host, &on("nohz_full"), &text("2-3")).expect_err("no effect");
    assert!(error.to_string().contains("CONFIG_NO_HZ_FULL"), "{error}");
}
