use std::fs;

use super::*;
use crate::tune::knob::error::KnobError;
use crate::tune::knob::fake;
use crate::tune::knob::reading::{Activation, Reading};
use crate::tune::value::{KnobTarget, Value, ValueKind};

const GRUB: &str = "GRUB_DEFAULT=0\nGRUB_CMDLINE_LINUX_DEFAULT=\"quiet\"\nGRUB_CMDLINE_LINUX=\"nohz=off\"\n";
const ENTRY: &str = "title Debian\nlinux /vmlinuz\noptions root=/dev/sda1 ro\n";

fn on(name: &str) -> KnobTarget {
    KnobTarget::Name(name.to_owned())
}

fn text(value: &str) -> Value {
    ValueKind::Text.parse(value).expect("text")
}

/// Whether the effective value of a parameter, from all files, is `value`.
fn says(knob: &dyn Knob, host: &crate::host::Host, name: &str, value: &Value) -> bool {
    knob.matches(&fake::value(knob, host, &on(name)), value)
}

fn file(folder: &tempfile::TempDir, path: &str) -> String {
    fs::read_to_string(folder.path().join(path.trim_start_matches('/')))
        .unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Asserts that no file contains quell's parameters.
fn without_quell(folder: &tempfile::TempDir) {
    for path in
        ["/etc/default/grub", "/etc/default/grub.d/99-quell.cfg", "/boot/loader/entries/a.conf", "/etc/kernel/cmdline"]
    {
        let text = fs::read_to_string(folder.path().join(path.trim_start_matches('/'))).unwrap_or_default();
        assert!(!text.contains("quell"), "{path}: {text}");
    }
}

#[test]
fn what_is_put_back_is_quells_and_not_what_the_user_said_then() {
    let (folder, host) = fake::host(&[("/etc/default/grub", "GRUB_CMDLINE_LINUX=\"mitigations=auto\"\n")]);
    let (knob, target) = (&parameter::PARAMETER, on("mitigations"));
    let before = fake::apply(knob, &host, &target, "off");
    // The user removes the original parameter. The value that quell wrote before the transaction is unchanged: none.
    let now = file(&folder, "/etc/default/grub").replace("mitigations=auto", "");
    fake::put(folder.path(), "/etc/default/grub", &now);
    assert!(!knob.matches(&fake::value(knob, &host, &target), &before));
    knob.restore(&host, &target, &before).expect("back");
    assert!(knob.matches(&fake::value(knob, &host, &target), &before));
    assert_eq!(file(&folder, "/etc/default/grub"), "GRUB_CMDLINE_LINUX=\"\"\n");
}

#[test]
fn words_of_an_earlier_transaction_come_back() {
    let (folder, host) = fake::host(&[("/etc/default/grub", GRUB)]);
    let first = fake::apply(&parameter::PARAMETER, &host, &on("nohz"), "on");
    let staged = file(&folder, "/etc/default/grub");
    let second = fake::apply(&parameter::PARAMETER, &host, &on("nohz"), "off");
    parameter::PARAMETER.restore(&host, &on("nohz"), &second).expect("back");
    assert_eq!(file(&folder, "/etc/default/grub"), staged);
    parameter::PARAMETER.restore(&host, &on("nohz"), &first).expect("back");
    assert_eq!(file(&folder, "/etc/default/grub"), GRUB);
}

#[test]
fn words_are_found_wherever_they_were_written_whatever_boots_the_host_by_now() {
    let (knob, target) = (&parameter::PARAMETER, on("nohz"));
    for later in [("/etc/default/grub.d/10-site.cfg", "GRUB_TIMEOUT=1\n"), ("/boot/loader/entries/a.conf", ENTRY)] {
        let (folder, host) = fake::host(&[("/etc/default/grub", GRUB)]);
        let before = fake::apply(knob, &host, &target, "on");
        fake::put(folder.path(), later.0, later.1);
        let now = fake::value(knob, &host, &target);
        assert!(!knob.matches(&now, &before), "{}: {now:?}", later.0);
        knob.restore(&host, &target, &before).expect("back");
        assert!(knob.matches(&fake::value(knob, &host, &target), &before), "{}", later.0);
        without_quell(&folder);
        assert_eq!(file(&folder, later.0), later.1);
    }
}

#[test]
fn words_that_moved_to_another_file_move_back() {
    let (knob, target) = (&parameter::PARAMETER, on("nohz"));
    let (folder, host) = fake::host(&[("/etc/default/grub", GRUB)]);
    let first = fake::apply(knob, &host, &target, "on");
    let staged = file(&folder, "/etc/default/grub");
    fake::put(folder.path(), "/etc/default/grub.d/10-site.cfg", "");
    assert!(says(knob, &host, "nohz", &text("on")), "GRUB reads it all the same");
    let second = fake::apply(knob, &host, &target, "off");
    // The user's configuration already sets this value, so quell does not have to write it.
    without_quell(&folder);
    knob.restore(&host, &target, &second).expect("back");
    assert_eq!(file(&folder, "/etc/default/grub"), staged);
    knob.restore(&host, &target, &first).expect("back");
    without_quell(&folder);
}

#[test]
fn an_entry_that_was_made_from_quells_words_loses_them_too() {
    let (knob, target) = (&parameter::PARAMETER, on("nohz"));
    let (folder, host) =
        fake::host(&[("/boot/loader/entries/a.conf", ENTRY), ("/etc/kernel/cmdline", "root=/dev/sda1 ro\n")]);
    let before = fake::apply(knob, &host, &target, "on");
    // A newly installed kernel gets its command line from /etc/kernel/cmdline.
    let line = format!("options {}", file(&folder, "/etc/kernel/cmdline"));
    fake::put(folder.path(), "/boot/loader/entries/b.conf", &line);
    assert!(line.contains("nohz=on"));
    knob.restore(&host, &target, &before).expect("back");
    assert!(knob.matches(&fake::value(knob, &host, &target), &before));
    assert_eq!(file(&folder, "/boot/loader/entries/b.conf"), "options root=/dev/sda1 ro\n");
    without_quell(&folder);
}

#[test]
fn a_file_that_cannot_be_read_is_no_empty_file() {
    for path in ["/etc/default/grub", "/etc/default/grub.d/10-site.cfg"] {
        let (folder, host) = fake::host(&[("/etc/default/grub", GRUB), ("/etc/default/grub.d/10-site.cfg", "")]);
        fs::write(folder.path().join(path.trim_start_matches('/')), b"# caf\xe9\nGRUB_CMDLINE_LINUX=\"isolcpus=3\"\n")
            .expect("bytes");
        let normal = parameter::PARAMETER.normalize(&host, &on("isolcpus"), &text("2-3"));
        assert!(matches!(normal, Err(KnobError::Read { .. })), "{normal:?}");
    }
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
    let line = "\"$GRUB_CMDLINE_LINUX_DEFAULT quell.begin nohz=on hugepagesz=1G hugepages=4 nosoftlockup quell.end\"\n";
    assert!(own.contains(line), "{own}");
    let (folder, host) = fake::host(&[("/boot/loader/entries/a.conf", ENTRY)]);
    parameter::PARAMETER.write(&host, &on("nohz"), &text("on")).expect("write");
    let entry = fs::read_to_string(folder.path().join("boot/loader/entries/a.conf")).expect("the file");
    assert!(entry.ends_with("options root=/dev/sda1 ro quell.begin nohz=on quell.end\n"), "{entry}");
}

/// The values of the two variables after a shell has read the files, as grub-mkconfig(8) does.
fn sourced(folder: &tempfile::TempDir) -> [String; 2] {
    let script = ". etc/default/grub; for file in etc/default/grub.d/*.cfg; do test ! -f \"$file\" || . \"$PWD/$file\"; done\n\
                  echo \"$GRUB_CMDLINE_LINUX\"; echo \"$GRUB_CMDLINE_LINUX_DEFAULT\"";
    let script = script.replacen(". etc", ". ./etc", 1);
    let shell = std::process::Command::new("sh").args(["-c", &script]).current_dir(folder.path()).output();
    let said = shell.expect("a shell");
    assert!(said.status.success(), "{said:?}");
    let lines = String::from_utf8(said.stdout).expect("text");
    let lines: Vec<String> = lines.lines().map(str::to_owned).collect();
    lines.try_into().expect("two lines")
}

#[test]
fn a_shell_reads_the_words_where_recovery_entries_leave_them_out() {
    for drop_in in [None, Some(("/etc/default/grub.d/10-site.cfg", "GRUB_CMDLINE_LINUX_DEFAULT=quiet\n"))] {
        let files: Vec<(&str, &str)> = [("/etc/default/grub", GRUB)].into_iter().chain(drop_in).collect();
        let (folder, host) = fake::host(&files);
        assert_eq!(sourced(&folder), ["nohz=off", "quiet"]);
        parameter::PARAMETER.write(&host, &on("isolcpus"), &text("domain,2-3")).expect("write");
        parameter::FLAG.write(&host, &on("nosoftlockup"), &Value::Switch(true)).expect("write");
        let words = "quiet quell.begin isolcpus=domain,2-3 nosoftlockup quell.end";
        assert_eq!(sourced(&folder), ["nohz=off", words]);
    }
}

/// Generates a menu as update-grub does. `more` is appended to the command line.
fn generate(folder: &tempfile::TempDir, more: &str) -> Result<(), KnobError> {
    let [all, usual] = sourced(folder);
    fake::put(folder.path(), "/boot/grub/grub.cfg", &format!("linux /vmlinuz ro {all} {usual} {more}\n"));
    Ok(())
}

#[test]
fn a_menu_is_made_and_is_to_have_what_was_staged_and_no_more_of_it() {
    let (folder, host) = fake::host(&[("/etc/default/grub", GRUB)]);
    let knob: &dyn Knob = &parameter::PARAMETER;
    let before = fake::apply(knob, &host, &on("skew_tick"), "1");
    let activate = |more: &str| loader_file::generate_menu_with(&host, |_| generate(&folder, more));
    // A generator that succeeds but does not write the menu.
    let refused = |result: Result<(), KnobError>| match result {
        Err(error @ KnobError::Refused { .. }) => error.to_string(),
        other => panic!("{other:?}"),
    };
    let unmade = || refused(loader_file::generate_menu_with(&host, |_| Ok(())));
    activate("").expect("a menu");
    assert!(file(&folder, "/boot/grub/grub.cfg").contains("quell.begin skew_tick=1 quell.end"));
    knob.restore(&host, &on("skew_tick"), &before).expect("back");
    assert!(unmade().contains("it has the parameters `skew_tick=1` of quell"), "{}", unmade());
    let failed = loader_file::generate_menu_with(&host, |_| {
        Err(KnobError::Command { command: "update-grub".to_owned(), reason: "no space".to_owned() })
    });
    assert!(matches!(&failed, Err(KnobError::Command { reason: why, .. }) if why.contains("no space")), "{failed:?}");
    activate("").expect("a menu");
    assert!(!file(&folder, "/boot/grub/grub.cfg").contains("quell"));
    knob.write(&host, &on("skew_tick"), &text("1")).expect("write");
    assert!(unmade().contains("does not have `skew_tick=1`"), "{}", unmade());
    let other = refused(activate("quell.begin mce=off quell.end"));
    assert!(other.contains("mce=off"), "{other}");
}

#[test]
fn no_program_of_a_tree_is_run() {
    let (folder, host) = fake::host(&[("/etc/default/grub", GRUB)]);
    let made = format!("touch {}/made\n", folder.path().display());
    for program in ["/run/quell-fake/generate-menu", "/usr/sbin/update-grub", "/usr/bin/update-grub"] {
        fake::put(folder.path(), program, &made);
    }
    let knob: &dyn Knob = &parameter::PARAMETER;
    fake::apply(knob, &host, &on("skew_tick"), "1");
    knob.activate(&host).expect("nothing to do");
    assert!(!folder.path().join("made").exists());
}

/// The format of versions that did not write markers, and the format of versions before and after them.
#[test]
fn words_of_earlier_versions_are_found_and_taken_back() {
    let begin = "# quell: begin, written by `quell tune`, removed by `quell tune rollback`\n";
    let alone = "# quell: begin, file made by `quell tune`, removed by `quell tune rollback`\n";
    for words in ["nohz=on skew_tick=1", "quell.begin nohz=on skew_tick=1 quell.end"] {
        let block = format!("GRUB_CMDLINE_LINUX_DEFAULT=\"$GRUB_CMDLINE_LINUX_DEFAULT {words}\"\n# quell: end\n");
        let cases = [
            vec![("/etc/default/grub", format!("{begin}{block}{GRUB}"))],
            vec![
                ("/etc/default/grub", GRUB.to_owned()),
                ("/etc/default/grub.d/10-site.cfg", String::new()),
                ("/etc/default/grub.d/99-quell.cfg", format!("{alone}{block}")),
            ],
        ];
        for files in cases {
            let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (*path, text.as_str())).collect();
            let (folder, host) = fake::host(&files);
            let none = |effective: &str| Value::Staged { own: None, effective: Box::new(text(effective)) };
            for (name, value, before) in [("nohz", "on", "off"), ("skew_tick", "1", "")] {
                assert!(says(&parameter::PARAMETER, &host, name, &text(value)), "{name} of {words}");
                parameter::PARAMETER.restore(&host, &on(name), &none(before)).expect("back");
            }
            without_quell(&folder);
            assert_eq!(file(&folder, "/etc/default/grub"), GRUB);
            assert!(!folder.path().join("etc/default/grub.d/99-quell.cfg").exists());
        }
    }
}

#[test]
fn what_the_user_set_is_read_and_not_set_against() {
    let grub = "GRUB_CMDLINE_LINUX=\"isolcpus=3 rcu_nocbs=3 nohz=off quiet\"\n";
    let (folder, host) = fake::host(&[("/etc/default/grub", grub)]);
    assert!(says(&parameter::PARAMETER, &host, "nohz", &text("off")));
    assert!(says(&parameter::FLAG, &host, "quiet", &Value::Switch(true)));
    fake::round_trip(&parameter::PARAMETER, &host, &on("nohz"), "on");
    let file = fs::read_to_string(folder.path().join("etc/default/grub")).expect("the file");
    assert_eq!(file, grub, "what the user says needs no block");
    let error = parameter::PARAMETER.normalize(&host, &on("isolcpus"), &text("2-3")).expect_err("it is there already");
    assert!(error.to_string().contains("already has isolcpus=3"), "{error}");
    assert!(parameter::PARAMETER.normalize(&host, &on("isolcpus"), &text("3")).is_ok());
    for (name, theirs, ours) in [("nohz_full", "3", "2-3"), ("hugepages", "8", "16"), ("hugepages:1G", "2", "4")] {
        let words = match name.split_once(':') {
            Some((parameter, size)) => format!("hugepagesz={size} {parameter}={theirs}"),
            None => format!("{name}={theirs}"),
        };
        let grub = format!("GRUB_CMDLINE_LINUX=\"{words}\"\n");
        let (_folder, host) = fake::host(&[("/etc/default/grub", &grub)]);
        let twice = parameter::PARAMETER.normalize(&host, &on(name), &text(ours));
        let named = matches!(&twice, Err(error) if error.to_string().contains(&format!("={theirs}, which")));
        assert!(named, "{name}: {twice:?}");
    }
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
    for (name, value) in [("nohz", "auto"), ("skew_tick", "1"), ("mce", "off")] {
        assert!(says(&parameter::PARAMETER, &host, name, &text(value)), "{name}");
    }
    assert!(says(&parameter::FLAG, &host, "quiet", &Value::Switch(false)), "20-b.cfg replaced it");
}

#[test]
fn entries_that_do_not_agree_are_told_apart() {
    let entry = |words: &str| format!("options root=/dev/sda1 {words}\n");
    let (first, second) = (entry("nohz=on"), entry("nohz=off"));
    let (_folder, host) =
        fake::host(&[("/boot/loader/entries/a.conf", &first), ("/boot/loader/entries/b.conf", &second)]);
    let shown = fake::value(&parameter::PARAMETER, &host, &on("nohz")).to_string();
    assert_eq!(shown, "on (/boot/loader/entries/a.conf), off (/boot/loader/entries/b.conf)");
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
    let of =
        |knob: &dyn Knob, name: &str, desired: Value| knob.activation(&host, &on(name), &desired).expect("an answer");
    let parameter = |name: &str, desired: &str| of(&parameter::PARAMETER, name, text(desired));
    assert_eq!(parameter("isolcpus", "managed_irq,domain,2-3"), Activation::Active);
    let now = text("managed_irq,domain,2-3");
    assert_eq!(parameter("isolcpus", "domain,2-3"), Activation::Inactive { running: now });
    assert_eq!(parameter("skew_tick", "1"), Activation::Inactive { running: text("") });
    let Activation::Inactive { running: now } = parameter("nohz_full", "2-3") else { panic!("it is on the line only") };
    assert_eq!(now.to_string(), "nohz_full=2-3, of which the kernel applied none");
    assert_eq!(of(&parameter::FLAG, "nosoftlockup", Value::Switch(true)), Activation::Active);
    let (_folder, less) = fake::host(&[line, ("/sys/devices/system/cpu/isolated", "2\n")]);
    let desired = text("managed_irq,domain,2-3");
    let running = <dyn Knob>::activation(&parameter::PARAMETER, &less, &on("isolcpus"), &desired).expect("an answer");
    let Activation::Inactive { running: now } = running else { panic!("of flags and two CPUs it took one") };
    assert_eq!(now.to_string(), "isolcpus=managed_irq,domain,2-3, of which the kernel applied 2");
    let now = Value::Switch(false);
    assert_eq!(of(&parameter::FLAG, "quiet", Value::Switch(true)), Activation::Inactive { running: now });
}

#[test]
fn a_kernel_without_nohz_full_is_not_given_it() {
    let grub = ("/etc/default/grub", GRUB);
    let (_folder, host) = fake::host(&[grub, ("/sys/devices/system/cpu/isolated", "\n")]);
    let error = parameter::PARAMETER.normalize(&host, &on("nohz_full"), &text("2-3")).expect_err("no effect");
    assert!(error.to_string().contains("CONFIG_NO_HZ_FULL"), "{error}");
}
