//! What verbs say, and when.

use std::fs;
use std::os::unix::fs::MetadataExt as _;

use anyhow::{Context as _, Result};
use quell::host::Root;
use quell::tune::transaction::Lock;
use quell_tests::fake_host::{small_vm, two_socket_intel};
use quell_tests::needs;
use quell_tests::needs::STRACE;

use crate::case::{Case, THIRD};

const BOOT: &str = "/proc/sys/kernel/random/boot_id";

/// A journal as it is before it is complete.
fn cut_short(case: &Case) -> Result<()> {
    case.quell(&case.apply())?.expect_code(0)?;
    let text = fs::read_to_string(case.journal(1))?;
    let end = text.trim_end().rfind('\n').context("more than a line")?;
    Ok(fs::write(case.journal(1), &text[..=end])?)
}

/// The verbs that look, with what they take.
fn looks(case: &Case) -> Vec<Vec<&str>> {
    let words = ["list", "show trading", "explain cpu.governor", "plan PROFILE", "status", "verify", "history"];
    let profile = case.apply()[1];
    words
        .iter()
        .map(|words| words.split(' ').map(|word| if word == "PROFILE" { profile } else { word }).collect())
        .collect()
}

#[test]
fn after_a_boot_status_tells_what_to_type_with_all_that_was_given() -> Result<()> {
    let setting =
        "[variables]\nspare = \"\"\n[[set]]\nknob = \"memory.swappiness\"\nvalue = \"${spare}\"\nreason = \"a test\"\n";
    let case = Case::with(setting)?;
    let (root, profile) = (case.host.path().display().to_string(), case.dir.path("case.toml"));
    fs::rename(case.apply()[1], case.dir.path("it's.toml"))?;
    fs::rename(case.dir.path("it's.toml"), &profile)?;
    // By a path that means something only where it was typed.
    let words = ["tune", "--root", &root, "apply", "./case.toml", "--set", "spare=17", "--set", "isolated=1", "--yes"];
    case.dir.run(words)?.expect_code(0)?;
    case.host.put(BOOT, "00000000-0000-0000-0000-000000000000\n");
    case.host.put("/proc/sys/vm/swappiness", "60\n");
    let status = case.quell(&["status"])?.expect_code(1)?;
    let line =
        case.suggested(&format!("apply {} --set isolated=1 --set spare=17` sets the values again", profile.display()));
    assert!(status.stdout.contains(&line), "{line}: {}", status.stdout);
    Ok(())
}

#[test]
fn what_is_to_be_typed_is_quoted_for_a_shell() -> Result<()> {
    let case = Case::new()?;
    let path = case.dir.path("it's mine.toml");
    fs::copy(case.apply()[1], &path)?;
    case.quell(&["apply", path.to_str().context("text")?, "--yes"])?.expect_code(0)?;
    case.host.put(BOOT, "00000000-0000-0000-0000-000000000000\n");
    case.host.put("/proc/sys/vm/swappiness", "60\n");
    let status = case.quell(&["status"])?.expect_code(1)?;
    let line = case
        .suggested(&format!("apply '{}'` sets the values again", path.display().to_string().replace('\'', "'\\''")));
    assert!(status.stdout.contains(&line), "{line}: {}", status.stdout);
    Ok(())
}

#[test]
fn who_is_at_work_is_named_and_what_is_half_done_is_not_called_cut_short() -> Result<()> {
    let case = Case::new()?;
    cut_short(&case)?;
    let _lock = Lock::acquire(&Root::at(case.host.path())?, "a test")?;
    let who = format!("process {}, a test", std::process::id());
    let apply = case.quell(&case.apply())?.expect_code(2)?;
    assert!(apply.stderr.contains(&who) && !apply.stderr.contains("interrupted"), "{}", apply.stderr);
    let asking = case.quell(&case.apply()[..2])?.expect_code(2)?;
    assert!(asking.stderr.contains(&who) && !asking.stderr.contains("interrupted"), "{}", asking.stderr);
    for verb in looks(&case) {
        let ended = case.quell(&verb)?;
        let said = format!("{}{}", ended.stdout, ended.stderr);
        assert!(said.contains(&who) && !said.contains("interrupted"), "{verb:?}: {said}");
    }
    Ok(())
}

#[test]
fn every_verb_says_that_there_is_something_to_recover() -> Result<()> {
    let case = Case::new()?;
    cut_short(&case)?;
    for verb in looks(&case).into_iter().chain([vec!["confirm"], vec!["rollback"], case.apply().to_vec()]) {
        let ended = case.quell(&verb)?;
        let said = format!("{}{}", ended.stdout, ended.stderr);
        assert!(said.contains("transaction 0001 was interrupted"), "{verb:?}: {said}");
        assert_eq!(said.matches(&case.suggested("recover")).count(), 1, "{verb:?}: once: {said}");
    }
    case.quell(&["recover"])?.expect_code(0)?;
    for verb in looks(&case) {
        let ended = case.quell(&verb)?;
        assert!(!format!("{}{}", ended.stdout, ended.stderr).contains("interrupted"), "{verb:?}: {ended:?}");
    }
    Ok(())
}

#[test]
fn every_verb_says_that_a_journal_cannot_be_read() -> Result<()> {
    let case = Case::new()?;
    case.quell(&case.apply())?.expect_code(0)?;
    let mut text = fs::read(case.journal(1))?;
    text[0] ^= 1;
    fs::write(case.journal(1), text)?;
    for verb in looks(&case).into_iter().chain([vec!["confirm"]]) {
        let ended = case.quell(&verb)?;
        let said = format!("{}{}", ended.stdout, ended.stderr);
        assert!(said.contains("transaction 0001 cannot be read"), "{verb:?}: {said}");
    }
    let apply = case.quell(&case.apply())?.expect_code(2)?;
    assert!(apply.stderr.contains("0001.journal is damaged"), "{}", apply.stderr);
    Ok(())
}

#[test]
fn a_transaction_that_there_is_not_cannot_be_rolled_back() -> Result<()> {
    let case = Case::new()?;
    case.quell(&case.apply())?.expect_code(0)?;
    let ended = case.quell(&["rollback", "--to", "99"])?.expect_code(2)?;
    assert!(ended.stderr.contains("there is no transaction 0099: the last one is 0001"), "{}", ended.stderr);
    assert!(!case.is_as_before());
    case.quell(&["rollback", "--to", "1"])?.expect_code(0)?;
    assert!(case.is_as_before());
    let again = case.quell(&["rollback", "--to", "1"])?.expect_code(0)?;
    assert!(again.stdout.contains("nothing to roll back"), "{}", again.stdout);
    Ok(())
}

/// A profile that sets this on a host with two sockets.
fn on_intel(knob: &str, on: &str, value: &str, more: &str) -> Result<Case> {
    let on = if on.is_empty() { String::new() } else { format!("on = \"{on}\"\n") };
    let setting = format!("[[set]]\nknob = \"{knob}\"\n{on}value = {value}\nreason = \"a test\"\n{more}");
    Case::on(two_socket_intel(), &setting)
}

#[test]
fn what_a_host_cannot_be_set_to_is_an_error_that_names_the_line() -> Result<()> {
    for (knob, on, value, why) in [
        ("net.ring_rx", "ens1f0", "99999", "the maximum of the card is 8192"),
        ("boot.parameter", "isolcpus", "\"managed_irq,domain,400-500\"", "there are no CPUs 400-500: the last is 111"),
        ("boot.parameter", "nohz_full", "\"2-3,200\"", "there are no CPUs 200: the last is 111"),
        ("boot.parameter", "rcu_nocbs", "\"112\"", "there are no CPUs 112: the last is 111"),
        ("boot.parameter", "irqaffinity", "\"0-112\"", "there are no CPUs 112: the last is 111"),
        ("sched.watchdog_cpumask", "", "\"0-500\"", "there are no CPUs 112-500: the last is 111"),
        ("cpu.idle_disabled", "", "\"C9\"", "there is no idle state C9; there are POLL C1 C1E C6"),
    ] {
        let case = on_intel(knob, on, value, "")?;
        let profile = case.apply()[1];
        for verb in [vec!["plan", profile], case.apply().to_vec()] {
            let ended = case.quell(&verb)?.expect_code(2)?;
            let place = format!("{profile}:3: {knob} (value)");
            assert!(ended.stderr.contains(&place) && ended.stderr.contains(why), "{verb:?}: {}", ended.stderr);
        }
        assert!(case.is_as_before());
        let case = on_intel(knob, on, value, "optional = true\n")?;
        let plan = case.quell(&["plan", case.apply()[1]])?.expect_code(0)?;
        let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        let why = why.rsplit_once(": the last").map_or(why, |(why, _)| why);
        let said = words(&plan.stdout);
        assert!(said.contains("skipped") && said.contains(why) && said.contains("0 to change"), "{said}");
    }
    Ok(())
}

#[test]
fn what_counts_now_is_not_said_to_count_from_the_next_boot_on() -> Result<()> {
    let settings = "[[set]]\nknob = \"irq.irqbalance_banned_cpus\"\nvalue = \"2-3\"\nreason = \"a test\"\n\
                    [[set]]\nknob = \"unit.enabled\"\non = \"irqbalance.service\"\nvalue = \"masked\"\nreason = \"a test\"\n";
    let case = Case::on(two_socket_intel(), settings)?;
    let plan = case.quell(&["plan", case.apply()[1]])?.expect_code(0)?;
    assert!(plan.stdout.contains("irq.irqbalance_banned_cpus  [persistent, also after reboots]"), "{}", plan.stdout);
    assert!(
        plan.stdout.contains("unit.enabled on irqbalance.service  [persistent, also after reboots]"),
        "{}",
        plan.stdout
    );
    assert!(plan.stdout.contains("2 to change, 0 unchanged"), "{}", plan.stdout);
    let applied = case.quell(&case.apply())?.expect_code(0)?;
    assert!(!applied.stdout.contains("take effect at the next boot"), "{}", applied.stdout);
    // It is there after a boot, and undone then.
    case.host.put(BOOT, "00000000-0000-0000-0000-000000000000\n");
    case.quell(&["verify"])?.expect_code(0)?;
    case.quell(&["rollback"])?.expect_code(0)?;
    case.host.put(BOOT, case.before["proc/sys/kernel/random/boot_id"].clone());
    assert!(case.is_as_before());
    // What a unit starts from the next boot on is not stopped.
    let case = on_intel("unit.enabled", "irqbalance.service", "\"disabled\"", "")?;
    let plan = case.quell(&["plan", case.apply()[1]])?.expect_code(0)?;
    assert!(plan.stdout.contains("[from the next boot on]") && plan.stdout.contains("1 of them at"), "{}", plan.stdout);
    Ok(())
}

#[test]
fn a_plan_for_programs_has_the_risk_of_each_step() -> Result<()> {
    let settings = "[[set]]\nknob = \"memory.swappiness\"\nvalue = 9\nreason = \"a test\"\n\
                    [[set]]\nknob = \"boot.parameter\"\non = \"skew_tick\"\nvalue = 1\nreason = \"a test\"\n\
                    [[set]]\nknob = \"unit.state\"\non = \"irqbalance.service\"\nvalue = \"stopped\"\nreason = \"a test\"\n";
    let case = Case::on(two_socket_intel(), settings)?;
    let plan = case.quell(&["plan", case.apply()[1], "--json"])?.expect_code(0)?;
    let plan: serde_json::Value = serde_json::from_str(&plan.stdout)?;
    let steps = plan["steps"].as_array().context("steps")?;
    let risks: Vec<_> = steps.iter().map(|step| (step["knob"].as_str(), step["risk"].as_str())).collect();
    let expected = [("unit.state", "medium"), ("memory.swappiness", "low"), ("boot.parameter", "high")];
    assert_eq!(risks, expected.map(|(knob, risk)| (Some(knob), Some(risk))));
    assert!(steps[1]["risk_description"].is_null(), "{}", steps[1]);
    assert!(steps[2]["risk_description"].as_str().is_some_and(|why| why.contains("boot")), "{}", steps[2]);
    Ok(())
}

#[test]
fn a_plan_shows_once_what_is_the_same_on_many() -> Result<()> {
    let case = on_intel("irq.affinity", "", "\"0-1\"", "")?;
    let plan = case.quell(&["plan", case.apply()[1]])?.expect_code(0)?;
    let blocks: Vec<&str> = plan.stdout.lines().filter(|line| line.starts_with("irq.affinity on irq ")).collect();
    assert_eq!(blocks.len(), 1, "{}", plan.stdout);
    let steps = plan.stdout.lines().find_map(|line| line.split_once(" to change")).context("a summary")?.0;
    assert!(steps.parse::<u32>()? > 2, "{}", plan.stdout);
    Ok(())
}

#[test]
fn root_is_not_told_to_be_root() -> Result<()> {
    needs!(STRACE);
    let case = Case::new()?;
    let plan = case.meddled_at(&["plan", case.apply()[1]], "read:error=EPERM", &[THIRD])?.expect_code(0)?;
    let said = plan.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(said.contains("swappiness even as root: Operation not permitted"), "{said}");
    let is_root = nix::unistd::geteuid().is_root();
    assert_eq!(said.contains("run as root"), !is_root, "{said}");
    assert_eq!(said.contains("even as root"), is_root, "{said}");
    Ok(())
}

#[test]
fn conditions_are_shown_with_the_setting_that_has_them() -> Result<()> {
    let condition = "if = { virtual-machine = false, vendor = \"intel\", smt = false, cpus = 4, nodes = 2, kernel = \"6.18\", \
                     driver = \"mlx5_core\" }\n";
    let case = on_intel("memory.swappiness", "", "9", condition)?;
    let show = case.quell(&["show", case.apply()[1]])?.expect_code(0)?;
    let said = show.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    let shown = "memory.swappiness = 9 (only on physical hosts, on Intel CPUs, without SMT, with at least 4 CPUs, \
                 with at least 2 NUMA nodes, since Linux 6.18, with a network interface of the driver mlx5_core) a test";
    assert!(said.contains(shown), "{said}");
    let trading = case.quell(&["show", "trading"])?.expect_code(0)?;
    assert!(trading.stdout.contains("    (only since Linux 6.18)\n"), "{}", trading.stdout);
    assert_eq!(trading.stdout.matches("    (only ").count(), 5, "{}", trading.stdout);
    Ok(())
}

#[test]
fn what_isolated_cpus_with_smt_may_do_is_said_where_it_is_set() -> Result<()> {
    let case = Case::on(two_socket_intel(), "")?;
    let show = case.quell(&["show", "trading"])?.expect_code(0)?;
    let said = show.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(said.contains("with SMT they may enter C1, which has an exit latency of 1 to 2 us"), "{said}");
    Ok(())
}

#[test]
fn when_a_file_on_disk_was_changed_is_told_by_the_file() -> Result<()> {
    let host = small_vm();
    host.put("/etc/default/grub", "GRUB_CMDLINE_LINUX=\"quiet\"\n");
    let settings = "[[set]]\nknob = \"boot.parameter\"\non = \"skew_tick\"\nvalue = 1\nreason = \"a test\"\n\
                    [[set]]\nknob = \"memory.swappiness\"\nvalue = 9\nreason = \"a test\"\n";
    let case = Case::on(host, settings)?;
    case.quell(&case.apply())?.expect_code(0)?;
    case.host.put("/etc/default/grub", "GRUB_CMDLINE_LINUX=\"quiet\"\n");
    case.host.put("/proc/sys/vm/swappiness", "70\n");
    let verified = case.quell(&["verify", "--json"])?.expect_code(1)?;
    let verified: serde_json::Value = serde_json::from_str(&verified.stdout)?;
    let of = |knob: &str| verified.as_array()?.iter().find(|value| value["knob"] == knob);
    let (boot, swappiness) = (of("boot.parameter").context("it")?, of("memory.swappiness").context("it")?);
    let changed = fs::metadata(case.at("/etc/default/grub"))?.ctime();
    assert_eq!((boot["verdict"].as_str(), boot["by"].as_i64()), (Some("modified-externally"), Some(changed)), "{boot}");
    assert!(boot["after"].as_i64().is_some_and(|after| after <= changed), "{boot}");
    // The kernel's own files have the time of when they were looked at first.
    assert!(swappiness["verdict"] == "modified-externally" && swappiness["by"].is_null(), "{swappiness}");
    let told = case.quell(&["verify"])?.expect_code(1)?;
    let told = told.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(told.matches("when its file changed").count(), 1, "{told}");
    Ok(())
}

#[test]
fn suggested_commands_for_a_directory_name_it() -> Result<()> {
    let case = Case::new()?;
    let applied = case.quell(&[&case.apply()[..], &["--confirm-within", "1h"]].concat())?.expect_code(0)?;
    for verb in ["rollback` restores", "confirm`\n"] {
        assert!(applied.stdout.contains(&case.suggested(verb)), "{verb}: {}", applied.stdout);
    }
    // An error, and what is written without being an error.
    let refused = case.quell(&case.apply())?.expect_code(2)?;
    let status = case.quell(&["status"])?;
    for text in [&applied.stdout, &refused.stderr, &status.stdout] {
        assert_eq!(text.matches("quell tune --root ").count(), text.matches("quell tune ").count(), "{text}");
    }
    assert!(refused.stderr.contains(&case.suggested("confirm")), "{}", refused.stderr);
    case.quell(&["rollback"])?.expect_code(0)?;
    Ok(())
}
